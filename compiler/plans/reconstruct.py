"""reconstruct: the mean of p(x | z) at encoded latents."""

from __future__ import annotations

from gendsl.compiler.graph import Capability, Graph, Kind, Role
from gendsl.compiler.plans.chain import chain_of
from gendsl.compiler.plans.encode import encoded
from gendsl.compiler.plans.sample import drawn


def plan(graph: Graph) -> Capability:
    targets = rebuilt(graph)
    if targets:
        return Capability(
            f"encode, then the mean of {', '.join(f'p({t} | ...)' for t in targets)}", Kind.ESTIMATE
        )
    if not encoded(graph):
        return Capability(None, why="no latent has an encoder or is the base of a flow")
    return Capability(None, why="no observed variable depends on encoded latents alone")


def decodable(graph: Graph) -> bool:
    """Whether means of p(x | z) can be computed at samples of the latents."""
    sampled, rebuilds = graph.capabilities["sample"].how, graph.capabilities["reconstruct"].how
    return sampled is not None and rebuilds is not None and chain_of(graph) is None


def rebuilt(graph: Graph) -> list[str]:
    """Observed variables whose latent parents can all be encoded, with at least one of them."""
    codes = set(encoded(graph))
    found = []
    for name in drawn(graph):
        factor = graph.p(name)
        if factor is None or factor.autoregressive or name in graph.spec.energy:
            continue
        latents = [v for v in factor.parents if graph.variables[v].role is Role.LATENT]
        if latents and all(v in codes for v in latents):
            found.append(name)
    return found
