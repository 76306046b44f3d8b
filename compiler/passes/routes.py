"""Routes: how each latent gets its values, and which observed variables are scored (docs/semantics.md, section 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gendsl.compiler.derive.discrete import CHOICES, relaxed, states
from gendsl.compiler.derive.layers import no_inverse, one_way
from gendsl.compiler.derive.routes import lacking, route, suited
from gendsl.compiler.graph import Graph, How, Role, Route
from gendsl.compiler.paths import DRAWN, above, varies
from gendsl.errors import Diagnostic, SpecError
from gendsl.schema.facts import Density

MAX_STATES = 256
"""Joint states of the finite latents that are enumerated under their encoders."""


MAX_SUMMED = 4096
"""Joint states of all finite latents, those summed out included."""


def routes(graph: Graph) -> Graph:
    """Decides what is scored and the route of every latent; refuses what no route fits.

    A variable that is not scored needs nothing of the latents above it, so their routes are decided anew
    without it.
    """
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


def _all(graph: Graph, scored: list[str]) -> tuple[Graph, dict[str, Diagnostic]]:
    """Every latent's route where these variables are scored, and the problems of latents that have none."""
    found: dict[str, Route] = {}
    problems: dict[str, Diagnostic] = {}
    needed = _needed(graph, scored)
    for name, variable in graph.variables.items():
        if variable.role not in (Role.LATENT, Role.PARTIAL):
            continue
        way = route(graph, name, name in needed)
        if isinstance(way, Route):
            found[name] = way
        elif isinstance(way, Diagnostic):
            problems[name] = way
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


def _no_density_at_data(graph: Graph, name: str) -> Diagnostic:
    """An observed variable whose own factor has no density: nothing but an adversary or an energy can train
    it.
    """
    factor = graph.p(name)
    assert factor is not None
    own = factor.dist is not None and factor.dist.density is Density.ANY
    found = no_inverse(graph, factor, "at the data") if own else None
    if found is not None:
        return found
    without = lacking(factor) if factor.dist is not None else ("flow", (*factor.path, "dist"))
    what, path = one_way(factor) or without
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
        way = graph.routes.get(latent)
        if way is None or way.how is How.SAMPLED_ONLY:
            advice = f"add encoder: {{{latent}: {{given: {name}, dist: {suited(graph, latent)}, net: mlp}}}}"
            if suited(graph, latent) == "poisson":
                advice += f" with objective: {{estimator: {{{latent}: score_function}}}}"
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
    return bool(graph.seen_by(name)) or name in graph.spec.energy


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
    for name, way in graph.routes.items():
        encoder = graph.q(name)
        if encoder is None or (way.how in DRAWN and name not in relaxed(graph)):
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
    """The joint states of finite latents are few."""
    total = enumerated = 1
    for name, way in graph.routes.items():
        if way.how not in (How.ENUMERATED, How.SUMMED):
            continue
        total *= states(graph, name)
        enumerated *= states(graph, name) if way.how is How.ENUMERATED else 1
        if enumerated > MAX_STATES or total > MAX_SUMMED:
            count, limit = (enumerated, MAX_STATES) if enumerated > MAX_STATES else (total, MAX_SUMMED)
            shown = str(count) if count < 2**63 else "more than 2^63"
            done = "enumerated" if enumerated > MAX_STATES else "summed"
            yield graph.spec.diagnostic(
                "GD514",
                f"{shown} joint states of the finite latents up to {name}; at most {limit} are {done}",
                graph.variables[name].path,
                on="key",
                help=f"name an estimator: objective: {{estimator: {{{name}: ...}}}} with {CHOICES}"
                if way.how is How.ENUMERATED
                else "use fewer or smaller finite latents",
            )
            return
