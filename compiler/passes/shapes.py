"""Shapes: every variable's, inferred from the data, from what is written, and through flows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from gendsl.compiler.graph import Factor, Graph, Variable
from gendsl.errors import Diagnostic, SpecError
from gendsl.schema.components.flow import FlowLayer, base_of
from gendsl.schema.components.flow_shape import Chain
from gendsl.schema.components.step import StepProblem
from gendsl.schema.facts import Shape, numel
from gendsl.schema.nodes import Path
from gendsl.schema.suggest import nearest


def columns(graph: Graph) -> Graph:
    """The column of each bound variable, through its preprocessing."""
    data = graph.spec.data
    if data is None or graph.source is None:
        return graph
    problems: list[Diagnostic] = []
    variables = dict(graph.variables)
    for name, binding in data.bind.items():
        path: Path = ("data", "bind", name)
        column = graph.source.columns.get(binding.column)
        if column is None:
            near = nearest(binding.column, list(graph.source.columns))
            problems.append(
                graph.spec.diagnostic(
                    "GD405",
                    f"{data.source.tag} has no column {binding.column!r}",
                    (*path, "column"),
                    label=f"did you mean {near[0]!r}?" if near else "",
                    help=f"its columns: {', '.join(graph.source.columns)}"
                    + (
                        "; no others are read than data.columns names"
                        if getattr(data.source, "columns", None)
                        else ""
                    ),
                )
            )
            continue
        step_place = path
        try:
            for i, step in enumerate(binding.as_):
                step_place = (*path, "as", i)
                column = step.apply(column)
        except StepProblem as problem:
            problems.append(graph.spec.diagnostic("GD407", problem.message, step_place, help=problem.help))
            continue
        variables[name] = replace(variables[name], column=column)
    problems.extend(_hidden(graph, variables))
    if problems:
        raise SpecError(problems)
    return graph.update(variables=variables)


def _hidden(graph: Graph, variables: dict[str, Variable]) -> Iterator[Diagnostic]:
    """A partly observed variable must be a label; no more rows can be known than there are."""
    for name, variable in variables.items():
        if variable.known is None or variable.column is None:
            continue
        path: Path = ("variables", name, "observed")
        if variable.column.support.count is None or variable.column.shape != ():
            yield graph.spec.diagnostic(
                "GD310", f"only a label can be partly observed; {name} is not one", path
            )
        elif graph.source is not None and variable.known > graph.source.rows:
            yield graph.spec.diagnostic(
                "GD310",
                f"{variable.known} known rows of {name}, but the data has {graph.source.rows} rows",
                (*path, "partial"),
            )


def shapes(graph: Graph) -> Graph:
    """Every variable's shape; disagreements show both places, unknown ones say where to write them."""
    known: dict[str, tuple[Shape, Path]] = {}
    problems: list[Diagnostic] = []

    def learn(name: str, shape: Shape, path: Path, words: str) -> None:
        if name not in known:
            known[name] = (shape, path)
            return
        first, where = known[name]
        if first != shape:
            problems.append(
                graph.spec.diagnostic(
                    "GD401",
                    f"{name} is {list(first)}, but here {words} {list(shape)}",
                    path,
                    related=((f"{name} is {list(first)} by this", where),),
                )
            )

    for name, variable in graph.variables.items():
        if variable.column is not None:
            learn(name, variable.column.shape, ("data", "bind", name), "the data are")
    for name, written in graph.spec.variables.items():
        if written.shape is not None:
            learn(name, written.shape, ("variables", name, "shape"), "it is written as")
    for name, energy in graph.spec.energy.items():
        if energy.shape is not None:
            learn(name, energy.shape, ("energy", name, "shape"), "it is written as")
    for factor in graph.factors.values():
        shape = getattr(getattr(graph.spec, factor.section)[factor.head], "shape", None)
        if shape is not None:
            learn(factor.head, shape, (*factor.path, "shape"), "it is written as")
    for factor in graph.factors.values():
        if factor.dist is not None and factor.dist.default_shape is not None and factor.head not in known:
            learn(factor.head, factor.dist.default_shape, factor.path, "it is")
    for name, energy in graph.spec.energy.items():
        if energy.type is not None:
            learn(name, energy.type.default_shape, ("energy", name, "type"), f"{energy.type.tag} is over")
    if not problems:
        _through(graph, known, learn, problems)
    if problems:
        raise SpecError(problems)
    missing = [v for v in graph.variables if v not in known]
    if missing:
        raise SpecError([_unknown(graph, name) for name in missing])
    variables = {n: replace(v, shape=known[n][0]) for n, v in graph.variables.items()}
    return graph.update(variables=variables)


def _through(
    graph: Graph,
    known: dict[str, tuple[Shape, Path]],
    learn: Callable[[str, Shape, Path, str], None],
    problems: list[Diagnostic],
) -> None:
    """Bases of flows and outputs of corruptions follow from their other end."""
    for factor in graph.factors.values():
        if factor.channel is not None and factor.parents[0] in known:
            shape = known[factor.parents[0]][0]
            learn(factor.head, shape, factor.path, "it is")
            why = factor.channel.problem(shape)
            if why is not None:
                message = f"{factor.channel.tag} cannot act on {factor.parents[0]}: {why}"
                problems.append(graph.spec.diagnostic("GD408", message, (*factor.path, "dist")))
        if factor.base is not None and factor.head in known:
            at_base = flow_shape(graph, factor, known[factor.head][0], problems)
            if at_base is None:
                continue
            given = known.get(factor.base)
            if given is not None and numel(given[0]) == numel(at_base):
                continue
            learn(factor.base, at_base, (*factor.path, "given", 0), "the flow makes it")


def flow_shape(graph: Graph, factor: Factor, shape: Shape, problems: list[Diagnostic]) -> Shape | None:
    """The shape at the base of a factor's flow, or None with a problem added."""
    outer = shape
    for i, layer in enumerate(factor.flow):
        why = layer.problem(shape)
        if why is not None:
            tag, path, why = _within(layer, (*factor.layers, i), shape, why)
            path = graph.spec.mentioned(path, why)
            problems.append(graph.spec.diagnostic("GD408", f"{tag} cannot act on {factor.head}: {why}", path))
            return None
        shape = layer.base_shape(shape)
    return base_of(factor.flow, outer)


def _within(layer: FlowLayer, path: Path, shape: Shape, why: str) -> tuple[str, Path, str]:
    """The layer of a chain that cannot act, where it is one of the first round; else the layer itself."""
    for i, inner in enumerate(layer.stack if isinstance(layer, Chain) else ()):
        reason = inner.problem(shape)
        if reason is not None:
            return _within(inner, (*path, "stack", i), shape, reason)
        shape = inner.base_shape(shape)
    return layer.tag, path, why


def _unknown(graph: Graph, name: str) -> Diagnostic:
    variable = graph.variables[name]
    section = variable.path[0]
    return graph.spec.diagnostic(
        "GD402",
        f"the shape of {name} is not known",
        variable.path,
        on="key",
        help=f"write it: {section}: {{{name}: {{shape: [16], ...}}}}",
    )
