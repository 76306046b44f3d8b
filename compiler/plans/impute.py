"""impute: not built in this version."""

from __future__ import annotations

from gendsl.compiler.graph import Capability, Graph


def plan(graph: Graph) -> Capability:
    return Capability(None, why="imputation is not built in this version")
