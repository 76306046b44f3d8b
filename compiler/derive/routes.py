"""The route of one latent: the first rule that fits (docs/semantics.md, section 4)."""

from __future__ import annotations

import math

from gendsl.compiler.derive.discrete import without_gradient
from gendsl.compiler.derive.divergence import kl
from gendsl.compiler.derive.layers import no_inverse
from gendsl.compiler.derive.posterior_chains import refused, spec_of
from gendsl.compiler.graph import Factor, Graph, How, Role, Route
from gendsl.compiler.paths import has_no_encoder
from gendsl.errors import Diagnostic
from gendsl.schema.facts import Density
from gendsl.schema.nodes import Path

STOCHASTIC = (Density.ANY, Density.OWN)


def route(graph: Graph, name: str, needed: bool) -> Route | Diagnostic | None:
    encoder, prior = graph.q(name), graph.p(name)
    flow = graph.bases().get(name)
    if flow is not None:
        return _base(graph, name, flow, encoder)
    if encoder is not None and encoder.offers.density in STOCHASTIC:
        return _inferred(graph, name, encoder, prior, needed)
    if encoder is not None and spec_of(encoder) is not None and (needed or graph.seen_by(name)):
        return _chained(graph, name, encoder, prior)
    if encoder is not None:
        return _point(graph, name, encoder, prior, needed)
    if prior is None:
        return None
    if needed and has_no_encoder(graph, name) and prior.offers.density is Density.ANY:
        return Route(name, How.SUMMED)
    if graph.variables[name].role is Role.PARTIAL:
        return None
    return Route(name, How.SAMPLED_ONLY)


def suited(graph: Graph, name: str) -> str:
    """A distribution with a density where a latent lies, for advice."""
    support = graph.variables[name].support
    assert support is not None
    if support.integer:
        return "poisson" if support.count is None else "bernoulli" if support.count == 2 else "categorical"
    if support.low == -math.inf:
        return "normal"
    return "gamma" if support.high == math.inf else "beta"


def _base(graph: Graph, name: str, flow: Factor, encoder: Factor | None) -> Route | Diagnostic:
    if encoder is not None:
        return graph.spec.diagnostic(
            "GD308",
            f"{name} is the base of the flow to {flow.head}: its value follows by inverting the flow",
            encoder.path,
            on="key",
            help=f"drop encoder.{name}",
            related=(("it is the base here", (*flow.path, "given", 0)),),
        )
    return no_inverse(graph, flow, "at the data") or Route(name, How.BASE)


def _inferred(
    graph: Graph, name: str, encoder: Factor, prior: Factor | None, needed: bool
) -> Route | Diagnostic | None:
    """An encoder with a density: KL in closed form, sampled, or enumerated; mutual information above nothing
    scored.
    """
    variable = graph.variables[name]
    if variable.role is Role.OBSERVED:
        return None
    if not needed and variable.role is Role.LATENT and name not in graph.spec.energy:
        if graph.seen_by(name):
            return Route(name, How.SAMPLED_ONLY, encoder.name)
        if prior is None or not graph.descendants("p", name):
            return graph.spec.diagnostic(
                "GD502",
                f"{name} has an encoder but no part in p: nothing is to be inferred",
                encoder.path,
                on="key",
                help=f"add prior: {{{name}: ...}} and make {name} a parent of what is observed, or drop the "
                "encoder",
            )
        if encoder.offers.density is not Density.ANY:
            return no_density(graph, encoder, "at samples of the prior", prior)
        return Route(name, How.INFORMATION, encoder.name)
    if prior is None and name in graph.spec.energy:
        return Route(name, How.SAMPLED, encoder.name, f"against the energy of {name}")
    if prior is None:
        if variable.role is Role.PARTIAL:
            return None
        return graph.spec.diagnostic(
            "GD502",
            f"{name} has a stochastic encoder but no prior: KL(q || p) has no p",
            encoder.path,
            on="key",
            help=f"add prior: {{{name}: {{dist: {suited(graph, name)}}}}}, or make the encoder deterministic (an "
            "autoencoder's code)",
        )
    if prior.offers.density is not Density.ANY:
        return no_density(graph, prior, f"at the encoder's samples of {name}", encoder)
    if not encoder.offers.rsample or variable.finite:
        return without_gradient(graph, name, encoder, prior)
    return kl(graph, name, encoder, prior)


def _chained(graph: Graph, name: str, encoder: Factor, prior: Factor | None) -> Route | Diagnostic:
    """An encoder that is a chain on p needs log p, and its gradient, at the chain's states."""
    if prior is not None and prior.offers.density is not Density.ANY:
        return no_density(graph, prior, f"at the states of the chain of {name}", encoder)
    return refused(graph, name, encoder, prior) or Route(name, How.CHAIN, encoder.name)


def _point(
    graph: Graph, name: str, encoder: Factor, prior: Factor | None, needed: bool
) -> Route | Diagnostic | None:
    """A deterministic or implicit encoder: there is no KL."""
    assert encoder.dist is not None
    spec = graph.spec
    critics = graph.seen_by(name)
    if not needed:
        if critics:
            return Route(name, How.SAMPLED_ONLY, encoder.name)
        return spec.diagnostic(
            "GD511",
            f"the {encoder.dist.tag} encoder of {name} has no density, and {name} is above nothing that is scored",
            (*encoder.path, "dist"),
            help=f"give it a density (normal, categorical), or an adversary that sees {name}",
        )
    if prior is None:
        return Route(name, How.CODE, encoder.name)
    if graph.codewords(name) is not None:
        if prior.offers.density is not Density.ANY:
            return no_density(graph, prior, f"at the codes of {name}", encoder)
        return Route(name, How.QUANTISED, encoder.name)
    if critics:
        return Route(name, How.ADVERSARIAL, encoder.name)
    if name in spec.objective.mmd:
        return Route(name, How.MMD, encoder.name)
    if any(prior.name in s.factors and encoder.name not in s.factors for s in spec.train.stages):
        if prior.offers.density is not Density.ANY:
            return no_density(graph, prior, f"at the codes of {name}", encoder)
        return Route(name, How.FITTED, encoder.name)
    sees = ", ".join([name, *(p for p in encoder.parents if graph.variables[p].bound)])
    return spec.diagnostic(
        "GD511",
        f"the {encoder.dist.tag} encoder of {name} has no density, so KL(q({name}) || p({name})) cannot be "
        "computed",
        (*encoder.path, "dist"),
        help=f"add adversary: {{d: {{sees: [{sees}], net: mlp}}}}, objective: {{mmd: {{{name}: {{}}}}}}, or "
        "a last stage "
        f"that fits {prior.name} alone; or drop the prior to get a plain autoencoder",
        related=((f"p({name}) is here", prior.path),),
    )


def lacking(factor: Factor) -> tuple[str, Path]:
    """What takes a factor's density, in words, and where it is written: a random network, or the distribution."""
    assert factor.dist is not None
    if factor.net is not None and factor.net.random:
        return f"{factor.dist.tag} with a random {factor.net.tag} network", (*factor.path, "net")
    return factor.dist.tag, (*factor.path, "dist")


def no_density(graph: Graph, factor: Factor, where: str, other: Factor) -> Diagnostic:
    """log p is needed at given points, and the factor cannot say it."""
    related = ((f"{other.name} needs it", other.path),)
    found = no_inverse(graph, factor, where, related)
    if found is not None:
        return found
    what, path = lacking(factor)
    return graph.spec.diagnostic(
        "GD503",
        f"{what} has no density: log {factor.side}({factor.head}) is needed {where}",
        path,
        help="use a distribution with a density, or an adversary that compares samples",
        related=related,
    )
