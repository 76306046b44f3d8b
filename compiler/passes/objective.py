"""The objective, derived: one term for each scored variable, each route and each adversary (docs/semantics.md,
sections 4-8).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gendsl.compiler.derive.adversaries import adversarial
from gendsl.compiler.derive.dequantizers import dequantizations, of_the_column
from gendsl.compiler.derive.energies import contrasted, energies, targets, tilted, way
from gendsl.compiler.derive.latents import (
    classification,
    codebooks,
    discrepancies,
    latent,
    total_correlations,
    weighting,
)
from gendsl.compiler.derive.layers import estimated
from gendsl.compiler.derive.path_lengths import path_lengths
from gendsl.compiler.derive.routes import no_density
from gendsl.compiler.derive.sampling import COMPARED, SAMPLED, bound_of, sampled
from gendsl.compiler.derive.scores import score
from gendsl.compiler.graph import Graph, How, Kind, Role, Term, worst
from gendsl.compiler.paths import above, agnostic, how
from gendsl.compiler.plans.chain import chain_of, refused
from gendsl.compiler.plans.sample import unsampled
from gendsl.errors import Diagnostic, SpecError
from gendsl.schema.components.estimator import Gumbel
from gendsl.schema.facts import Density
from gendsl.schema.sections import (
    KlOptions,
    MmdOptions,
    PathLengthOptions,
    ReconstructionOptions,
    TermOptions,
)
from gendsl.schema.suggest import nearest

FAMILIES = (
    "likelihood",
    "reconstruction",
    "kl",
    "prior",
    "mutual_information",
    "classification",
    "codebook",
    "adversary",
    "classified",
    "mmd",
    "energy",
    "path_length",
    "total_correlation",
)
"""Families of terms that `objective:` can re-weight."""


def objective(graph: Graph) -> Graph:
    """Derives every term, re-weights it as `objective:` says, and states what kind of number the whole is."""
    terms = list(_derive(graph))
    problems = (
        [*_options(graph, terms), *_bound_problems(graph), *_unclassified(graph), *_compared(graph)]
        if terms
        else [_nothing(graph)]
    )
    if problems:
        raise SpecError(problems)
    terms = [_weighted(graph, term) for term in terms]
    own = [t for t in terms if t.family != "dequantization"]
    kind, of, says = of_the_column(graph, _whole(graph, own))
    return graph.update(terms=tuple(terms), objective_kind=kind, objective_of=of, objective_says=says)


def _nothing(graph: Graph) -> Diagnostic:
    """No term at all: what is observed has no factor, and no adversary compares anything."""
    observed = [n for n, v in graph.variables.items() if v.role is Role.OBSERVED]
    path = ("data", "bind", observed[0]) if observed else next(f.path for f in graph.factors.values())
    return graph.spec.diagnostic(
        "GD501",
        "nothing is trained: no observed variable has a distribution, and no adversary sees one",
        path,
        on="key",
        help=f"add decoder: {{{observed[0] if observed else 'x'}: ...}}",
    )


def _derive(graph: Graph) -> Iterator[Term]:
    bound = bound_of(graph)
    for name in graph.scored:
        if not contrasted(graph, name):
            yield score(graph, name, bound)
    for name, route in graph.routes.items():
        yield from latent(graph, name, route, bound)
    yield from weighting(graph, bound)
    yield from dequantizations(graph)
    yield from classification(graph)
    yield from codebooks(graph)
    yield from discrepancies(graph)
    yield from energies(graph)
    yield from path_lengths(graph)
    yield from total_correlations(graph)
    for critic in graph.critics.values():
        yield from adversarial(graph, critic)


def _options(graph: Graph, terms: list[Term]) -> Iterator[Diagnostic]:
    """Every option names a derived term; `in:` names an adversary that sees the variable."""
    names = [t.name for t in terms]
    spec = graph.spec
    for family in FAMILIES:
        for subject in getattr(spec.objective, family):
            wanted = f"{family}.{subject}"
            if wanted in names:
                continue
            near = nearest(wanted, names)
            yield spec.diagnostic(
                "GD507",
                f"the objective has no term {wanted}{_underived(graph, family, subject)}",
                ("objective", family, subject),
                on="key",
                label=f"did you mean {near[0]}?" if near else "",
                help=f"derived here: {', '.join(names) or 'none'}",
            )
    for name, option in spec.objective.reconstruction.items():
        chain = chain_of(graph)
        if option.walkback is not None and (chain is None or name not in chain.state):
            why = refused(graph) if chain is None else f"the chain does not move {name}"
            yield spec.diagnostic(
                "GD507",
                f"there is no chain to walk back: {why}",
                ("objective", "reconstruction", name, "walkback"),
                help="it needs a corruption beneath the encoder of a code without a prior",
            )
        critic = (option.in_ or "").split(".")[0]
        adversary = graph.critics[critic].spec if critic in graph.critics else None
        if critic and (adversary is None or name not in adversary.sees or name == adversary.project):
            yield spec.diagnostic(
                "GD507",
                f"{critic!r} is not an adversary that sees {name}: it has no features of {name}",
                ("objective", "reconstruction", name, "in"),
                help=f"adversaries: {', '.join(graph.critics) or 'none'}",
            )
        elif critic and _without_mean(graph, name):
            yield spec.diagnostic(
                "GD507",
                f"features are compared at the mean of p({name} | ...), and {_without_mean(graph, name)} has none that "
                "can be computed",
                ("objective", "reconstruction", name, "in"),
                help=f"use decoder: {{{name}: {{dist: normal, net: mlp, ...}}}}, or drop `in`",
            )
        elif critic and graph.critics[critic].spec.pack > 1:
            yield spec.diagnostic(
                "GD507",
                f"{critic!r} judges {graph.critics[critic].spec.pack} tuples together: it has no features of "
                f"one {name}",
                ("objective", "reconstruction", name, "in"),
                related=(("pack is here", ("adversary", critic, "pack")),),
            )


def _without_mean(graph: Graph, name: str) -> str:
    """What gives a scored variable no mean in closed form, or an empty string."""
    factor = graph.p(name)
    if factor is not None and factor.base is not None:
        return "a flow"
    if factor is not None and factor.net is not None and factor.autoregressive:
        return f"an autoregressive factor ({factor.net.tag})"
    return ""


def _bound_problems(graph: Graph) -> Iterator[Diagnostic]:
    bound = graph.spec.objective.bound
    if bound is None:
        return
    path = ("objective", "bound")
    if not sampled(graph):
        yield graph.spec.diagnostic(
            "GD508", f"{bound.tag} bounds nothing: no latent is sampled from an encoder with a density", path
        )
        return
    if not bound.weighted:
        return
    for name, route in graph.routes.items():
        if route.how in (How.CODE, How.FITTED, How.ADVERSARIAL, How.MMD, How.QUANTISED, How.CHAIN):
            yield graph.spec.diagnostic(
                "GD508",
                f"{bound.tag} needs log q({name}), and the encoder of {name} has no density",
                path,
                related=((f"the encoder of {name}", ("encoder", name)),),
            )


def _underived(graph: Graph, family: str, name: str) -> str:
    """Why a term that a spec asks for does not follow from the graph, where more than its name is to be said."""
    encoder = graph.q(name)
    if family == "total_correlation" and encoder is not None and not encoder.product:
        what = "goes through a flow" if encoder.flow else "is no product over its entries"
        return f": it compares q({name}) with the product of its entries, and the encoder of {name} {what}"
    if family in ("total_correlation", "mmd") and encoder is None and name in graph.variables:
        return f": {name} has no encoder"
    return ""


def _compared(graph: Graph) -> Iterator[Diagnostic]:
    """Codes are compared with samples of their prior, and depend on no discrete latent, tried or drawn."""
    asked = [("mmd", n) for n in graph.spec.objective.mmd]
    asked += [("total_correlation", n) for n in graph.spec.objective.total_correlation]
    for family, name in asked:
        none = unsampled(graph, [name]) if family == "mmd" and how(graph, name) in COMPARED else ""
        if none:
            yield graph.spec.diagnostic(
                "GD507",
                f"mmd.{name} compares codes with samples of p({name}), and there are none: {none}",
                ("objective", family, name),
                on="key",
            )
        above_it = sorted(n for n in above(graph, "q", name) if n in graph.routes)
        discrete = [n for n in above_it if graph.routes[n].estimator or how(graph, n) is How.ENUMERATED]
        if discrete:
            yield graph.spec.diagnostic(
                "GD507",
                f"{family}.{name} compares codes, and the encoder of {name} reads {', '.join(discrete)}, which is "
                "discrete: that is not built in this version",
                ("objective", family, name),
                on="key",
            )


def _unclassified(graph: Graph) -> Iterator[Diagnostic]:
    """The encoder of an observed variable is trained by its density at the data."""
    for factor in graph.side("q"):
        role = graph.variables[factor.head].role
        if role in (Role.OBSERVED, Role.PARTIAL) and factor.offers.density is not Density.ANY:
            yield no_density(graph, factor, f"at the data, for classification.{factor.head}", factor)


def _weighted(graph: Graph, term: Term) -> Term:
    options = getattr(graph.spec.objective, term.family, {}) if term.family in FAMILIES else {}
    option: TermOptions | None = options.get(term.subject)
    if option is None:
        return term
    extra = dict(term.options)
    if isinstance(option, KlOptions):
        extra |= {k: v for k, v in (("free_bits", option.free_bits), ("capacity", option.capacity)) if v}
        if option.capacity is not None:
            extra["capacity"] = option.capacity
    elif isinstance(option, ReconstructionOptions):
        extra |= {k: v for k, v in (("in", option.in_), ("walkback", option.walkback)) if v is not None}
    elif isinstance(option, MmdOptions) and option.scale is not None:
        extra["scale"] = option.scale
    elif isinstance(option, PathLengthOptions):
        extra["every"] = option.every
    return replace(term, weight=option.weight, warmup=option.warmup, options=extra)


def _whole(graph: Graph, terms: list[Term]) -> tuple[Kind, str, str]:
    """What kind of number the whole objective is, and of which quantity (docs/semantics.md, sections 8 and 11)."""
    mine = [t for t in terms if t.player == "model"]
    whole = ", ".join((*graph.scored, *tilted(graph)))
    conditions = [n for n, v in graph.variables.items() if v.role is Role.CONDITION]
    given = f" | {', '.join(conditions)}" if conditions else ""
    target = f"log p({whole}{given})" if whole else "nothing"
    if targets(graph) and not whole:
        named = ", ".join(f"exp(-E({n}))" for n in targets(graph))
        target = f"log Z of {named}"
    reasons: list[str] = []
    for term in mine:
        if term.warmup:
            reasons.append(f"the weight of {term.name} changes while training" + _after(term))
        elif term.family == "kl" and _of_kl(term):
            reasons.append(_of_kl(term))
        elif "in" in term.options:
            reasons.append(f"{term.name} is not a likelihood")
        elif term.weight != 1 and term.family != "adversary":
            reasons.append(f"{term.name} is weighted by {term.weight:g}")
        elif term.family == "energy" and term.kind is Kind.NONE:
            reasons.append(f"{term.name} is a contrast: its gradient is meant, its value says nothing")
        elif term.family == "energy":
            reasons.append(f"{term.name} is no likelihood ({way(graph, term.subject)})")
        elif term.auxiliary:
            reasons.append(f"{term.name} is an auxiliary term")
        elif term.family == "classified" or (
            term.family == "adversary" and (term.kind is Kind.NONE or term.weight != 1)
        ):
            reasons.append(f"{term.name} is adversarial")
    if any(how(graph, v) in (How.CODE, How.MMD, How.FITTED, How.QUANTISED) for v in graph.routes):
        reasons.append("codes have no density")
    if any(how(graph, v) is How.CHAIN for v in graph.routes):
        reasons.append("the chain's ends have no density that is known: the gradient is meant")
    if targets(graph) and not whole and not reasons:
        return Kind.LOWER, target, f"minus the loss is at most {target}"
    if not whole:
        return Kind.NONE, target, "; ".join(dict.fromkeys(reasons)) or "nothing is scored"
    if reasons:
        return Kind.NONE, target, "; ".join(dict.fromkeys(reasons))
    if any(t.family == "adversary" for t in mine):
        return Kind.ESTIMATE, target, "the critic's logit stands for log q - log p"
    if any(how(graph, v) in SAMPLED for v in graph.routes):
        soft = [n for n, r in graph.routes.items() if isinstance(r.estimator, Gumbel)]
        if soft:
            return (
                Kind.ESTIMATE,
                target,
                f"not a bound: relaxed weights stand for values of {', '.join(soft)}",
            )
        bound, layers = bound_of(graph), estimated(graph)
        if layers and bound.weighted:
            return (
                Kind.ESTIMATE,
                target,
                f"{bound.tag} is a bound of exact weights: {', '.join(layers)} estimates them",
            )
        return Kind.LOWER, target, f"minus the loss is the {bound.tag} bound: {target} is at least this"
    mixed = agnostic(graph)
    if mixed:
        says = f"minus the loss is the mean over the orders of {', '.join(mixed)}: {target} is at least this"
        return Kind.LOWER, target, says
    return worst(t.kind for t in mine), target, f"minus the loss is {target}"


def _of_kl(term: Term) -> str:
    """What the options of a KL make of the bound, or an empty string."""
    if term.options.get("capacity") is not None:
        return "not a bound: the KL is driven to a target"
    if term.weight < 1:
        return "not a bound: the KL counts less than it should"
    return "a looser bound, not the ELBO" if term.weight > 1 or term.options.get("free_bits") else ""


def _after(term: Term) -> str:
    says = _of_kl(term).split(":")[0] if term.family == "kl" else ""
    return f": {says}" if says else ""
