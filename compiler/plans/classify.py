"""classify: the most probable value of a label given everything else that is observed.

By the label's encoder where it has one; by its own factor p(y | x) where y has no children and its parents
are data; else by Bayes' rule, p(y | x) proportional to p(x, y), each log p computed as `log_prob` does, with
the same random numbers for every value of the label.
"""

from __future__ import annotations

from gendsl.compiler.graph import Capability, Graph, Kind, Role, worst
from gendsl.compiler.paths import above, is_data
from gendsl.compiler.plans import log_prob


def plan(graph: Graph) -> Capability:
    targets = labelled(graph)
    ways = {n: way for n in targets if (way := by(graph, n))}
    if ways:
        kinds = {
            "encoder": Kind.ESTIMATE,
            "factor": Kind.EXACT,
            "Bayes' rule": log_prob.plan(graph).kind or Kind.NONE,
        }
        kind = worst(kinds[way] for way in ways.values())
        words = [
            f"{way} of {name}" if way != "Bayes' rule" else f"Bayes' rule for {name}"
            for name, way in ways.items()
        ]
        return Capability(", ".join(words), Kind.ESTIMATE if kind is Kind.LOWER else kind)
    if not targets:
        return Capability(
            None, why="no label beside other observed variables has a distribution in p or an encoder"
        )
    why = log_prob.plan(graph).why
    return Capability(None, why=f"{', '.join(targets)} has no encoder, and Bayes' rule needs log_prob: {why}")


def labelled(graph: Graph) -> list[str]:
    """Labels, always or partly observed, with a distribution in p or an encoder, beside something that tells
    of them.
    """
    roles = (Role.OBSERVED, Role.PARTIAL, Role.CONDITION)
    bound = [n for n, v in graph.variables.items() if v.role in roles]
    found = []
    for name in bound:
        variable = graph.variables[name]
        label = variable.shape == () and variable.finite
        modelled = graph.p(name) is not None or graph.q(name) is not None
        if label and modelled and variable.role is not Role.CONDITION and len(bound) > 1:
            found.append(name)
    return found


def by(graph: Graph, name: str) -> str:
    """How a label is classified: `encoder`, `factor`, `Bayes' rule`, or an empty string."""
    if graph.q(name) is not None:
        return "encoder"
    factor = graph.p(name)
    if factor is None or not factor.offers.enumerate:
        return ""
    if (
        not graph.descendants("p", name)
        and factor.parents
        and all(is_data(graph, v) for v in above(graph, "p", name))
    ):
        return "factor"
    return "Bayes' rule" if log_prob.plan(graph).how is not None else ""
