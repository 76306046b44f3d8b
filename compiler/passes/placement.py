"""Placement: which implementation each fused operation gets, and why."""

from __future__ import annotations

from gendsl.compiler.graph import Graph
from gendsl.kernels.table import Placement, place


def placement(graph: Graph) -> Graph:
    """One placement for each operation that a layer of the graph names."""
    ops = sorted({layer.op for f in graph.factors.values() for layer in f.flow if layer.op is not None})
    found: list[Placement] = [place(op, graph.device, graph.spec.run.kernels) for op in ops]
    return graph.update(placements=tuple(found))
