"""Which latents are sampled when the objective is computed, and by which bound."""

from __future__ import annotations

from gendsl.compiler.derive.discrete import score_functions
from gendsl.compiler.derive.posterior_chains import steps_of
from gendsl.compiler.graph import Graph, How
from gendsl.compiler.paths import DRAWN, how, noisy
from gendsl.schema.components.bound import Bound, Elbo

SAMPLED = (
    How.CLOSED,
    How.SAMPLED,
    How.CODE,
    How.FITTED,
    How.ADVERSARIAL,
    How.MMD,
    How.ENUMERATED,
    How.QUANTISED,
    How.CHAIN,
)
"""Routes that put sampled (or encoded) values above what is scored."""


COMPARED = (*DRAWN, How.CODE, How.FITTED, How.ADVERSARIAL, How.MMD)
"""Routes whose values, without an estimator, are real numbers made by an encoder: `objective.mmd` can compare
them with the prior's.
"""


def bound_of(graph: Graph) -> Bound:
    """The bound that is asked for; the ELBO with one sample where none is."""
    return graph.spec.objective.bound or Elbo()


def draws_of(graph: Graph) -> int:
    """Draws for each row of data in one evaluation of the objective.

    A score function's baseline needs a second draw; of one sample both bounds are the ELBO, whose mean over
    two draws is the same bound.
    """
    return max(bound_of(graph).samples, 2 if score_functions(graph) else 1)


def sampled(graph: Graph) -> list[str]:
    """Latents whose values are drawn from an encoder when the objective is computed."""
    return [n for n, r in graph.routes.items() if r.how in DRAWN]


def estimator(graph: Graph, latents: list[str], bound: Bound) -> str:
    kinds = ["enumerated"] if any(how(graph, v) is How.ENUMERATED for v in latents) else []
    if bound.weighted and any(how(graph, v) in DRAWN for v in latents):
        kinds.append(f"{bound.tag}, {bound.samples} samples")
    elif any(how(graph, v) is How.CHAIN for v in latents):
        kinds += [steps_of(graph, v) for v in latents if how(graph, v) is How.CHAIN]
    elif any(noisy(graph, v) for v in latents):
        samples = draws_of(graph)
        shown = f"{samples} sample{'s' if samples > 1 else ''}"
        plain = [
            v
            for v in latents
            if noisy(graph, v) and (v not in graph.routes or graph.routes[v].estimator is None)
        ]
        kinds += [f"reparameterised, {shown}"] if plain else [shown]
    kinds += dict.fromkeys(r.estimator.words for n, r in graph.routes.items() if n in latents and r.estimator)
    return ", ".join(kinds) or "exact"
