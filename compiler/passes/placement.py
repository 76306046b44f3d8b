"""Placement: which implementation each fused operation gets, and why."""

from __future__ import annotations

from gendsl.compiler.graph import Critic, Factor, Graph
from gendsl.errors import SpecError
from gendsl.kernels.table import KernelError, Placement, place


def placement(graph: Graph) -> Graph:
    """One placement for each operation that a layer or a net of the graph names. Refuses a kernel that cannot run."""
    try:
        return graph.update(placements=_placements(graph))
    except KernelError as error:
        problem = graph.spec.diagnostic("GD602", str(error), ("run", "kernels"), help="write kernels: auto")
        raise SpecError([problem]) from None


def _placements(graph: Graph) -> tuple[Placement, ...]:
    layers = [layer.op for factor in graph.factors.values() for layer in factor.flow]
    made_of: tuple[Factor | Critic, ...] = (*graph.factors.values(), *graph.critics.values())
    nets = [owner.net.op for owner in made_of if owner.net is not None]
    ops = sorted({op for op in (*layers, *nets) if op is not None})
    return tuple(place(op, graph.device, graph.spec.run.kernels) for op in ops)
