"""Factors in mathematical notation, for formulas and messages."""

from __future__ import annotations

from gendsl.compiler.graph import Factor, Graph, How, Role
from gendsl.compiler.paths import above, how, joint


def says(factor: Factor) -> str:
    """The factor in mathematical notation: p(x | z, y)."""
    if factor.side == "e":
        return f"exp(-{energy_of(factor)})"
    if factor.side == "d":
        return f"q(u | {factor.head})"
    given = f" | {', '.join(factor.parents)}" if factor.parents else ""
    return f"{factor.side}({factor.head}{given})"


def energy_of(factor: Factor, mark: str = "") -> str:
    """An energy, without the exponential: E(z, y); `mark` stands after its head."""
    return f"E({', '.join((factor.head + mark, *factor.parents))})"


def tilt(graph: Graph, name: str) -> str:
    """` + E(z)`: what the energy of a variable adds to minus the log of its density; empty without one."""
    factor = graph.factors.get(f"energy.{name}")
    return "" if factor is None else f" + {energy_of(factor)}"


def summed_over(graph: Graph, name: str) -> str:
    """`sum over c of `, where latents above are summed out."""
    summed = [v for v in graph.order("p") if v in above(graph, "p", name) and how(graph, v) is How.SUMMED]
    return f"sum over {', '.join(summed)} of " if summed else ""


def marginal(graph: Graph, name: str) -> str:
    """p(x | what is given): conditions and observed ancestors, and by the chain rule what summed latents
    connect.
    """
    reached = above(graph, "p", name)
    conditions = [v for v in reached if graph.variables[v].role is Role.CONDITION]
    modelled = [v for v in (*reached, *joint(graph, name)[:-1]) if v in graph.scored]
    given = ", ".join(v for v in graph.variables if v in {*conditions, *modelled})
    return f"p({name} | {given})" if given else f"p({name})"
