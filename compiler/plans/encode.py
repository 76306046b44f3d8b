"""encode: values of the latents given what is observed, by the encoder or by inverting a flow."""

from __future__ import annotations

from gendsl.compiler.graph import Capability, Graph, How, Kind, Role


def plan(graph: Graph) -> Capability:
    targets = encoded(graph)
    if not targets:
        return Capability(None, why="no latent has an encoder or is the base of a flow")
    inverted = [n for n in targets if graph.routes[n].how is How.BASE] if graph.routes else []
    if len(inverted) == len(targets):
        return Capability("inverse of the flow", Kind.EXACT)
    return Capability("encoder", Kind.ESTIMATE, "samples of q, an approximation of the posterior")


def encoded(graph: Graph) -> list[str]:
    """Latents that have an encoder or are the base of a flow."""
    bases = graph.bases()
    latents = [n for n, v in graph.variables.items() if v.role is Role.LATENT]
    return [n for n in latents if graph.q(n) is not None or n in bases]
