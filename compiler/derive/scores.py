"""likelihood and reconstruction: the term of a scored variable (docs/semantics.md, sections 4 and 8)."""

from __future__ import annotations

from gendsl.compiler.derive.notation import marginal, says, summed_over
from gendsl.compiler.derive.sampling import SAMPLED, estimator
from gendsl.compiler.graph import Graph, How, Kind, Term
from gendsl.compiler.paths import above, how, joint, noisy, scored_by
from gendsl.schema.components.bound import Bound


def score(graph: Graph, name: str, bound: Bound) -> Term:
    factor = graph.p(name)
    assert factor is not None
    reached = above(graph, "p", name)
    summed = [v for v in graph.order("p") if v in reached and how(graph, v) is How.SUMMED]
    for before in joint(graph, name)[:-1]:
        reached |= above(graph, "p", before) if summed else set()
    inferred = [v for v in graph.order("p") if v in reached and how(graph, v) in SAMPLED]
    inside = says(factor)
    if factor.base is not None:
        base = graph.p(factor.base)
        assert base is not None
        inside = f"{says(base)} |d{factor.base}/d{name}|"
    inside = summed_over(graph, name) + inside
    known = " on known rows" if graph.variables[name].known else ""
    if not inferred and factor.agnostic and not summed:
        return Term(
            f"likelihood.{name}",
            f"-E_H[D / |H| sum over i in H of log p({name}_i | {', '.join([f'{name} not in H', *factor.parents])})]"
            f"{known}",
            "model",
            Kind.ESTIMATE,
            f"-E_order[log {marginal(graph, name)} in that order]",
            "one random set H of hidden entries",
            path=factor.path,
        )
    if not inferred:
        random = any(graph.factors[f].offers.estimated for f in scored_by(graph, name))
        return Term(
            f"likelihood.{name}",
            f"-log {inside}{known}",
            "model",
            Kind.ESTIMATE if random or factor.agnostic else Kind.EXACT,
            f"-log {marginal(graph, name)}",
            ("log-determinant estimated" if random else "summed" if summed else "exact")
            + (", along one random order" if factor.agnostic else ""),
            path=factor.path,
        )
    option = graph.spec.objective.reconstruction.get(name)
    if option is not None and option.in_ is not None:
        critic = option.in_.split(".")[0]
        return Term(
            f"reconstruction.{name}",
            f"-E_q[log N(f({name}); f(mean), 1)], f = the last hidden layer of {critic}",
            "model",
            Kind.NONE,
            f"squared distance in {critic}'s features",
            "sampled",
            path=factor.path,
        )
    chained = [v for v in inferred if how(graph, v) is How.CHAIN]
    if chained:
        return Term(
            f"reconstruction.{name}",
            f"-log {inside}, {', '.join(chained)} at the end of its chain, which is cut",
            "model",
            Kind.NONE,
            "its part of the gradient of -log p of the data, if the chain has come to the posterior",
            estimator(graph, inferred, bound),
            path=factor.path,
        )
    codes = all(how(graph, v) in (How.CODE, How.QUANTISED) for v in inferred)
    drawn = any(noisy(graph, v) for v in inferred)
    random = drawn or factor.offers.estimated
    expect = "E_q[" if drawn or not codes else "["
    walkback = f", mean over {option.walkback + 1} states of the chain" if option and option.walkback else ""
    return Term(
        f"reconstruction.{name}",
        f"-{expect}log {inside}]{known}{walkback}",
        "model",
        Kind.ESTIMATE if random else Kind.EXACT,
        f"expected negative log-likelihood of {name}" if not codes else f"-log {says(factor)} at the code",
        estimator(graph, inferred, bound),
        path=factor.path,
    )
