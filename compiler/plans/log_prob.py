"""log_prob: log p of all observed entries of a row, given the conditions, computed afresh from p and q at
unit weights.

Exact where no latent is sampled; otherwise an importance-weighted lower bound, with proposals from the
encoder where it has a density and from the prior (loose) where it has none.
"""

from __future__ import annotations

from dataclasses import replace

from gendsl.compiler.derive.energies import normaliser, targets, tilted, unnormalised
from gendsl.compiler.derive.layers import estimated
from gendsl.compiler.graph import Capability, Graph, How, Kind, worst
from gendsl.compiler.paths import DRAWN, above, agnostic

FROM_ENCODER = DRAWN
FROM_PRIOR = (How.ADVERSARIAL, How.MMD, How.FITTED, How.CHAIN)
UNDRAWN = (How.BASE, How.SUMMED, How.ENUMERATED, How.QUANTISED, How.SAMPLED_ONLY, How.INFORMATION)
"""Routes of latents of which no number's value is drawn: the last two are above nothing that is scored."""


def averaged(graph: Graph) -> bool:
    """Whether log_prob is a mean of importance weights; else one pass gives it, however many samples are asked for."""
    return any(route.how not in UNDRAWN for route in graph.routes.values())


def plan(graph: Graph) -> Capability:
    """The plan beneath the energies, then what is known of their normalisers."""
    found = _with_estimates(graph)
    if found.how is None:
        return found
    for name in tilts(graph):
        known = normaliser(graph, name)
        if known is None:
            return Capability(None, Kind.NONE, unnormalised(graph, name))
        how, kind = known
        whole = kind if kind is Kind.EXACT else Kind.ESTIMATE
        why = found.why or (f"log Z of {name} is not exact" if whole is Kind.ESTIMATE else "")
        found = Capability(f"{found.how}, log Z by {how}", worst((found.kind or Kind.NONE, whole)), why)
    return found


def tilts(graph: Graph) -> list[str]:
    """Energies that stand in log p of what is observed."""
    fixed = targets(graph)
    return [name for name in graph.spec.energy if name not in fixed]


def _with_estimates(graph: Graph) -> Capability:
    """The plan beneath the energies; an estimate where a layer estimates its log-determinant."""
    found, layers = _beneath(graph), estimated(graph)
    if found.how is None or not layers:
        return found
    why = f"the log-determinant of {', '.join(layers)} is an unbiased estimate"
    return replace(found, kind=Kind.ESTIMATE, why=f"{found.why}; {why}" if found.why else why)


def _beneath(graph: Graph) -> Capability:
    for name, variable in graph.variables.items():
        if variable.bound and graph.p(name) is not None and name not in graph.scored:
            return Capability(None, Kind.NONE, f"p({name}) has no density that can be computed")
    if not graph.scored and tilted(graph):
        return Capability("energy", Kind.EXACT)
    if not graph.scored:
        return Capability(None, Kind.NONE, "no observed variable has a density")
    for name, route in graph.routes.items():
        if route.how is How.CODE:
            return Capability(None, Kind.NONE, f"{name} is a code without a prior: p(x) is not defined")
    for name, option in graph.spec.objective.reconstruction.items():
        if option.in_ is not None:
            return Capability(
                None, Kind.NONE, f"{name} is reconstructed in {option.in_}, not scored by its density"
            )
    hows = {route.how for route in graph.routes.values()}
    loose = proposals(graph)["prior"]
    if loose:
        return Capability(
            "importance sampling from the prior",
            Kind.LOWER,
            f"{', '.join(loose)} has no encoder with a density that can be used: proposals come from the "
            "prior, so the "
            "bound is loose",
        )
    mixed = agnostic(graph)
    if mixed and not hows & set(FROM_ENCODER):
        return Capability(
            "density along one random order of each row",
            Kind.LOWER,
            f"p({', '.join(mixed)}) is the mixture over all orders: the mean of log p along an order is below log p",
        )
    if hows & set(FROM_ENCODER):
        return Capability("iwae", Kind.LOWER, "E log of the mean of k importance weights is below log p")
    if How.QUANTISED in hows:
        return Capability("log p(x, c(x)) at the codes", Kind.LOWER, "one term of the sum over all codes")
    how = "summed over finite latents" if hows & {How.SUMMED, How.ENUMERATED} else "density"
    if How.BASE in hows or any(f.flow for f in graph.side("p")):
        how = "change of variables" if how == "density" else how
    return Capability(how, Kind.EXACT)


def proposals(graph: Graph) -> dict[str, list[str]]:
    """Latents whose values are proposed by their encoder, and those proposed by the prior.

    An encoder that reads a latent which the prior proposes is of no use: its own latent is then proposed by
    the prior.
    """
    prior = [n for n, r in graph.routes.items() if r.how in FROM_PRIOR]
    drawn = [n for n, r in graph.routes.items() if r.how in (*FROM_ENCODER, How.QUANTISED)]
    late = [n for n in drawn if above(graph, "q", n) & set(prior)]
    return {"encoder": [n for n in drawn if n not in late], "prior": prior + late}
