"""The Markov chain that corrupts and denoises in turn (Bengio, Yao, Alain and Vincent 2013, section 2).

    x~ ~ C(x~ | x),    x ~ p(x | x~)

It samples a model whose decoder hangs from a code that is read off corrupted data: p(x | x~) is then all that was
learned, no prior stands above, and the stationary distribution of the chain is the model's p(x).
"""

from __future__ import annotations

from dataclasses import dataclass

from gendsl.compiler.graph import Graph, How, Role
from gendsl.compiler.paths import above, how, is_data


@dataclass(frozen=True)
class Chain:
    """`state`: the observed variables that are corrupted; `channels`: their corrupted copies; `codes`: the latents
    that are read off these.
    """

    state: tuple[str, ...]
    channels: tuple[str, ...]
    codes: tuple[str, ...]


def chain_of(graph: Graph) -> Chain | None:
    """The chain that samples this graph; None where another rule does, or nothing can."""
    return None if refused(graph) else _found(graph)


def refused(graph: Graph) -> str:
    """Why this graph has no such chain, or an empty string."""
    chain = _found(graph)
    if not chain.codes:
        return "no latent is a code without a prior"
    if not chain.channels:
        return f"no prior over {', '.join(chain.codes)}, and no corruption beneath"
    for code in chain.codes:
        clean = [n for n in _reads(graph, code) if graph.variables[n].role is not Role.CONDITION]
        if clean:
            return f"the code {code} is read off {', '.join(clean)} itself: a step of the chain would copy it"
    for name in chain.state:
        factor = graph.p(name)
        if factor is None or not factor.offers.sample:
            return f"{name} is corrupted, and p gives it no distribution to be drawn from"
    return ""


def _found(graph: Graph) -> Chain:
    codes = [n for n in graph.order("q") if how(graph, n) is How.CODE and graph.p(n) is None]
    beneath = set().union(*(above(graph, "q", n) for n in codes)) if codes else set()
    channels = [n for n, v in graph.variables.items() if v.role is Role.CORRUPTED and n in beneath]
    sources = {graph.factors[f"corruption.{n}"].parents[0] for n in channels}
    state = [n for n in graph.order("p") if n in sources and graph.variables[n].role is not Role.CONDITION]
    return Chain(tuple(state), tuple(channels), tuple(codes))


def _reads(graph: Graph, code: str) -> list[str]:
    """Data that reach a code by a path without a corruption."""
    found: set[str] = set()
    pending = [code]
    while pending:
        factor = graph.q(pending.pop())
        for parent in factor.parents if factor is not None else ():
            role = graph.variables[parent].role
            if is_data(graph, parent) or role is Role.PARTIAL:
                found.add(parent)
            elif role is Role.LATENT and parent not in found:
                pending.append(parent)
    return sorted(found)
