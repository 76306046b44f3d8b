"""Placement: which implementation each fused operation gets, and why; which networks are not compiled."""

from __future__ import annotations

from collections.abc import Iterator

from gendsl.compiler.derive.twice import twice
from gendsl.compiler.graph import Critic, Factor, Graph
from gendsl.errors import Diagnostic, SpecError
from gendsl.kernels.table import KernelError, Placement, place


def placement(graph: Graph) -> Graph:
    """One placement for each operation that a layer or a net of the graph names. Refuses a kernel that cannot run."""
    try:
        return graph.update(placements=_placements(graph), notes=(*graph.notes, *_uncompiled(graph)))
    except KernelError as error:
        problem = graph.spec.diagnostic("GD602", str(error), ("run", "kernels"), help="write kernels: auto")
        raise SpecError([problem]) from None


def _placements(graph: Graph) -> tuple[Placement, ...]:
    layers = [layer.op for factor in graph.factors.values() for layer in factor.flow]
    made_of: tuple[Factor | Critic, ...] = (*graph.factors.values(), *graph.critics.values())
    nets = [owner.net.op for owner in made_of if owner.net is not None]
    ops = sorted({op for op in (*layers, *nets) if op is not None})
    return tuple(place(op, graph.device, graph.spec.run.kernels) for op in ops)


def _uncompiled(graph: Graph) -> Iterator[Diagnostic]:
    """Notes on networks that run.compile leaves as they are: compiled code has no second derivative."""
    for name, why in twice(graph).items() if graph.spec.run.compile else ():
        yield graph.spec.diagnostic(
            "GD602", f"{name} is not compiled: {why}", ("run", "compile"), severity="note"
        )
