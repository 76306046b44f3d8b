"""sample: draws of the observed variables by ancestral sampling, from the roots of p to its leaves; where codes that
are read off corrupted data have no prior, by the chain that corrupts and denoises in turn.
"""

from __future__ import annotations

from gendsl.compiler.derive.energies import Way, chain_words, sampler, way
from gendsl.compiler.derive.energies import targets as fixed
from gendsl.compiler.graph import Capability, Graph, Kind, Role
from gendsl.compiler.paths import agnostic
from gendsl.compiler.plans.chain import chain_of, refused
from gendsl.schema.components.dist import Categorical


def plan(graph: Graph) -> Capability:
    targets = drawn(graph)
    if not targets:
        return Capability(None, why="nothing observed has a distribution in p")
    if set(targets) <= set(fixed(graph)):
        return Capability("encoder", Kind.ESTIMATE, "samples of q, which was fitted to the energy")
    chain = chain_of(graph)
    why = unsampled(graph, targets, chain.codes if chain is not None else ())
    if why:
        return Capability(None, why=why)
    if chain is not None:
        steps = graph.spec.sample.chain.steps
        return Capability(
            "corrupt-and-denoise chain",
            Kind.ESTIMATE,
            f"p has no prior over {', '.join(chain.codes)}: samples are the states of chains after {steps} steps from "
            "noise, and follow the stationary distribution as far as these have mixed",
        )
    sequential = [t for t in ordered(graph, targets) if _sequential(graph, t)]
    how = "ancestral" + (f"; {', '.join(sequential)} entry by entry" if sequential else "")
    how += ", in a random order" if set(agnostic(graph)) & set(sequential) else ""
    whole = [t for t in sequential if _whole(graph, t)]
    how += f", a whole pass for each entry of {', '.join(whole)}" if whole else ""
    chains = [n for n in ordered(graph, targets) if n in graph.spec.energy]
    if chains:
        words = [f"{n}: {_chain(graph, n)}" for n in chains]
        rest = f"; the rest {how}" if set(targets) - set(chains) else ""
        return Capability(
            "; ".join(words) + rest, Kind.ESTIMATE, "the chain's length limits how well they fit"
        )
    return Capability(how, Kind.EXACT, "samples follow the model's p exactly")


def drawn(graph: Graph) -> list[str]:
    """The observed variables that p gives a distribution to; without any, the targets of fixed energies."""
    roles = (Role.OBSERVED, Role.PARTIAL)
    modelled = [n for n, v in graph.variables.items() if v.role in roles]
    found = [n for n in modelled if graph.p(n) is not None or n in graph.spec.energy]
    return found or fixed(graph)


def uncut(graph: Graph) -> str:
    """Why `top_k` and `top_p` have nothing to cut, or nothing: they leave out values of categorical draws."""
    if chain_of(graph) is not None:
        return "samples are the states of a chain, not draws from p"
    names = [n for n in ordered(graph, drawn(graph)) if graph.variables[n].role is not Role.CONDITION]
    factors = [graph.p(n) for n in names if n not in graph.spec.energy]
    if any(f is not None and isinstance(f.dist, Categorical) for f in factors):
        return ""
    return f"none of {', '.join(names)} is drawn from a categorical distribution"


def _chain(graph: Graph, name: str) -> str:
    """How a variable with an energy is drawn."""
    if way(graph, name) is Way.CONTRAST:
        return "resampling of the density beneath"
    return chain_words(graph, name, sampler(graph, name), sampling=True)


def ordered(graph: Graph, targets: list[str]) -> list[str]:
    """The targets and all their ancestors in p, parents first."""
    wanted = set(targets).union(*(graph.ancestors("p", t) for t in targets)) if targets else set()
    return [n for n in graph.order("p") if n in wanted]


def unsampled(graph: Graph, targets: list[str], given: tuple[str, ...] = ()) -> str:
    """Why the targets cannot be drawn where `given` has its values, or an empty string."""
    for name in ordered(graph, targets):
        factor = graph.p(name)
        if graph.variables[name].role is Role.CONDITION or name in given:
            continue
        if factor is None and name in graph.spec.energy:
            continue
        if factor is None:
            why = f"no prior over {name}: add prior: {{{name}: ...}} (a last stage can fit it to the codes)"
            noise = [n for n, v in graph.variables.items() if v.role is Role.CORRUPTED]
            stopped = refused(graph) if noise else ""
            return f"{why}; no chain that corrupts and denoises either: {stopped}" if stopped else why
        if not factor.offers.sample:
            return f"{factor.name} cannot be sampled"
    return ""


def _whole(graph: Graph, name: str) -> bool:
    """Whether drawing an entry runs the whole network anew."""
    factor = graph.p(name)
    return factor is not None and factor.net is not None and (factor.agnostic or not factor.net.cached)


def _sequential(graph: Graph, name: str) -> bool:
    factor = graph.p(name)
    return factor is not None and factor.autoregressive
