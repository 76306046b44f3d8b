"""kl, prior, mutual_information, bound, classification, mmd: the terms of a latent's route and of its encoder."""

from __future__ import annotations

from collections.abc import Iterator

from gendsl.compiler.derive.notation import says, summed_over
from gendsl.compiler.derive.sampling import COMPARED, sampled
from gendsl.compiler.graph import Graph, How, Kind, Role, Route, Term
from gendsl.compiler.paths import above, how, noisy
from gendsl.schema.components.bound import Bound


def latent(graph: Graph, name: str, route: Route, bound: Bound) -> Iterator[Term]:
    encoder, prior = graph.q(name), graph.p(name)
    if route.how in (How.CLOSED, How.SAMPLED, How.ENUMERATED):
        assert encoder is not None
        assert prior is not None
        unknown = " on unknown rows" if graph.variables[name].known else ""
        random = any(noisy(graph, v) for v in (*encoder.parents, *prior.parents))
        exact = route.how is not How.SAMPLED and not random
        words = {
            How.CLOSED: "closed form",
            How.ENUMERATED: "enumerated",
            How.SAMPLED: f"sampled ({route.why})" if route.why else "sampled",
        }
        yield Term(
            f"kl.{name}",
            f"E_q[log {says(graph, encoder)} - log {summed_over(graph, name)}{says(graph, prior)}]{unknown}",
            "model",
            Kind.EXACT if exact else Kind.ESTIMATE,
            f"KL({says(graph, encoder)} || {says(graph, prior)})",
            words[route.how],
            path=encoder.path,
        )
    elif route.how is How.FITTED:
        assert prior is not None
        random = prior.offers.estimated or any(noisy(graph, v) for v in above(graph, "p", name))
        yield Term(
            f"prior.{name}",
            f"-log {summed_over(graph, name)}{says(graph, prior)} at the codes, which are cut",
            "model",
            Kind.ESTIMATE if random else Kind.EXACT,
            f"negative log density of the codes {name}",
            "sampled" if random else "exact",
            path=prior.path,
        )
    elif route.how is How.INFORMATION:
        assert encoder is not None
        yield Term(
            f"mutual_information.{name}",
            f"E[log {says(graph, encoder)}], {name} and {', '.join(encoder.parents)} drawn from prior and "
            "decoder",
            "model",
            Kind.ESTIMATE,
            f"a lower bound of I({name}; {', '.join(encoder.parents)}) - H({name})",
            "sampled",
            sign=-1,
            auxiliary=True,
            path=encoder.path,
        )


def weighting(graph: Graph, bound: Bound) -> Iterator[Term]:
    """What an importance-weighted bound adds to the weighted terms."""
    if bound.weighted and sampled(graph):
        s = bound.power
        yield Term(
            "bound." + bound.tag,
            "KL(w^ || uniform)" + (f" / {s:g}" if s != 1 else "") + ", w^ the normalised importance weights",
            "model",
            Kind.ESTIMATE,
            f"what the {bound.tag} bound adds to the weighted terms; between 0 and log k",
            f"{bound.tag}, {bound.samples} samples",
            path=("objective", "bound"),
        )


def classification(graph: Graph) -> Iterator[Term]:
    """The encoder of a variable that is observed, at least on some rows."""
    for factor in graph.side("q"):
        if graph.variables[factor.head].role in (Role.OBSERVED, Role.PARTIAL):
            yield Term(
                f"classification.{factor.head}",
                f"-log {says(graph, factor)}"
                + (" on known rows" if graph.variables[factor.head].known else ""),
                "model",
                Kind.ESTIMATE if factor.offers.estimated else Kind.EXACT,
                f"cross-entropy of {says(graph, factor)}",
                "exact",
                auxiliary=True,
                path=factor.path,
            )


def discrepancies(graph: Graph) -> Iterator[Term]:
    """Maximum mean discrepancies that are asked for."""
    for name in graph.spec.objective.mmd:
        if how(graph, name) in COMPARED:
            yield Term(
                f"mmd.{name}",
                f"MMD^2(q({name}), p({name}))",
                "model",
                Kind.ESTIMATE,
                f"squared maximum mean discrepancy of codes and prior of {name}",
                "unbiased, inverse multiquadratic kernel",
                auxiliary=True,
                path=("objective", "mmd", name),
            )
