"""Latents whose samples have no gradient: enumerated, or drawn with an estimator (docs/semantics.md, section 4)."""

from __future__ import annotations

import math

from gendsl.compiler.derive.divergence import kl
from gendsl.compiler.graph import Factor, Graph, How, Route
from gendsl.errors import Diagnostic
from gendsl.schema.components.estimator import Enumerate, Estimator, ScoreFunction
from gendsl.schema.facts import numel

CHOICES = "score_function (unbiased), gumbel or straight_through"
"""What a message offers for a finite latent."""

RELAXED = "gumbel"
"""The other relaxed estimator."""


def without_gradient(graph: Graph, name: str, encoder: Factor, prior: Factor) -> Route | Diagnostic:
    """Enumerated, or drawn by the estimator that is named; under weighted bounds by score function."""
    spec, bound = graph.spec, graph.spec.objective.bound
    named = spec.objective.estimator.get(name)
    path = ("objective", "estimator", name)
    assert encoder.dist is not None
    if bound is not None and bound.weighted:
        if named is not None and not isinstance(named, ScoreFunction):
            return spec.diagnostic(
                "GD508",
                f"{bound.tag} averages weights of real draws: {named.tag} of {name} gives none",
                path,
                help=f"drop it: under {bound.tag} a discrete latent is drawn, with the gradient of score_function",
            )
        named = named or ScoreFunction()
    if named is None and not graph.variables[name].finite:
        return spec.diagnostic(
            "GD505",
            f"the samples of {encoder.name} have no gradient: {encoder.dist.no_gradient}",
            (*encoder.path, "dist"),
            help=f"name an estimator: objective: {{estimator: {{{name}: score_function}}}}",
        )
    if named is not None and named.finite and not graph.variables[name].finite:
        return spec.diagnostic(
            "GD507",
            f"{named.tag} lists the values of {name}, which are not finitely many",
            path,
            help="score_function draws them",
        )
    if named is None or isinstance(named, Enumerate):
        return Route(name, How.ENUMERATED, encoder.name)
    unlisted = [f for f in (encoder, prior) if not f.product]
    if named.relaxed and unlisted:
        return not_listed(graph, name, unlisted[-1], "score_function draws real values")
    return _drawn(graph, name, encoder, prior, named)


def _drawn(graph: Graph, name: str, encoder: Factor, prior: Factor, named: Estimator) -> Route:
    found = kl(graph, name, encoder, prior)
    return Route(name, found.how, encoder.name, found.why, named)


def not_listed(graph: Graph, name: str, factor: Factor, instead: str) -> Diagnostic:
    """Relaxed values are asked of what is no product over entries."""
    return graph.spec.diagnostic(
        "GD505",
        f"relaxed values of {name} need the log-probability of every value of every entry, and {factor.name} is no "
        "product over entries",
        ("objective", "estimator", name),
        help=instead,
        related=((f"{factor.name} is here", factor.path),),
    )


def score_functions(graph: Graph) -> list[str]:
    """The latents whose gradient is taken by score function."""
    return [n for n, r in graph.routes.items() if isinstance(r.estimator, ScoreFunction)]


def relaxed(graph: Graph) -> list[str]:
    """The latents of which weights of the values are read in training in place of a value."""
    return [n for n, r in graph.routes.items() if r.estimator is not None and r.estimator.relaxed]


def states(graph: Graph, name: str) -> int:
    """How many joint values a finite variable has."""
    variable = graph.variables[name]
    assert variable.support is not None
    assert variable.support.count is not None
    assert variable.shape is not None
    size = numel(variable.shape)
    return int(variable.support.count**size) if size * math.log2(variable.support.count) < 64 else 2**64
