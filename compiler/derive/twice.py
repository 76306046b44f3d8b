"""Which networks are differentiated twice: a term takes their gradient, and training the gradient of that term.

Penalties and unrolling do it to a critic, path-length regularisation to a decoder, score matching to an energy.
"""

from __future__ import annotations

from collections.abc import Iterator

from gendsl.compiler.derive.energies import Way, way
from gendsl.compiler.graph import Graph


def twice(graph: Graph) -> dict[str, str]:
    """Factors and critics with a second derivative in training, each with the reason in words."""
    return dict(_reasons(graph))


def _reasons(graph: Graph) -> Iterator[tuple[str, str]]:
    for critic in graph.critics.values():
        slopes = [p.tag for p in critic.spec.penalty if p.differentiates]
        if slopes:
            yield critic.player, f"its penalty {slopes[0]} takes its gradient"
        elif critic.spec.unroll is not None:
            yield critic.player, "the model's gradient goes through its steps"
    for name in graph.spec.objective.path_length:
        factor = graph.p(name)
        if factor is not None:
            yield factor.name, "path-length regularisation takes its gradient"
    for name in graph.spec.energy:
        if way(graph, name) is Way.SCORE:
            yield f"energy.{name}", "score matching takes its gradient"
