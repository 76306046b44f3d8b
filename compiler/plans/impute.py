"""impute: draws of the missing entries of a row given the entries that are known.

- Finite latents are summed out and nothing else is latent: an exact draw, where the missing entries are independent
  given their parents, or where they come last in the order of an autoregressive density, or where they have few
  enough joint values to be enumerated.
- Else by self-normalised importance sampling (Mattei and Frellsen 2019, section 4): latents from their proposals,
  missing entries from p given what came before them, each weighed by p of what is known. Consistent in the number of
  particles.
- Under `ordering: any`: an order that begins with the known entries; weighed where something observed is below.
- Without a prior: the chain that corrupts and denoises, with the known entries held (Bengio et al. 2014, section 3.4).
"""

from __future__ import annotations

from dataclasses import replace

from gendsl.compiler.graph import Capability, Factor, Graph, How, Kind, Role
from gendsl.compiler.paths import DRAWN, agnostic
from gendsl.compiler.plans import log_prob
from gendsl.compiler.plans.chain import Chain, chain_of
from gendsl.compiler.plans.sample import drawn
from gendsl.schema.facts import numel

ENUMERATED = 4096
"""Joint values of a row's missing entries that are enumerated at most."""


def plan(graph: Graph) -> Capability:
    points = [n for n, r in graph.routes.items() if r.how is How.QUANTISED]
    if points:
        return Capability(
            None, why=f"the encoder of {', '.join(points)} gives one code of a whole row: no proposals"
        )
    targets, reasons = filled(graph), _reasons(graph)
    refused = "; ".join(f"not {name}: {why}" for name, why in reasons.items())
    if not targets:
        return Capability(
            None, why=refused.removeprefix("not ") or "nothing observed has a distribution in p"
        )
    chain = chain_of(graph)
    found = _known(graph, targets) if chain is None else _held(graph, chain)
    return found if found.how is None else replace(found, why="; ".join(w for w in (found.why, refused) if w))


def _held(graph: Graph, chain: Chain) -> Capability:
    """By the chain that corrupts and denoises."""
    outside = [n for n in drawn(graph) if n not in chain.state]
    if outside:
        return Capability(
            None, why=f"the chain is not corrupted at {', '.join(outside)}: it would be ignored"
        )
    return Capability(
        "corrupt-and-denoise chain, known entries held", Kind.ESTIMATE, "as far as the chain mixes"
    )


def _known(graph: Graph, targets: list[str]) -> Capability:
    """By what p says of the missing entries given the known ones."""
    score = log_prob.plan(graph)
    if score.how is None:
        return Capability(None, why=f"it needs log_prob: {score.why}")
    if uncertain(graph):
        loose = log_prob.proposals(graph)["prior"]
        why = "consistent in the number of particles"
        why += f"; {', '.join(loose)} is proposed by the prior: many are needed" if loose else ""
        return Capability("self-normalised importance sampling", Kind.ESTIMATE, why)
    later, mixed = late(graph), set(agnostic(graph))
    if later and mixed:
        return Capability(
            "self-normalised importance sampling",
            Kind.ESTIMATE,
            f"consistent in the number of particles; {', '.join(sorted(mixed))} in random orders",
        )
    if later:
        return Capability(
            "in the order of p; importance sampling where that is not exact",
            Kind.ESTIMATE,
            f"exact where what is known comes before what is missing ({', '.join(later)}), and where the missing "
            f"entries have at most {ENUMERATED} joint values",
        )
    if mixed & set(targets):
        return Capability(
            "a random order that begins with the known entries",
            Kind.ESTIMATE,
            "p weighs the orders alike, its conditionals need not",
        )
    summed = ", finite latents summed out" if score.how.startswith("summed") else ""
    return Capability(f"draw given the known entries{summed}", Kind.EXACT)


def filled(graph: Graph) -> list[str]:
    """The variables whose missing entries can be filled in, parents first."""
    reasons = _reasons(graph)
    wanted = [n for n in drawn(graph) if n not in reasons]
    return [n for n in graph.order("p") if n in wanted]


def uncertain(graph: Graph) -> list[str]:
    """Latents whose values are drawn when a row is scored: their posterior is known by weights only."""
    proposed = log_prob.proposals(graph)
    return [n for n, r in graph.routes.items() if r.how in DRAWN or n in proposed["prior"]]


def late(graph: Graph) -> list[str]:
    """Variables with entries that something observed may follow in p: their own entries, or another variable."""
    return [n for n in filled(graph) if sequential(graph.p(n)) or followed(graph, n)]


def enumerated(graph: Graph) -> bool:
    """Whether one pass gives log p of a row; of a mixture over orders it draws an order."""
    return not agnostic(graph)


def passes(graph: Graph, particles: int) -> int:
    """How often one draw of a row's missing entries runs a network that takes them in a random order, one for each
    pass; 1 where there is none.
    """
    each = [numel(graph.variables[n].shape or ()) for n in agnostic(graph) if n in filled(graph)]
    return max(each) * (particles if uncertain(graph) or late(graph) else 1) if each else 1


def sequential(factor: Factor | None) -> bool:
    return factor is not None and factor.autoregressive and not factor.agnostic


def followed(graph: Graph, name: str) -> bool:
    """Whether an observed variable below is scored given this one's filled-in entries.

    Where entries are missing from training on, networks read zeros and the mask in their place instead.
    """
    if graph.variables[name].missing or graph.variables[name].role is Role.PARTIAL:
        return False
    return any(v in graph.scored for v in graph.descendants("p", name))


def _reasons(graph: Graph) -> dict[str, str]:
    """The observed variables that cannot be filled in, each with the reason."""
    tilted = ", ".join(graph.spec.energy)
    if tilted:
        return dict.fromkeys(drawn(graph), f"an energy tilts {tilted}: its conditionals are not known")
    chain, found = chain_of(graph), {}
    for name in drawn(graph):
        factor = graph.p(name)
        assert factor is not None
        if factor.base is not None or factor.flow:
            found[name] = "the density of a flow does not say what some entries imply for the others"
        elif chain is None and name not in graph.scored:
            found[name] = (
                f"p({name}) has no density: nothing says what the known entries imply for the others"
            )
        elif factor.dist is None or not factor.dist.factorises:
            found[name] = f"p({name}) is not a product over its entries, one by one or in an order"
        elif not factor.offers.sample:
            found[name] = f"{factor.name} cannot be sampled"
        elif chain is not None and sequential(factor):
            found[name] = (
                "the chain holds known entries of a product over entries, and this one is in an order"
            )
    return found
