"""Routes: how each latent gets its values, and which observed variables are scored (SEMANTICS, section 4)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from gendsl.compiler.graph import Factor, Graph, How, Role, Route
from gendsl.compiler.passes.offers import one_way
from gendsl.compiler.paths import DRAWN, above, has_no_encoder, varies
from gendsl.errors import Diagnostic, SpecError
from gendsl.schema.facts import Density, numel

MAX_STATES = 256
"""Joint states of the finite latents that are enumerated under their encoders."""

MAX_SUMMED = 4096
"""Joint states of all finite latents, those summed out included."""

STOCHASTIC = (Density.ANY, Density.OWN)


def routes(graph: Graph) -> Graph:
    """Decides what is scored and the route of every latent; refuses what no route fits.

    A variable that is not scored needs nothing of the latents above it, so their routes are decided anew
    without it.
    """
    energies = list(_energies(graph))
    if energies:
        raise SpecError(energies)
    scored = [n for n in _modelled(graph) if _has_density(graph, n)]
    unscored = {n: _no_density_at_data(graph, n) for n in _modelled(graph) if n not in scored}
    first, problems = _all(graph, scored)
    found, later = first, problems
    while True:
        blocked = {n: _blocker(found, n, later) for n in scored}
        kept = [n for n in scored if blocked[n] is None]
        unscored |= {n: why for n, why in blocked.items() if why is not None}
        if kept == scored:
            break
        scored = kept
        found, later = _all(graph, scored)
    errors = [why for name, why in unscored.items() if not _excused(graph, name)]
    if errors:
        raise SpecError(list(problems.values()) or list(dict.fromkeys(errors)))
    refused = [*later.values(), *_unknown_parents(graph)]
    refused = refused or [*_states(found), *_summed_encoders(found)]
    if refused:
        raise SpecError(refused)
    return found.update(scored=tuple(n for n in _modelled(graph) if n in scored))


def _energies(graph: Graph) -> Iterator[Diagnostic]:
    for name in graph.spec.energy:
        yield graph.spec.diagnostic(
            "GD211",
            f"the energy of {name} is part of the language but not built yet in this version",
            ("energy", name),
            on="key",
            help=f"give {name} a density (prior, decoder, flow), or an adversary that sees it",
        )


def _all(graph: Graph, scored: list[str]) -> tuple[Graph, dict[str, Diagnostic]]:
    """Every latent's route where these variables are scored, and the problems of latents that have none."""
    found: dict[str, Route] = {}
    problems: dict[str, Diagnostic] = {}
    needed = _needed(graph, scored)
    for name, variable in graph.variables.items():
        if variable.role not in (Role.LATENT, Role.PARTIAL):
            continue
        route = _route(graph, name, name in needed)
        if isinstance(route, Route):
            found[name] = route
        elif isinstance(route, Diagnostic):
            problems[name] = route
    return graph.update(routes=found), problems


def _modelled(graph: Graph) -> list[str]:
    """Observed variables with a p-factor."""
    roles = (Role.OBSERVED, Role.PARTIAL)
    return [n for n, v in graph.variables.items() if v.role in roles and graph.p(n) is not None]


def _has_density(graph: Graph, name: str) -> bool:
    factor = graph.p(name)
    return factor is not None and factor.offers.density is Density.ANY


def _needed(graph: Graph, scored: list[str]) -> set[str]:
    """Latents above what is scored, and what is itself only partly observed."""
    found: set[str] = set()
    for name in scored:
        found |= above(graph, "p", name)
        if graph.variables[name].role is Role.PARTIAL:
            found.add(name)
    return found


def seen_by(graph: Graph, variable: str) -> list[str]:
    """The adversaries that see a variable."""
    return [name for name, critic in graph.critics.items() if variable in critic.spec.sees]


def _route(graph: Graph, name: str, needed: bool) -> Route | Diagnostic | None:
    encoder, prior = graph.q(name), graph.p(name)
    flow = graph.bases().get(name)
    if flow is not None:
        return _base(graph, name, flow, encoder)
    if encoder is not None and encoder.offers.density in STOCHASTIC:
        return _inferred(graph, name, encoder, prior, needed)
    if encoder is not None:
        return _point(graph, name, encoder, prior, needed)
    if prior is None:
        return None
    if needed and has_no_encoder(graph, name) and prior.offers.density is Density.ANY:
        return Route(name, How.SUMMED)
    if graph.variables[name].role is Role.PARTIAL:
        return None
    return Route(name, How.SAMPLED_ONLY)


def _finite(graph: Graph, name: str) -> bool:
    support = graph.variables[name].support
    return support is not None and support.count is not None


def states(graph: Graph, name: str) -> int:
    """How many joint values a finite variable has."""
    variable = graph.variables[name]
    assert variable.support is not None
    assert variable.support.count is not None
    assert variable.shape is not None
    size = numel(variable.shape)
    return int(variable.support.count**size) if size * math.log2(variable.support.count) < 64 else 2**64


def _base(graph: Graph, name: str, flow: Factor, encoder: Factor | None) -> Route | Diagnostic:
    if encoder is not None:
        return graph.spec.diagnostic(
            "GD308",
            f"{name} is the base of the flow to {flow.head}: its value follows by inverting the flow",
            encoder.path,
            on="key",
            help=f"drop encoder.{name}",
            related=(("it is the base here", (*flow.path, "given", 0)),),
        )
    layer = one_way(flow)
    if layer is not None:
        return graph.spec.diagnostic(
            "GD503",
            f"{layer[0]} cannot be used in a flow section: log p({flow.head}) is needed at the data, and {layer[0]} "
            "has no closed-form inverse; it is fine inside encoder",
            layer[1],
            help="use layers with an inverse, such as coupling",
        )
    return Route(name, How.BASE)


def _inferred(
    graph: Graph, name: str, encoder: Factor, prior: Factor | None, needed: bool
) -> Route | Diagnostic | None:
    """An encoder with a density: KL in closed form, sampled, or enumerated; mutual information above nothing
    scored.
    """
    variable = graph.variables[name]
    if variable.role is Role.OBSERVED:
        return None
    if not needed and variable.role is Role.LATENT and name not in graph.spec.energy:
        if seen_by(graph, name):
            return Route(name, How.SAMPLED_ONLY, encoder.name)
        if prior is None or not graph.descendants("p", name):
            return graph.spec.diagnostic(
                "GD502",
                f"{name} has an encoder but no part in p: nothing is to be inferred",
                encoder.path,
                on="key",
                help=f"add prior: {{{name}: ...}} and make {name} a parent of what is observed, or drop the "
                "encoder",
            )
        if encoder.offers.density is not Density.ANY:
            return no_density(graph, encoder, "at samples of the prior", prior)
        return Route(name, How.INFORMATION, encoder.name)
    if prior is None:
        if variable.role is Role.PARTIAL:
            return None
        return graph.spec.diagnostic(
            "GD502",
            f"{name} has a stochastic encoder but no prior: KL(q || p) has no p",
            encoder.path,
            on="key",
            help=f"add prior: {{{name}: {{dist: normal}}}}, or make the encoder deterministic (an "
            "autoencoder's code)",
        )
    if prior.offers.density is not Density.ANY:
        return no_density(graph, prior, f"at the encoder's samples of {name}", encoder)
    if _finite(graph, name):
        return Route(name, How.ENUMERATED, encoder.name)
    if not encoder.offers.rsample:
        assert encoder.dist is not None
        return graph.spec.diagnostic(
            "GD505",
            f"the samples of {encoder.name} have no gradient: {encoder.dist.tag} is discrete with infinitely "
            "many "
            "values, and the score-function estimator is not built in this version",
            (*encoder.path, "dist"),
            help="use a distribution on the reals, or a finite one (categorical), which is enumerated",
        )
    return _kl(graph, name, encoder, prior)


def no_density(graph: Graph, factor: Factor, where: str, other: Factor) -> Diagnostic:
    """log p is needed at given points, and the factor cannot say it."""
    layer = one_way(factor)
    if layer is not None:
        tag, path = layer
        in_q = factor.section == "encoder"
        use = "here" if in_q else f"in a {factor.section}"
        advice = "" if in_q else "; it is fine inside encoder"
        return graph.spec.diagnostic(
            "GD503",
            f"{tag} cannot be used {use}: log {factor.side}({factor.head}) is needed {where}, and {tag} has no "
            f"closed-form inverse{advice}",
            path,
            help="use layers with an inverse, such as coupling",
            related=((f"{other.name} needs it", other.path),),
        )
    assert factor.dist is not None
    return graph.spec.diagnostic(
        "GD503",
        f"{factor.dist.tag} has no density: log {factor.side}({factor.head}) is needed {where}",
        (*factor.path, "dist"),
        help="use a distribution with a density, or an adversary that compares samples",
        related=((f"{other.name} needs it", other.path),),
    )


def _kl(graph: Graph, name: str, encoder: Factor, prior: Factor) -> Route:
    """In closed form only if a formula exists, no flow is in the way, and neither side waits for another
    latent.
    """
    assert encoder.dist is not None
    assert prior.dist is not None
    bound = graph.spec.objective.bound
    below = set(prior.parents) & graph.descendants("q", name)
    summed = set().union(*(varies(graph, v) for v in (*prior.parents, *encoder.parents)))
    why = ""
    if bound is not None and bound.weighted:
        why = f"{bound.tag} uses log w"
    elif encoder.flow or prior.flow:
        why = "a flow is in the way"
    elif prior.dist.tag not in encoder.dist.closed_kl:
        why = f"no formula for KL({encoder.dist.tag} || {prior.dist.tag})"
    elif _autoregressive(encoder) or _autoregressive(prior):
        why = "an autoregressive factor is in the way"
    elif below:
        why = f"{', '.join(sorted(below))} is a parent of {name} in p and follows from it in q"
    elif summed:
        why = f"{', '.join(sorted(summed))} is summed out"
    return Route(name, How.SAMPLED if why else How.CLOSED, encoder.name, why)


def _autoregressive(factor: Factor) -> bool:
    return factor.net is not None and factor.net.autoregressive


def _point(
    graph: Graph, name: str, encoder: Factor, prior: Factor | None, needed: bool
) -> Route | Diagnostic | None:
    """A deterministic or implicit encoder: there is no KL."""
    assert encoder.dist is not None
    spec = graph.spec
    critics = seen_by(graph, name)
    if not needed:
        if critics:
            return Route(name, How.SAMPLED_ONLY, encoder.name)
        return spec.diagnostic(
            "GD511",
            f"the {encoder.dist.tag} encoder of {name} has no density, and {name} is above nothing that is scored",
            (*encoder.path, "dist"),
            help=f"give it a density (normal, categorical), or an adversary that sees {name}",
        )
    if prior is None:
        return Route(name, How.CODE, encoder.name)
    if critics:
        return Route(name, How.ADVERSARIAL, encoder.name)
    if name in spec.objective.mmd:
        return Route(name, How.MMD, encoder.name)
    if any(prior.name in s.factors and encoder.name not in s.factors for s in spec.train.stages):
        if prior.offers.density is not Density.ANY:
            return no_density(graph, prior, f"at the codes of {name}", encoder)
        return Route(name, How.FITTED, encoder.name)
    sees = ", ".join([name, *(p for p in encoder.parents if graph.variables[p].bound)])
    return spec.diagnostic(
        "GD511",
        f"the {encoder.dist.tag} encoder of {name} has no density, so KL(q({name}) || p({name})) cannot be "
        "computed",
        (*encoder.path, "dist"),
        help=f"add adversary: {{d: {{sees: [{sees}], net: mlp}}}}, objective: {{mmd: {{{name}: {{}}}}}}, or "
        "a last stage "
        f"that fits {prior.name} alone; or drop the prior to get a plain autoencoder",
        related=((f"p({name}) is here", prior.path),),
    )


def _no_density_at_data(graph: Graph, name: str) -> Diagnostic:
    """An observed variable whose own factor has no density: nothing but an adversary or an energy can train
    it.
    """
    factor = graph.p(name)
    assert factor is not None
    layer = one_way(factor)
    if layer is not None and factor.dist is not None and factor.dist.density is Density.ANY:
        tag, path = layer
        return graph.spec.diagnostic(
            "GD503",
            f"{tag} cannot be used in a {factor.section}: log p({name}) is needed at the data, and {tag} has no "
            "closed-form inverse; it is fine inside encoder",
            path,
            help="use layers with an inverse, such as coupling",
        )
    what = factor.dist.tag if factor.dist is not None else "flow"
    what, path = layer if layer is not None else (what, (*factor.path, "dist"))
    return graph.spec.diagnostic(
        "GD501",
        f"nothing trains {name}: {what} has no density at the data, no adversary sees {name}, and it has no "
        "energy",
        path,
        help=f"give {name} a distribution with a density, or add adversary: {{d: {{sees: {name}, net: mlp}}}}",
    )


def _blocker(graph: Graph, name: str, problems: Mapping[str, Diagnostic]) -> Diagnostic | None:
    """The first latent above an observed variable that has no route, or None where it can be scored."""
    factor = graph.p(name)
    assert factor is not None
    reached = above(graph, "p", name)
    for latent in graph.order("p"):
        if latent not in reached or latent in problems or graph.variables[latent].role is not Role.LATENT:
            continue
        route = graph.routes.get(latent)
        if route is None or route.how is How.SAMPLED_ONLY:
            advice = f"add encoder: {{{latent}: {{given: {name}, dist: normal, net: mlp}}}}"
            return graph.spec.diagnostic(
                "GD502",
                f"{latent} is above {name}, but nothing infers it: log p({name}) has no route through "
                f"{latent}",
                graph.variables[latent].path,
                on="key",
                help=f"{advice}, or an adversary that sees {name}",
                related=((f"{name} is scored here", factor.path),),
            )
    return None


def _excused(graph: Graph, name: str) -> bool:
    return bool(seen_by(graph, name)) or name in graph.spec.energy


def _unknown_parents(graph: Graph) -> Iterator[Diagnostic]:
    """An encoder that reads a partly observed variable needs values for the rows where it is not known."""
    for factor in graph.side("q"):
        for i, parent in enumerate(factor.parents):
            if graph.variables[parent].role is Role.PARTIAL and graph.p(parent) is None:
                yield graph.spec.diagnostic(
                    "GD303",
                    f"{factor.name} reads {parent}, which is known on some rows only, and nothing says what "
                    f"{parent} "
                    "is in p",
                    (*factor.path, "given", i),
                    help=f"model it: prior: {{{parent}: {{dist: categorical}}}}",
                )


def _summed_encoders(graph: Graph) -> Iterator[Diagnostic]:
    """Of what is summed out only an encoder with a density, whose value is drawn for each state, may
    depend.
    """
    for name, route in graph.routes.items():
        encoder = graph.q(name)
        if encoder is None or route.how in DRAWN:
            continue
        summed = set().union(*(varies(graph, p) for p in encoder.parents))
        if summed:
            shown = ", ".join(sorted(summed))
            yield graph.spec.diagnostic(
                "GD502",
                f"the encoder of {name} depends on {shown}, which is summed out; for a latent that is not "
                "drawn from "
                "a density this is not built in this version",
                encoder.path,
                on="key",
                help=f"give {shown} an encoder",
            )


def _states(graph: Graph) -> Iterator[Diagnostic]:
    """The joint states of finite latents are few, and no other estimator is asked for."""
    total = enumerated = 1
    for name, route in graph.routes.items():
        if route.how not in (How.ENUMERATED, How.SUMMED):
            continue
        total *= states(graph, name)
        enumerated *= states(graph, name) if route.how is How.ENUMERATED else 1
        if enumerated > MAX_STATES or total > MAX_SUMMED:
            count, limit = (enumerated, MAX_STATES) if enumerated > MAX_STATES else (total, MAX_SUMMED)
            shown = str(count) if count < 2**63 else "more than 2^63"
            done = "enumerated" if enumerated > MAX_STATES else "summed"
            yield graph.spec.diagnostic(
                "GD514",
                f"{shown} joint states of the finite latents up to {name}; at most {limit} are {done}",
                graph.variables[name].path,
                on="key",
                help="use fewer or smaller finite latents",
            )
            return
    for name, estimator in graph.spec.objective.estimator.items():
        found = graph.routes.get(name)
        path = ("objective", "estimator", name)
        if found is None or found.how is not How.ENUMERATED:
            yield graph.spec.diagnostic(
                "GD507",
                f"{name} is not a finite latent with an encoder: there is nothing to estimate",
                path,
                on="key",
            )
        elif estimator != "enumerate":
            yield graph.spec.diagnostic(
                "GD211",
                f"the estimator {estimator} is not built yet in this version",
                path,
                help=f"{states(graph, name)} states are enumerated exactly: drop it, or write enumerate",
            )
