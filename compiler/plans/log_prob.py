"""log_prob: log p of all observed entries of a row, given the conditions, computed afresh from p and q at
unit weights.

Exact where no latent is sampled; otherwise an importance-weighted lower bound, with proposals from the
encoder where it has a density and from the prior (loose) where it has none.
"""

from __future__ import annotations

from dataclasses import replace

from gendsl.compiler.derive.layers import estimated
from gendsl.compiler.graph import Capability, Graph, How, Kind
from gendsl.compiler.paths import DRAWN, above

FROM_ENCODER = DRAWN
FROM_PRIOR = (How.ADVERSARIAL, How.MMD, How.FITTED)


def plan(graph: Graph) -> Capability:
    found, layers = _plan(graph), estimated(graph)
    if found.how is None or not layers:
        return found
    why = f"the log-determinant of {', '.join(layers)} is an unbiased estimate"
    return replace(found, kind=Kind.ESTIMATE, why=f"{found.why}; {why}" if found.why else why)


def _plan(graph: Graph) -> Capability:
    for name, variable in graph.variables.items():
        if variable.bound and graph.p(name) is not None and name not in graph.scored:
            return Capability(None, Kind.NONE, f"p({name}) has no density that can be computed")
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
    if hows & set(FROM_ENCODER):
        return Capability("iwae", Kind.LOWER, "E log of the mean of k importance weights is below log p")
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
    drawn = [n for n, r in graph.routes.items() if r.how in FROM_ENCODER]
    late = [n for n in drawn if above(graph, "q", n) & set(prior)]
    return {"encoder": [n for n in drawn if n not in late], "prior": prior + late}
