"""Encoders that are chains on p (`dist: langevin`): what they are given, and where they are refused.

The chain of z moves on -log p(x, z), so what it reads is no choice: it is z's Markov blanket in p, with finite latents
summed out and bases of flows inverted.
"""

from __future__ import annotations

from gendsl.compiler.graph import Factor, Graph, Role
from gendsl.compiler.paths import is_data
from gendsl.errors import Diagnostic
from gendsl.schema.components.dist_langevin import LangevinPosterior
from gendsl.schema.facts import Density


def spec_of(factor: Factor | None) -> LangevinPosterior | None:
    """The chain that an encoder is; None of anything else."""
    return factor.dist if factor is not None and isinstance(factor.dist, LangevinPosterior) else None


def blanket(graph: Graph, name: str) -> tuple[set[str], set[str]]:
    """(latents, data) that stand with z in log p: those of every factor that varies with z or with what is
    summed out beside it.
    """
    factors = [{f.head, *f.parents} for f in graph.side("p") if f.offers.density is Density.ANY]
    latents, met = {name}, {name}
    while True:
        met = met.union(*(names for names in factors if names & latents))
        more = {n for n in met if not is_data(graph, n)}
        if more <= latents:
            return latents, met - latents
        latents |= more


def steps_of(graph: Graph, name: str) -> str:
    """The chain in a few words."""
    spec = spec_of(graph.q(name))
    assert spec is not None
    return f"Langevin, {spec.steps} step{'s' if spec.steps > 1 else ''} from the prior"


def refused(graph: Graph, name: str, encoder: Factor, prior: Factor | None) -> Diagnostic | None:
    """Why the chain cannot be run, at the place to change."""
    spec, dist = graph.spec, (*encoder.path, "dist")
    if prior is None:
        return spec.diagnostic(
            "GD502",
            f"the chain moves on -log p of everything, and {name} has no prior",
            dist,
            help=f"add prior: {{{name}: {{dist: normal}}}}",
        )
    if encoder.flow:
        return spec.diagnostic(
            "GD409",
            f"langevin moves {name} itself by the gradients of p: there is nothing for a flow to change",
            (*encoder.path, "flow"),
            help="drop it",
        )
    later = _later(graph, name)
    if later:
        return spec.diagnostic("GD211", f"langevin {later} is not built yet in this version", dist)
    data = blanket(graph, name)[1]
    if set(encoder.parents) != data:
        shown = ", ".join(n for n in graph.variables if n in data)
        return spec.diagnostic(
            "GD409",
            f"the posterior of {name} is given {shown} in this model",
            (*encoder.path, "given"),
            help=f"given: [{shown}]",
        )
    return None


def _later(graph: Graph, name: str) -> str:
    """What stands in the way and might be built one day, or an empty string."""
    latents, data = blanket(graph, name)
    critics = [c for c, critic in graph.critics.items() if name in critic.spec.sees]
    if critics:
        return f"of what an adversary sees ({critics[0]})"
    for other in graph.variables:
        if other in latents - {name} and graph.q(other) is not None:
            return f"beside the encoder of {other}"
        if other in latents and graph.variables[other].role is Role.PARTIAL:
            return f"beside {other}, which is known on some rows,"
    for factor in graph.side("p"):
        if factor.head in data and factor.agnostic and latents & set(factor.parents):
            return f"above a mixture over orders ({factor.head})"
        if factor.head in latents and any(graph.variables[n].missing for n in factor.parents):
            return f"of a latent whose prior reads missing entries ({factor.name})"
    return ""
