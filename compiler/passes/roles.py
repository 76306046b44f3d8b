"""Roles: each section holds what belongs there, and parents are what their side may read.

docs/semantics.md, section 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from graphlib import CycleError

from gendsl.compiler.graph import Factor, Graph, Role, Side
from gendsl.errors import Diagnostic, SpecError
from gendsl.schema.sections import Partial

SIDES: dict[Side, str] = {"p": "prior, decoder and flow", "q": "encoder"}
MODELLED = (Role.OBSERVED, Role.PARTIAL)


def roles(graph: Graph) -> Graph:
    """Refuses factors in the wrong section, parents that nothing defines, and declarations that nothing uses."""
    problems = [*_heads(graph), *_parents(graph), *_declarations(graph)]
    if problems:
        raise SpecError(problems)
    return graph.update(notes=(*graph.notes, *_unused(graph)))


def cycles(graph: Graph) -> Graph:
    """Refuses a cycle within p or within q, and prints it."""
    problems = []
    for side, words in SIDES.items():
        try:
            graph.order(side)
        except CycleError:
            chain = _loop(graph, side)
            head = chain[1]
            factor = (
                graph.p(head) if side == "p" else graph.q(head) or graph.factors.get(f"corruption.{head}")
            )
            assert factor is not None
            where = (
                (*factor.path, "given", factor.parents.index(chain[0]))
                if factor.channel is None
                else factor.path
            )
            members = sorted(chain[1:], key=list(graph.variables).index)
            problems.append(
                graph.spec.diagnostic(
                    "GD305",
                    f"cycle in {words}: {' -> '.join(chain)}",
                    where,
                    help="a variable cannot be its own ancestor: drop one of these parents",
                    related=tuple((f"{v} is here", graph.variables[v].path) for v in members),
                )
            )
    if problems:
        raise SpecError(problems)
    return graph


def _loop(graph: Graph, side: Side) -> list[str]:
    """A shortest cycle of one side, from the first of its variables in the spec back to it.

    networkx takes as long to import as the rest of a check: it is imported only where there is a cycle.
    """
    import networkx as nx

    children: dict[str, Iterable[str]] = {**graph.children(side)}
    digraph = nx.DiGraph(children)
    loops = nx.simple_cycles(digraph, length_bound=len(digraph))
    found = min(loops, key=len)
    start = found.index(min(found, key=list(graph.variables).index))
    return [*found[start:], *found[: start + 1]]


def _heads(graph: Graph) -> Iterator[Diagnostic]:
    spec = graph.spec
    seen: dict[str, str] = {}
    for section in ("prior", "decoder", "flow"):
        for head in getattr(spec, section):
            path = (section, head)
            role = graph.variables[head].role
            if head in seen:
                first, second = seen[head], section
                if first == "prior" and role is Role.OBSERVED:
                    first, second = second, first
                yield spec.diagnostic(
                    "GD302",
                    f"{head} has two distributions in p: under {first} and under {second}",
                    (second, head),
                    on="key",
                    help="a variable has at most one of prior, decoder and flow",
                    related=((f"the other is under {first}", (first, head)),),
                )
                continue
            seen[head] = section
            if role is Role.CONDITION:
                yield spec.diagnostic(
                    "GD306",
                    f"{head} is a condition: it is given, never modelled",
                    path,
                    on="key",
                    help=f"drop {section}.{head}, or take {head} out of `condition`",
                    related=(("declared a condition here", ("condition",)),),
                )
            elif role in (Role.METRIC, Role.CORRUPTED):
                words = (
                    "hidden from the model (observed: never)"
                    if role is Role.METRIC
                    else "a corruption's output"
                )
                yield spec.diagnostic(
                    "GD309", f"{head} is {words}: it has no distribution in p", path, on="key"
                )
            elif section == "prior" and role is Role.OBSERVED and head not in {**spec.decoder, **spec.flow}:
                yield spec.diagnostic(
                    "GD301",
                    f"{head} is observed, so its distribution belongs under `decoder`, not under `prior`",
                    path,
                    on="key",
                    help=f"write decoder: {{{head}: ...}}",
                    related=((f"{head} is bound to data here", ("data", "bind", head)),),
                )
            elif section != "prior" and role is Role.LATENT:
                yield spec.diagnostic(
                    "GD301",
                    f"{head} is not bound to data, so its distribution belongs under `prior`, not under `{section}`",
                    path,
                    on="key",
                    help=f"write prior: {{{head}: ...}}, or bind it: data: {{bind: {{{head}: COLUMN}}}}",
                )
    for head in spec.encoder:
        role = graph.variables[head].role
        if role in (Role.CONDITION, Role.METRIC, Role.CORRUPTED):
            what = {
                Role.CONDITION: "a condition",
                Role.METRIC: "hidden from the model",
                Role.CORRUPTED: "a corruption's output",
            }[role]
            yield spec.diagnostic(
                "GD306" if role is Role.CONDITION else "GD309",
                f"{head} is {what}: nothing infers it",
                ("encoder", head),
                on="key",
            )
    for head in spec.corruption:
        if graph.variables[head].role is not Role.CORRUPTED:
            yield spec.diagnostic(
                "GD207",
                f"{head} is a corruption's output and something else as well",
                ("corruption", head),
                on="key",
            )


def _parents(graph: Graph) -> Iterator[Diagnostic]:
    spec = graph.spec
    for factor in graph.factors.values():
        for i, parent in enumerate(factor.parents):
            path = (*factor.path, "given") if factor.channel else (*factor.path, "given", i)
            variable = graph.variables[parent]
            if parent in factor.parents[:i]:
                yield spec.diagnostic("GD207", f"{parent} is named twice as a parent of {factor.head}", path)
            elif variable.role is Role.METRIC:
                yield spec.diagnostic(
                    "GD309",
                    f"{parent} is hidden from the model (observed: never): it cannot be a parent",
                    path,
                )
            elif factor.side == "p":
                yield from _p_parent(graph, factor, parent, path)
            elif variable.role is Role.LATENT and graph.q(parent) is None:
                yield spec.diagnostic(
                    "GD304",
                    f"{parent} cannot be a parent in {factor.section}.{factor.head}: it is neither bound to data, "
                    "nor a corruption's output, nor does it have an encoder",
                    path,
                    help=f"add encoder: {{{parent}: ...}}"
                    if parent not in graph.bases()
                    else f"{parent} follows from {graph.bases()[parent].head} by the flow: give it "
                    f"{graph.bases()[parent].head} in its place",
                    related=((f"{parent} is declared here", variable.path),),
                )


def _p_parent(graph: Graph, factor: Factor, parent: str, path: tuple[str | int, ...]) -> Iterator[Diagnostic]:
    role = graph.variables[parent].role
    if role is Role.CORRUPTED:
        yield graph.spec.diagnostic(
            "GD303",
            f"{parent} is a corruption's output: it feeds an encoder, never p({factor.head} | ...)",
            path,
        )
    elif role in MODELLED and graph.p(parent) is None:
        yield graph.spec.diagnostic(
            "GD303",
            f"{parent} is observed and a parent of {factor.head}, but nothing says what {parent} is in p",
            path,
            help=f"make it a condition (condition: [{parent}]) or model it (decoder: {{{parent}: ...}})",
            related=((f"{parent} is bound to data here", ("data", "bind", parent)),),
        )
    elif role is Role.LATENT and factor.base == parent and graph.p(parent) is None:
        yield graph.spec.diagnostic(
            "GD303",
            f"the flow's base {parent} has no prior",
            path,
            help=f"add prior: {{{parent}: {{dist: normal}}}}",
        )


def _declarations(graph: Graph) -> Iterator[Diagnostic]:
    spec = graph.spec
    if not (spec.prior or spec.decoder or spec.flow or spec.encoder or spec.energy):
        yield spec.diagnostic(
            "GD300",
            "nothing is modelled: the spec has no prior, decoder, flow, encoder or energy",
            (),
            help="start from one that ships: gendsl new my.yaml --like vae",
        )
    for i, name in enumerate(spec.condition):
        if name in spec.condition[:i]:
            yield spec.diagnostic("GD207", f"{name} is named twice as a condition", ("condition", i))
        elif not graph.variables[name].bound:
            yield spec.diagnostic(
                "GD306",
                f"{name} is a condition but is not bound to data",
                ("condition", i),
                help=f"data: {{bind: {{{name}: COLUMN}}}}",
            )
    for name in spec.ordering:
        if graph.p(name) is None and graph.q(name) is None:
            yield spec.diagnostic(
                "GD307", f"the ordering of {name} is never used", ("ordering", name), on="key"
            )
    for name, facts in spec.variables.items():
        bound = graph.variables[name].bound
        if facts.observed is not None and not bound:
            yield spec.diagnostic(
                "GD310",
                f"{name} is not bound to data: `observed` says nothing of it",
                ("variables", name, "observed"),
            )
        if facts.missing and graph.variables[name].role is not Role.OBSERVED:
            yield spec.diagnostic(
                "GD310",
                f"only an observed variable can have missing entries, not {name}",
                ("variables", name, "missing"),
            )
        if isinstance(facts.observed, Partial) and name in spec.condition:
            yield spec.diagnostic(
                "GD310", f"{name} is a condition: every row of it is given", ("variables", name, "observed")
            )
    for critic, adversary in spec.adversary.items():
        for i, seen in enumerate(adversary.sees):
            if seen in adversary.sees[:i]:
                yield spec.diagnostic(
                    "GD207", f"{critic} sees {seen} twice", ("adversary", critic, "sees", i)
                )


def _unused(graph: Graph) -> Iterator[Diagnostic]:
    spec = graph.spec
    parents = {name for factor in graph.factors.values() for name in factor.parents}
    seen = {name for adversary in spec.adversary.values() for name in adversary.sees}
    used = parents | seen | {factor.head for factor in graph.factors.values()} | set(spec.energy)
    used_in_q = {parent for factor in graph.side("q") for parent in factor.parents}
    for name in spec.corruption:
        if name not in used_in_q:
            yield spec.diagnostic(
                "GD307",
                f"no encoder reads {name}: the corruption is never used",
                ("corruption", name),
                on="key",
                severity="warning",
            )
    for name in spec.prior:
        alone = name not in parents | seen and graph.q(name) is None
        if alone and graph.factors[f"prior.{name}"].standard:
            yield spec.diagnostic(
                "GD307",
                f"nothing depends on {name}: it is only ever sampled",
                ("prior", name),
                on="key",
                severity="warning",
            )
    for name, variable in graph.variables.items():
        if variable.bound and variable.role is not Role.METRIC and name not in used:
            yield spec.diagnostic(
                "GD307",
                f"{name} is bound to data but nothing in the model uses it",
                ("data", "bind", name),
                on="key",
                severity="warning",
                help=f"drop it, or keep it for metrics only: variables: {{{name}: {{observed: never}}}}",
            )
