"""Supports: where each variable lies, and whether each distribution can be that variable's.

docs/semantics.md, section 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gendsl.compiler.graph import Factor, Graph
from gendsl.compiler.passes.shapes import flow_shape
from gendsl.errors import Diagnostic, SpecError
from gendsl.schema.components.dist import Pointwise
from gendsl.schema.facts import BINARY, COUNTS, POSITIVE, REAL, UNIT, Support
from gendsl.schema.nodes import Path

WORDS = {"real": REAL, "positive": POSITIVE, "unit": UNIT, "binary": BINARY, "counts": COUNTS}
"""What `variables: {x: {support: ...}}` may say."""


def supports(graph: Graph) -> Graph:
    """Every variable's support, and the checks of data against p and of q against p."""
    problems: list[Diagnostic] = []
    found: dict[str, Support] = {}
    broken: set[str] = set()
    for name, variable in graph.variables.items():
        if variable.column is not None:
            found[name] = variable.column.support
    pending = [f for f in graph.factors.values() if f.head not in found]
    for factor in sorted(pending, key=_decides):
        if factor.head in found or factor.base is not None or factor.side == "e":
            continue
        if factor.channel is not None:
            clean = found.get(factor.parents[0])
            found[factor.head] = factor.channel.support(clean) if clean is not None else REAL
        elif factor.dist is not None and not isinstance(factor.dist, Pointwise):
            before = len(problems)
            found[factor.head] = _through(graph, factor, factor.dist.support(None), problems)
            if len(problems) > before:
                broken.add(factor.head)
    for name, written in graph.spec.variables.items():
        if written.support is not None:
            _written(graph, name, WORDS[written.support], found, problems)
    variables = {n: replace(v, support=found.get(n, REAL)) for n, v in graph.variables.items()}
    graph = graph.update(variables=variables)
    for factor in graph.factors.values():
        problems.extend(_check(graph, factor, problems) if factor.head not in broken else ())
    if problems:
        raise SpecError(problems)
    return graph


def _decides(factor: Factor) -> tuple[bool, bool, int]:
    """Which factor of a variable says where it lies: a codebook first, then p, channels, q."""
    fixes = factor.dist is not None and factor.dist.fixes_support
    follows = factor.dist is not None and factor.dist.follows_support
    return not fixes, follows, ("p", "c", "q", "e").index(factor.side)


def _written(
    graph: Graph, name: str, support: Support, found: dict[str, Support], problems: list[Diagnostic]
) -> None:
    known = found.get(name)
    if known is None:
        found[name] = support
    elif not known.within(support):
        problems.append(
            graph.spec.diagnostic(
                "GD404",
                f"{name} lies in {known}, which is not within {support}",
                ("variables", name, "support"),
                related=((f"{name} is here", graph.variables[name].path),),
            )
        )


def _through(graph: Graph, factor: Factor, support: Support, problems: list[Diagnostic]) -> Support:
    """The support of the variable, from its base outwards."""
    for i, layer in reversed(list(enumerate(factor.flow))):
        out = layer.support(support)
        if out is None:
            problems.append(_cannot(graph, factor, i, support))
            return support
        support = out
    return support


def base_support(graph: Graph, factor: Factor, support: Support) -> Support | Diagnostic:
    """The support at the base of a factor's flow, or the diagnostic of the layer that cannot take it."""
    for i, layer in enumerate(factor.flow):
        inner = layer.base_support(support)
        if inner is None:
            return _cannot(graph, factor, i, support)
        support = inner
    return support


def _cannot(graph: Graph, factor: Factor, index: int, support: Support) -> Diagnostic:
    layer = factor.flow[index]
    variable = graph.variables[factor.head]
    if variable.column is not None:
        steps = "[dequantize, logit]" if support.low == 0 else "[standardize]"
        assert graph.spec.data is not None
        bound = f"column: {graph.spec.data.bind[factor.head].column}, as: {steps}"
        help_ = f"bring the data onto the reals: data: {{bind: {{{factor.head}: {{{bound}}}}}}}"
        related: tuple[tuple[str, Path], ...] = (("the data are bound here", ("data", "bind", factor.head)),)
    else:
        help_, related = "use a distribution on the reals beneath it, such as normal", ()
    return graph.spec.diagnostic(
        "GD404",
        f"{layer.tag} acts on {layer.acts_on}, and {factor.head} lies in {support}",
        (*factor.layers, index),
        help=help_,
        related=related,
    )


def _check(graph: Graph, factor: Factor, problems: list[Diagnostic]) -> Iterator[Diagnostic]:
    if factor.channel is not None:
        clean = graph.variables[factor.parents[0]].support
        why = factor.channel.unbounded(clean) if clean is not None else None
        if why is not None:
            yield graph.spec.diagnostic(
                "GD404",
                f"{factor.channel.tag} cannot act on {factor.parents[0]}: {why}",
                (*factor.path, "dist"),
                help="use gaussian or mask, or bounded data, such as as: [unit]",
            )
        return
    if factor.side == "e":
        return
    variable = graph.variables[factor.head]
    assert variable.support is not None
    assert variable.shape is not None
    if factor.dist is not None and factor.section not in factor.dist.sections:
        yield graph.spec.diagnostic(
            "GD409",
            f"{factor.dist.tag} is a distribution of {', '.join(factor.dist.sections)}, not of {factor.section}",
            (*factor.path, "dist"),
        )
        return
    shape_problems: list[Diagnostic] = []
    shape = flow_shape(graph, factor, variable.shape, shape_problems)
    if shape is None:
        if factor.base is None:
            yield from shape_problems
        return
    inner = base_support(graph, factor, variable.support) if factor.flow else variable.support
    if isinstance(inner, Diagnostic):
        if inner not in problems:
            yield inner
        return
    if factor.dist is None:
        assert factor.base is not None
        base = graph.p(factor.base)
        own = base.dist.support(None) if base is not None and base.dist is not None else REAL
        if not inner.within(own):
            yield graph.spec.diagnostic(
                "GD404",
                f"the flow brings {factor.head} to {inner}, but its base {factor.base} lies in {own}",
                factor.path,
                on="key",
            )
        elif base is not None and not own.within(inner):
            yield _beneath(graph, factor, inner, factor.base, own, (*base.path, "dist"))
        return
    why = factor.dist.problem(shape, inner)
    if why is not None:
        path = graph.spec.mentioned((*factor.path, "dist"), why)
        yield graph.spec.diagnostic("GD409", f"{factor.dist.tag} for {factor.head}: {why}", path)
        return
    own = factor.dist.support(inner)
    if factor.side == "p" and not inner.within(own):
        yield _data_outside(graph, factor, inner, own)
    elif factor.side == "p" and factor.flow and not own.within(inner):
        yield _beneath(graph, factor, inner, factor.dist.tag, own, (*factor.path, "dist"))
    elif factor.side == "p" and variable.labels and not own.within(inner) and _readers(graph, factor.head):
        reader, path = _readers(graph, factor.head)[0]
        yield graph.spec.diagnostic(
            "GD404",
            f"{factor.dist.tag} lies in {own}, but {reader} reads {factor.head} as one of {inner}: "
            "a sample may be none",
            (*factor.path, "dist"),
            help=_counted(factor, inner),
            related=((f"{factor.head} is read here", path),),
        )
    elif factor.side == "q" and (not own.within(inner) or own.integer != inner.integer):
        p = graph.p(factor.head)
        yield graph.spec.diagnostic(
            "GD410",
            f"the encoder of {factor.head} gives {own}, but {factor.head} lies in {inner}",
            (*factor.path, "dist"),
            help="KL is infinite outside the prior's support; use a distribution with the same support",
            related=((f"p({factor.head}) is here", p.path),) if p is not None else (),
        )


def _readers(graph: Graph, name: str) -> list[tuple[str, Path]]:
    """What reads a variable, in p, in q, through a channel, or as a critic, and where that is written."""
    factors = [f for f in graph.factors.values() if name in f.parents]
    critics = [c for c, spec in graph.spec.adversary.items() if name in spec.sees]
    return [(f.name, f.path) for f in factors] + [(f"adversary.{c}", ("adversary", c)) for c in critics]


def _beneath(graph: Graph, factor: Factor, inner: Support, what: str, own: Support, path: Path) -> Diagnostic:
    """A distribution beneath a flow whose samples the flow cannot take."""
    return graph.spec.diagnostic(
        "GD404",
        f"the flow of {factor.head} acts on {inner}, but {what} beneath it lies in {own}",
        path,
        help=f"use a distribution within {inner}: what lies outside has no image, and the density would not sum to 1",
    )


def _counted(factor: Factor, values: Support) -> str:
    """Advice on the distribution of a variable that takes finitely many values."""
    categorical = factor.dist is not None and factor.dist.tag == "categorical"
    what = f"write classes: {values.count}, or leave it out" if categorical else "use dist: categorical"
    return f"{factor.head} takes {values.count} values: {what}"


def _declared(graph: Graph, name: str, own: Support) -> str:
    """How to say that integers of a file lie closer together than their type tells."""
    data = graph.spec.data
    binding = data.bind.get(name) if data is not None else None
    if (
        data is None
        or binding is None
        or binding.as_
        or not own.integer
        or not hasattr(data.source, "columns")
    ):
        return ""
    ends = "high: 1" if own.high == 1 else f"low: {own.low:g}"
    return f"; or say what the file holds: columns: {{{binding.column}: {{{ends}}}}}"


def _data_outside(graph: Graph, factor: Factor, data: Support, own: Support) -> Diagnostic:
    assert factor.dist is not None
    head = factor.head
    if factor.dist.tag == "bernoulli" and data == replace(UNIT, levels=data.levels):
        help_ = "use dist: continuous_bernoulli, or binarize the pixels: as: [{binarize: static}]"
    elif own.integer and not data.integer:
        help_ = "keep the integers: as: [ordinal], or use a distribution on the reals such as normal"
    elif own.integer and data.count is not None:
        help_ = _counted(factor, data) + _declared(graph, head, own)
    else:
        help_ = "change the distribution, or the preprocessing under `as`" + _declared(graph, head, own)
    bound = graph.variables[head].column is not None
    where = ("data", "bind", head) if bound else graph.variables[head].path
    return graph.spec.diagnostic(
        "GD404",
        f"{factor.dist.tag} lies in {own}, but {head} lies in {data}",
        graph.spec.mentioned((*factor.path, "dist"), help_),
        help=help_,
        related=((f"{head} is here", where),),
    )
