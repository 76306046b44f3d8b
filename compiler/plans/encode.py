"""encode: values of the latents given what is observed, by the encoder or by inverting a flow."""

from __future__ import annotations

from gendsl.compiler.derive.posterior_chains import spec_of, steps_of
from gendsl.compiler.graph import Capability, Graph, How, Kind, Role


def plan(graph: Graph) -> Capability:
    targets = encoded(graph)
    if not targets:
        return Capability(None, why="no latent has an encoder or is the base of a flow")
    inverted = [n for n in targets if graph.routes[n].how is How.BASE] if graph.routes else []
    if len(inverted) == len(targets):
        return Capability("inverse of the flow", Kind.EXACT)
    chains = [n for n in targets if spec_of(graph.q(n)) is not None]
    if chains:
        others = ", encoder" if len(chains) < len(targets) else ""
        why = "as far as the chain has come from the prior to the posterior"
        return Capability("; ".join(steps_of(graph, n) for n in chains) + others, Kind.ESTIMATE, why)
    return Capability("encoder", Kind.ESTIMATE, "samples of q, an approximation of the posterior")


def encoded(graph: Graph) -> list[str]:
    """Latents that have an encoder or are the base of a flow."""
    bases = graph.bases()
    latents = [n for n, v in graph.variables.items() if v.role is Role.LATENT]
    return [n for n in latents if graph.q(n) is not None or n in bases]
