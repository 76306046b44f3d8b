"""Queries: what the model can be asked, each with its plan or the reason for its refusal."""

from __future__ import annotations

from gendsl.compiler.graph import Graph
from gendsl.compiler.plans import PLANS


def queries(graph: Graph) -> Graph:
    """One capability for each query."""
    return graph.update(capabilities={name: plan(graph) for name, plan in PLANS.items()})
