"""Learned dequantizers: the term of what one adds to a bound, and what has one (docs/semantics.md, section 8).

With k the value on its grid, u in [0, 1) drawn by q(u | k), and x = f(k + u) the variable after its steps
(Ho et al. 2019, arXiv 1902.00275, eq. 4):

    log P(k) >= E_q[log p(x) + log |dx/du| - log q(u | k)].
"""

from __future__ import annotations

from collections.abc import Iterator

from gendsl.compiler.graph import Factor, Graph, Kind, Term


def dequantizers(graph: Graph) -> tuple[Factor, ...]:
    """The learned dequantizers, one for each variable that has one."""
    return tuple(graph.side("d"))


def dequantizations(graph: Graph) -> Iterator[Term]:
    """dequantization.x of every variable with a learned dequantizer."""
    for factor in dequantizers(graph):
        yield Term(
            f"dequantization.{factor.head}",
            f"E_q[log q(u | {factor.head}) - log |d{factor.head}/du|], u between the values of the column",
            "model",
            Kind.ESTIMATE,
            f"what the choice of {factor.head} within its cell costs",
            "one draw",
            path=factor.path,
        )


def of_the_column(graph: Graph, whole: tuple[Kind, str, str]) -> tuple[Kind, str, str]:
    """What the objective is once a dequantizer is learned: an exact density becomes a bound on a probability."""
    factors = dequantizers(graph)
    kind, target, _ = whole
    if not factors or kind not in (Kind.EXACT, Kind.LOWER):
        return whole
    names = ", ".join(f.head for f in factors)
    target = target.replace("log p(", "log P(", 1)
    return (
        Kind.LOWER,
        target,
        f"minus the loss bounds the probability of the column of {names}: {target} is at least this",
    )
