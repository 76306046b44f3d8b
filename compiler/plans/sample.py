"""sample: draws of the observed variables by ancestral sampling, from the roots of p to its leaves."""

from __future__ import annotations

from gendsl.compiler.graph import Capability, Graph, Kind, Role
from gendsl.compiler.paths import above, agnostic


def plan(graph: Graph) -> Capability:
    targets = drawn(graph)
    if not targets:
        return Capability(None, why="nothing observed has a distribution in p")
    why = unsampled(graph, targets)
    if why:
        return Capability(None, why=why)
    sequential = [t for t in ordered(graph, targets) if _sequential(graph, t)]
    how = "ancestral" + (f"; {', '.join(sequential)} entry by entry" if sequential else "")
    how += ", in a random order" if set(agnostic(graph)) & set(sequential) else ""
    return Capability(how, Kind.EXACT, "samples follow the model's p exactly")


def drawn(graph: Graph) -> list[str]:
    """The observed variables that p gives a distribution to."""
    roles = (Role.OBSERVED, Role.PARTIAL)
    return [n for n, v in graph.variables.items() if v.role in roles and graph.p(n) is not None]


def ordered(graph: Graph, targets: list[str]) -> list[str]:
    """The targets and all their ancestors in p, parents first."""
    wanted = set(targets).union(*(graph.ancestors("p", t) for t in targets)) if targets else set()
    return [n for n in graph.order("p") if n in wanted]


def unsampled(graph: Graph, targets: list[str]) -> str:
    """Why the targets cannot be drawn, or an empty string."""
    for name in ordered(graph, targets):
        factor = graph.p(name)
        if graph.variables[name].role is Role.CONDITION:
            continue
        if factor is None:
            noise = [n for n, v in graph.variables.items() if v.role is Role.CORRUPTED]
            if any(n in above(graph, "q", name) for n in noise):
                return (
                    f"no prior over {name}, and the chain that corrupts ({', '.join(noise)}) and denoises in "
                    "turn is not "
                    "built in this version"
                )
            return f"no prior over {name}: add prior: {{{name}: ...}} (a last stage can fit it to the codes)"
        if not factor.offers.sample:
            return f"{factor.name} cannot be sampled"
    return ""


def _sequential(graph: Graph, name: str) -> bool:
    factor = graph.p(name)
    return factor is not None and factor.net is not None and factor.net.autoregressive
