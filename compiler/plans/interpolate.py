"""interpolate: the means of p(x | z) on the line between two encoded rows."""

from __future__ import annotations

from gendsl.compiler.graph import Capability, Graph, Kind, Role
from gendsl.compiler.plans.reconstruct import rebuilt


def plan(graph: Graph) -> Capability:
    targets = rebuilt(graph)
    if not targets:
        return Capability(None, why="no observed variable can be rebuilt from encoded latents")
    for name in targets:
        factor = graph.p(name)
        assert factor is not None
        for parent in factor.parents:
            support = graph.variables[parent].support
            if graph.variables[parent].role is Role.LATENT and support is not None and support.integer:
                return Capability(
                    None, why=f"{parent} is discrete: there is nothing between two of its values"
                )
    return Capability("straight line between encoded means", Kind.ESTIMATE)
