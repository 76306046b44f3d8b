"""kl, prior, mutual_information, bound, classification, mmd: the terms of a latent's route and of its encoder."""

from __future__ import annotations

from collections.abc import Iterator

from gendsl.compiler.derive.notation import says, summed_over, tilt
from gendsl.compiler.derive.posterior_chains import steps_of
from gendsl.compiler.derive.sampling import COMPARED, sampled
from gendsl.compiler.graph import Graph, How, Kind, Role, Route, Term
from gendsl.compiler.paths import DRAWN, above, how, noisy
from gendsl.schema.components.bound import Bound
from gendsl.schema.components.dist_quantised import Vq


def latent(graph: Graph, name: str, route: Route, bound: Bound) -> Iterator[Term]:
    encoder, prior = graph.q(name), graph.p(name)
    if route.how in (How.CLOSED, How.SAMPLED, How.ENUMERATED):
        assert encoder is not None
        energy = graph.factors.get(f"energy.{name}")
        if prior is None:
            yield Term(
                f"kl.{name}",
                f"E_q[log {says(encoder)}{tilt(graph, name)}]",
                "model",
                Kind.UPPER,
                f"-log Z of exp(-E({name}))",
                "sampled",
                path=encoder.path,
            )
            return
        unknown = " on unknown rows" if graph.variables[name].known else ""
        random = any(noisy(graph, v) for v in (*encoder.parents, *prior.parents))
        exact = route.how is not How.SAMPLED and not random
        drawn = "" if route.estimator is None else f", {route.estimator.words}"
        words = {
            How.CLOSED: "closed form",
            How.ENUMERATED: "enumerated",
            How.SAMPLED: f"sampled ({route.why})" if route.why else "sampled",
        }
        yield Term(
            f"kl.{name}",
            f"E_q[log {says(encoder)} - log {summed_over(graph, name)}{says(prior)}{tilt(graph, name)}]{unknown}",
            "model",
            Kind.EXACT if exact else Kind.ESTIMATE,
            f"KL({says(encoder)} || {says(prior)})"
            if energy is None
            else f"KL({says(encoder)} || {says(prior)} {says(energy)} / Z) - log Z",
            words[route.how] + drawn,
            path=encoder.path,
        )
    elif route.how in (How.FITTED, How.QUANTISED):
        assert prior is not None
        random = prior.offers.estimated or any(noisy(graph, v) for v in above(graph, "p", name))
        yield Term(
            f"prior.{name}",
            f"-log {summed_over(graph, name)}{says(prior)} at the codes, which are cut",
            "model",
            Kind.ESTIMATE if random else Kind.EXACT,
            f"negative log density of the codes {name}",
            "sampled" if random else "exact",
            path=prior.path,
        )
    elif route.how is How.CHAIN:
        assert prior is not None
        yield Term(
            f"prior.{name}",
            f"-log {summed_over(graph, name)}{says(prior)}{tilt(graph, name)} at the chain's end, which is cut",
            "model",
            Kind.NONE,
            "its part of the gradient of -log p of the data, if the chain has come to the posterior",
            steps_of(graph, name),
            path=prior.path,
        )
    elif route.how is How.INFORMATION:
        assert encoder is not None
        yield Term(
            f"mutual_information.{name}",
            f"E[log {says(encoder)}], {name} and {', '.join(encoder.parents)} drawn from prior and decoder",
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
                f"-log {says(factor)}" + (" on known rows" if graph.variables[factor.head].known else ""),
                "model",
                Kind.ESTIMATE if factor.offers.estimated else Kind.EXACT,
                f"cross-entropy of {says(factor)}",
                "exact",
                auxiliary=True,
                path=factor.path,
            )


def codebooks(graph: Graph) -> Iterator[Term]:
    """What draws codewords and encoder together, of every quantised latent that is above something scored."""
    for name, route in graph.routes.items():
        encoder = graph.q(name)
        if graph.codewords(name) is None or encoder is None or route.how not in (How.CODE, How.QUANTISED):
            continue
        assert isinstance(encoder.dist, Vq)
        yield Term(
            f"codebook.{name}",
            f"|sg(e) - b|^2 + {encoder.dist.commitment:g} |e - sg(b)|^2, e the encoder's vectors, b their codewords",
            "model",
            Kind.NONE,
            f"squared distance of the vectors of {name} from their codewords",
            "exact" if not any(noisy(graph, v) for v in encoder.parents) else "sampled",
            auxiliary=True,
            path=encoder.path,
        )


def total_correlations(graph: Graph) -> Iterator[Term]:
    """Total correlations that are asked for, of latents drawn from an encoder that is a product over entries."""
    for name in graph.spec.objective.total_correlation:
        encoder = graph.q(name)
        if how(graph, name) not in DRAWN or graph.routes[name].estimator is not None or encoder is None:
            continue
        if not encoder.product:
            continue
        yield Term(
            f"total_correlation.{name}",
            f"E_q[log q({name}) - sum_d log q({name}_d)], q({name}) the mean of {says(encoder)} over the data",
            "model",
            Kind.ESTIMATE,
            f"total correlation of the aggregate posterior of {name}",
            "minibatch-weighted",
            auxiliary=True,
            path=("objective", "total_correlation", name),
        )


def discrepancies(graph: Graph) -> Iterator[Term]:
    """Maximum mean discrepancies that are asked for."""
    for name in graph.spec.objective.mmd:
        if how(graph, name) in COMPARED and graph.routes[name].estimator is None:
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
