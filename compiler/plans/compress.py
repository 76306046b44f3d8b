"""compress: lossless entropy coding of the observed variables, which all have finitely many values.

By their own probabilities where no latent is above them; by bits-back coding (Townsend, Bird and Barber 2019) where
every latent is normal in prior and encoder: its values are coded on a grid, and the bits that choose them are those of
the file.
"""

from __future__ import annotations

from gendsl.compiler.graph import Capability, Factor, Graph, How, Kind, Role
from gendsl.compiler.paths import DRAWN
from gendsl.compiler.plans import log_prob
from gendsl.compiler.plans.sample import drawn
from gendsl.schema.components.dist import Normal

MOST_VALUES = 4096
"""Values of an entry whose probabilities are tabulated at most."""


def plan(graph: Graph) -> Capability:
    why = _refused(graph)
    if why:
        return Capability(None, why=why)
    if graph.routes:
        return Capability(
            "bits-back coding with asymmetric numeral systems",
            Kind.UPPER,
            "a file takes minus the ELBO of its rows in bits, and some bits to begin with",
        )
    return Capability("range coding", Kind.EXACT, "a file takes -log2 p of its rows in bits")


def _refused(graph: Graph) -> str:
    if graph.spec.energy:
        return f"an energy tilts {', '.join(graph.spec.energy)}: probabilities are known up to a constant"
    score = log_prob.plan(graph)
    if score.how is None:
        return f"it needs log_prob: {score.why}"
    for name in coded(graph):
        factor, support = graph.p(name), graph.variables[name].support
        assert factor is not None
        if factor.base is not None or support is None or not support.integer:
            return f"{name} is real-valued: it takes infinitely many bits"
        if support.count is None or support.count > MOST_VALUES:
            return f"{name} takes more than {MOST_VALUES} values"
        if factor.dist is not None and not factor.dist.support(support).integer:
            return f"{factor.dist.tag} is a density over reals: it gives the values of {name} no probability"
        if factor.flow or factor.dist is None or not factor.dist.factorises:
            return f"p({name}) is not a product over its entries, one by one or in an order"
        if factor.agnostic:
            return f"{name} has no order of its own: its probabilities are those of a mixture over orders"
    for name, variable in graph.variables.items():
        if variable.role is Role.CONDITION:
            return f"the condition {name} is no part of the model: a file would not hold it"
        if variable.role is Role.PARTIAL or variable.missing:
            return f"{name} is not known on every row"
    for name, route in graph.routes.items():
        if route.how is How.SUMMED or route.how is How.ENUMERATED:
            return f"{name} is summed out: entry by entry that is not built in this version"
        if route.how not in DRAWN:
            return f"bits-back coding needs the density of an encoder of {name}"
        prior, encoder = graph.p(name), graph.q(name)
        for factor in (prior, encoder):
            if factor is None or not _plain_normal(factor):
                return f"bits-back coding needs a normal prior and encoder of {name}, without flow or order"
        assert prior is not None
        assert encoder is not None
        if prior.parents:
            return f"p({name} | {', '.join(prior.parents)}): bits-back coding of several levels is not built"
    return ""


def coded(graph: Graph) -> list[str]:
    """The variables that a file holds, parents first."""
    return [n for n in graph.order("p") if n in drawn(graph)]


def _plain_normal(factor: Factor) -> bool:
    return isinstance(factor.dist, Normal) and factor.product and factor.uses is None
