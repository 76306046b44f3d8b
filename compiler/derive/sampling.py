"""Which latents are sampled when the objective is computed, and by which bound."""

from __future__ import annotations

from gendsl.compiler.graph import Graph, How
from gendsl.compiler.paths import DRAWN, how, noisy
from gendsl.schema.components.bound import Bound, Elbo

SAMPLED = (How.CLOSED, How.SAMPLED, How.CODE, How.FITTED, How.ADVERSARIAL, How.MMD, How.ENUMERATED)
"""Routes that put sampled (or encoded) values above what is scored."""


COMPARED = (*DRAWN, How.CODE, How.FITTED, How.ADVERSARIAL, How.MMD)
"""Routes whose values are real numbers made by an encoder: `objective.mmd` can compare them with the
prior's.
"""


def bound_of(graph: Graph) -> Bound:
    """The bound that is asked for; the ELBO with one sample where none is."""
    return graph.spec.objective.bound or Elbo()


def sampled(graph: Graph) -> list[str]:
    """Latents whose values are drawn from an encoder when the objective is computed."""
    return [n for n, r in graph.routes.items() if r.how in DRAWN]


def estimator(graph: Graph, latents: list[str], bound: Bound) -> str:
    kinds = ["enumerated"] if any(how(graph, v) is How.ENUMERATED for v in latents) else []
    if bound.weighted and any(how(graph, v) in DRAWN for v in latents):
        kinds.append(f"{bound.tag}, {bound.samples} samples")
    elif any(noisy(graph, v) for v in latents):
        kinds.append(f"reparameterised, {bound.samples} sample{'s' if bound.samples > 1 else ''}")
    return ", ".join(kinds) or "exact"
