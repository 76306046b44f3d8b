"""Paths: what the value of each variable, and each log-probability, is computed from (docs/semantics.md, section
3).

Data cut paths: the value of an observed variable depends on nothing, so a latent above it is above its
children only where it is their parent too. Everything here follows from the graph and the routes; `players`
says by it which factors a term trains, and the runtime sums latents out in the order of `chain`.
"""

from __future__ import annotations

from gendsl.compiler.graph import Factor, Graph, How, Role, Side
from gendsl.schema.components.dist import Implicit

DRAWN = (How.CLOSED, How.SAMPLED)
"""Routes by draws from an encoder with a density."""


def is_data(graph: Graph, name: str) -> bool:
    """Whether the variable's value is given with every row."""
    return graph.variables[name].role in (Role.OBSERVED, Role.CONDITION, Role.METRIC)


def how(graph: Graph, name: str) -> How | None:
    """The route of a latent; None of anything else."""
    route = graph.routes.get(name)
    return route.how if route is not None else None


def maker(graph: Graph, side: Side, name: str) -> Factor | None:
    """The factor of a variable on one side; a channel belongs to q."""
    if side == "p":
        return graph.p(name)
    return graph.q(name) or graph.factors.get(f"corruption.{name}")


def above(graph: Graph, side: Side, name: str) -> set[str]:
    """Ancestors on one side by paths that do not pass through data (their ends may be data)."""
    found: set[str] = set()
    pending = [name]
    while pending:
        factor = maker(graph, side, pending.pop())
        for parent in factor.parents if factor is not None else ():
            if parent not in found:
                found.add(parent)
                if not is_data(graph, parent):
                    pending.append(parent)
    return found


def has_no_encoder(graph: Graph, name: str) -> bool:
    """Whether this can only be summed out: finite, not (always) observed, and nothing infers it."""
    variable = graph.variables[name]
    return variable.finite and variable.role in (Role.LATENT, Role.PARTIAL) and graph.q(name) is None


def varies(graph: Graph, name: str) -> set[str]:
    """The variables summed out that the value of this one varies with: itself, or what its encoder reads."""
    if has_no_encoder(graph, name):
        return {name}
    flow = graph.bases().get(name)
    if flow is not None:
        return set().union(*(varies(graph, p) for p in flow.parents[1:]))
    factor = maker(graph, "q", name)
    if is_data(graph, name) or factor is None or how(graph, name) is How.ENUMERATED:
        return set()
    return set().union(*(varies(graph, p) for p in factor.parents))


def chain(graph: Graph) -> list[str]:
    """Variables of p, parents first, in the order of the chain rule: what is summed out as early as it can
    be.
    """
    return graph.ordered("p", late=lambda name: how(graph, name) is not How.SUMMED)


def joint(graph: Graph, name: str) -> list[str]:
    """The heads whose factors stand in log p of this variable, itself last.

    More than one where latents are summed out: by the chain rule the variable is then given all that came
    before it in `chain`, as far as summed latents connect them.
    """
    before = [n for n in chain(graph) if counted(graph, n)]
    before = before[: before.index(name)]
    summed, found = _scope(graph, name), [name]
    while True:
        more = [n for n in before if n not in found and _scope(graph, n) & summed]
        if not more:
            return [*(n for n in before if n in found), name]
        found += more
        summed = summed.union(*(_scope(graph, n) for n in more))


def counted(graph: Graph, name: str) -> bool:
    """Whether log p(name | parents) is part of the objective."""
    if graph.p(name) is None:
        return False
    inferred = (*DRAWN, How.ENUMERATED, How.SUMMED, How.FITTED, How.QUANTISED, How.CHAIN)
    return name in graph.scored or how(graph, name) in inferred


def _scope(graph: Graph, name: str) -> set[str]:
    """The summed variables that log p(name | parents) varies with."""
    return set().union(*(varies(graph, v) for v in _reads(graph, name)))


def _reads(graph: Graph, name: str) -> list[str]:
    """The variables whose values log p(name | parents) is computed from; a flow's base brings its own
    parents.
    """
    factor = graph.p(name)
    assert factor is not None
    base = graph.p(factor.base) if factor.base is not None else None
    return [name, *factor.parents, *(base.parents if base is not None else ())]


def sources(graph: Graph, name: str) -> set[str]:
    """The factors whose parameters move the value of a variable when the objective is computed.

    For an enumerated latent: the weights of its values. For data: what draws them within their cells, if that learns.
    """
    if is_data(graph, name):
        return {f"dequantizer.{name}"} & set(graph.factors)
    if how(graph, name) is How.BASE:
        flow = graph.bases()[name]
        return {flow.name}.union(*(sources(graph, p) for p in flow.parents[1:]))
    factor = maker(graph, "q", name)
    if factor is None or how(graph, name) is How.CHAIN:
        return set()
    own = {factor.name} if factor.channel is None else set()
    if factor.uses is not None:
        own |= {factor.uses}.union(*(sources(graph, p) for p in graph.factors[factor.uses].parents))
    return own.union(*(sources(graph, p) for p in factor.parents if how(graph, p) is not How.FITTED))


def noisy(graph: Graph, name: str) -> bool:
    """Whether the value (or, of an enumerated latent, the weights) is drawn at random when the objective is
    computed.
    """
    factor = maker(graph, "q", name)
    if is_data(graph, name) or factor is None:
        return False
    drawn = (*DRAWN, How.CHAIN)
    own = factor.channel is not None or how(graph, name) in drawn or isinstance(factor.dist, Implicit)
    return own or any(noisy(graph, p) for p in factor.parents)


def made(graph: Graph, name: str, *, given_data: bool = False) -> set[str]:
    """The factors behind an ancestral sample of a variable; `given_data`: observed ancestors are data, not
    samples.
    """
    role, factor = graph.variables[name].role, graph.p(name)
    if factor is None or role is Role.CONDITION or (given_data and role is Role.OBSERVED):
        return set()
    own = {factor.name, factor.uses or factor.name}
    return own.union(*(made(graph, p, given_data=given_data) for p in factor.parents))


def moved(graph: Graph, name: str) -> set[str]:
    """The factors whose parameters move an ancestral sample: `made`, as far as samples have gradients."""
    factor = graph.p(name)
    if factor is None or graph.variables[name].role is Role.CONDITION:
        return set()
    if factor.base is None and not factor.offers.rsample and name not in graph.weighed:
        return set()
    return {factor.name}.union(*(moved(graph, p) for p in factor.parents))


def scored_by(graph: Graph, name: str) -> set[str]:
    """The factors whose parameters move log p of a variable: at its value, at each of its values if enumerated,
    at its known values if it is partly observed.
    """
    found: set[str] = set()
    for head in joint(graph, name):
        factor = graph.p(head)
        assert factor is not None
        found |= {factor.name, factor.uses or factor.name}
        if factor.base is not None:
            base = graph.factors[f"prior.{factor.base}"]
            found |= {base.name, base.uses or base.name}
        for each in _reads(graph, head):
            codes = how(graph, each) in (How.FITTED, How.QUANTISED)
            cut = codes and (each == head or factor.section == "prior")
            cut = cut or (factor.section == "prior" and graph.codewords(each) is not None)
            known = graph.variables[each].role is Role.PARTIAL
            cut = cut or (each == head and (known or how(graph, each) is How.ENUMERATED))
            if not cut:
                found |= sources(graph, each)
    return found


def agnostic(graph: Graph) -> list[str]:
    """The variables whose density in p is a mixture over all orders of their entries."""
    return [f.head for f in graph.side("p") if f.agnostic]
