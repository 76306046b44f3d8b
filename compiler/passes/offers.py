"""What each factor offers: samples, gradients through samples, density."""

from __future__ import annotations

from dataclasses import replace

from gendsl.compiler.graph import Factor, Graph
from gendsl.schema.components.flow import estimates
from gendsl.schema.facts import Cost, Density, Offers


def offers(graph: Graph) -> Graph:
    """Composes what a factor's distribution and flow offer."""
    factors = dict(graph.factors)
    for name, factor in graph.factors.items():
        if factor.base is None:
            factors[name] = replace(factor, offers=_own(graph, factor))
    graph = graph.update(factors=factors)
    for name, factor in graph.factors.items():
        if factor.base is not None:
            base = graph.p(factor.base)
            assert base is not None
            factors[name] = replace(factor, offers=_flowed(graph, factor, base.offers))
    return graph.update(factors=factors)


def _own(graph: Graph, factor: Factor) -> Offers:
    if factor.side == "e":
        return Offers(sample=False, density=Density.UNNORMALISED)
    if factor.dist is None:
        return Offers(sample=True, rsample=True)
    support = graph.variables[factor.head].support
    assert support is not None
    own = factor.dist.offers(support)
    if factor.net is not None and factor.net.random:
        own = replace(own, density=Density.NONE, enumerate=False)
    return _flowed(graph, factor, own)


def _flowed(graph: Graph, factor: Factor, base: Offers) -> Offers:
    """A density at any point needs every inverse; without one, samples still know their own."""
    if not factor.flow:
        return base
    outwards = all(layer.forward_cost is not Cost.NONE for layer in factor.flow)
    inwards = all(layer.inverse_cost is not Cost.NONE for layer in factor.flow)
    density = base.density if inwards else Density.OWN
    if not inwards and (not outwards or base.density not in (Density.ANY, Density.OWN)):
        density = Density.NONE
    shape = graph.variables[factor.head].shape
    assert shape is not None
    return Offers(
        sample=base.sample and outwards,
        rsample=base.rsample and outwards,
        density=density,
        estimated=base.estimated or bool(estimates(factor.flow, shape)),
    )
