"""The KL of a latent that is drawn from its encoder: in closed form or by samples (docs/semantics.md, section 4)."""

from __future__ import annotations

from gendsl.compiler.graph import Factor, Graph, How, Route
from gendsl.compiler.paths import varies


def kl(graph: Graph, name: str, encoder: Factor, prior: Factor) -> Route:
    """In closed form only if a formula exists, no flow is in the way, and neither side waits for another
    latent.
    """
    assert encoder.dist is not None
    assert prior.dist is not None
    bound = graph.spec.objective.bound
    below = set(prior.parents) & graph.descendants("q", name)
    summed = set().union(*(varies(graph, v) for v in (*prior.parents, *encoder.parents)))
    why = ""
    if bound is not None and bound.weighted:
        why = f"{bound.tag} uses log w"
    elif encoder.flow or prior.flow:
        why = "a flow is in the way"
    elif prior.dist.tag not in encoder.dist.closed_kl:
        why = f"no formula for KL({encoder.dist.tag} || {prior.dist.tag})"
    elif encoder.autoregressive or prior.autoregressive:
        why = "an autoregressive factor is in the way"
    elif below:
        why = f"{', '.join(sorted(below))} is a parent of {name} in p and follows from it in q"
    elif name in graph.spec.energy:
        why = f"an energy tilts p({name})"
    elif summed:
        why = f"{', '.join(sorted(summed))} is summed out"
    return Route(name, How.SAMPLED if why else How.CLOSED, encoder.name, why)
