"""classify: the most probable value of a label, by its encoder."""

from __future__ import annotations

from gendsl.compiler.graph import Capability, Graph, Kind, Role


def plan(graph: Graph) -> Capability:
    targets = labelled(graph)
    if targets:
        return Capability(f"encoder of {', '.join(targets)}", Kind.ESTIMATE)
    return Capability(None, why="no observed label has an encoder; Bayes' rule through p is not built in this version")


def labelled(graph: Graph) -> list[str]:
    """Observed or partly observed finite variables with an encoder."""
    found = []
    for name, variable in graph.variables.items():
        finite = variable.support is not None and variable.support.count is not None
        if variable.role in (Role.OBSERVED, Role.PARTIAL) and finite and graph.q(name) is not None:
            found.append(name)
    return found
