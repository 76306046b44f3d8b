"""Factors that are made of another of the same variable: a prior of its encoder (vamp), an encoder of its prior
(relative_to). What that asks of both (docs/semantics.md, section 2)."""

from __future__ import annotations

from collections.abc import Iterator

from gendsl.compiler.graph import Factor, Graph, Role
from gendsl.errors import Diagnostic
from gendsl.schema.components.dist import LocationScale
from gendsl.schema.components.dist_vamp import Vamp
from gendsl.schema.components.net import Bill
from gendsl.schema.facts import Density, numel


def made_of(graph: Graph) -> Iterator[Diagnostic]:
    """The problems of every factor that is made of another."""
    for factor in graph.factors.values():
        if isinstance(factor.dist, Vamp):
            yield from _vamp(graph, factor)
        elif isinstance(factor.dist, LocationScale) and factor.dist.relative_to is not None:
            why = _relative(graph, factor)
            if why:
                path = graph.spec.mentioned((*factor.path, "dist"), "relative_to")
                prior = graph.p(factor.head)
                related = (("the prior is here", prior.path),) if prior is not None else ()
                yield graph.spec.diagnostic("GD409", why, path, related=related)


def _vamp(graph: Graph, factor: Factor) -> Iterator[Diagnostic]:
    encoder, path, head = graph.q(factor.head), (*factor.path, "dist"), factor.head
    written = graph.spec.prior[head]
    if encoder is None or encoder.dist is None:
        yield graph.spec.diagnostic(
            "GD502",
            f"vamp is the mixture of the encoder of {head} over pseudo-inputs, and {head} has no encoder",
            path,
            help=f"add encoder: {{{head}: ...}}",
        )
        return
    follows = [n for n in encoder.parents if graph.variables[n].role is Role.CONDITION]
    if written.net is not None or (written.given and set(written.given) != set(follows)):
        yield graph.spec.diagnostic(
            "GD409",
            f"what vamp is given follows from the encoder of {head}: its conditions, {', '.join(follows) or 'none'}"
            if written.net is None
            else f"vamp has the network of the encoder of {head}",
            (*factor.path, "given" if written.net is None else "net"),
            help="drop it",
        )
    if encoder.dist.density is not Density.ANY or encoder.uses is not None:
        yield graph.spec.diagnostic(
            "GD409",
            f"vamp needs log q({head}) at given points, and the encoder of {head} has "
            + ("none of its own: it is relative to the prior" if encoder.uses else "no density"),
            path,
            related=(("the encoder is here", (*encoder.path, "dist")),),
        )
    for i, parent in enumerate(encoder.parents):
        role = graph.variables[parent].role
        if role not in (Role.CONDITION, Role.OBSERVED):
            yield graph.spec.diagnostic(
                "GD409",
                f"vamp puts pseudo-inputs in place of what the encoder of {head} reads, and {parent} is {role}, "
                "not observed",
                (*encoder.path, "given", i),
                related=((f"p({head}) is vamp here", path),),
            )
    if not set(encoder.parents) - set(graph.spec.condition):
        yield graph.spec.diagnostic(
            "GD409",
            f"the encoder of {head} reads nothing observed: there is nothing to put pseudo-inputs in place of",
            path,
        )


def _relative(graph: Graph, factor: Factor) -> str:
    """Why an encoder cannot be relative to its prior, or an empty string."""
    head, prior = factor.head, graph.p(factor.head)
    assert factor.dist is not None
    if factor.side != "q":
        return f"only an encoder is relative to a prior, not {factor.name}"
    if prior is None or prior.dist is None or prior.section != "prior":
        return f"{head} has no prior to be relative to"
    if prior.dist.tag != factor.dist.tag or prior.flow:
        shown = f"a flow over {prior.dist.tag}" if prior.flow else prior.dist.tag
        return (
            f"the encoder of {head} is {factor.dist.tag} and its prior is {shown}: "
            "they have no common location and scale"
        )
    joint = [f.name for f in (factor, prior) if f.dist is not None and not f.dist.factorises]
    if joint:
        return f"{joint[0]} is one joint density of all entries of {head}: there is no scale for each of them"
    if factor.autoregressive or prior.autoregressive or factor.net is None:
        return f"{head} is {'without parents' if factor.net is None else 'autoregressive'}: that is not built"
    late = [n for n in prior.parents if n not in graph.ancestors("q", head)]
    if late:
        return (
            f"p({head}) is given {', '.join(late)}, from which the encoder of {head} does not follow in q: "
            "name it under given"
        )
    return ""


def pseudo_bill(graph: Graph, factor: Factor) -> Bill:
    """What a vamp costs beside its encoder: its pseudo-inputs, and a density for each."""
    encoder = graph.q(factor.head)
    assert isinstance(factor.dist, Vamp)
    assert encoder is not None
    count, entries = factor.dist.pseudo_inputs, 0
    for name in pseudo_parents(graph, encoder):
        variable = graph.variables[name]
        assert variable.shape is not None
        assert variable.support is not None
        classes = variable.support.count if variable.labels else None
        entries += numel(variable.shape) * (classes or 1)
    shape = graph.variables[factor.head].shape
    assert shape is not None
    numbers = count * numel(shape)
    return Bill(parameters=count * entries, flops=10 * numbers, activations=3 * numbers)


def pseudo_parents(graph: Graph, encoder: Factor) -> list[str]:
    """The parents of an encoder that pseudo-inputs stand for."""
    return [n for n in encoder.parents if graph.variables[n].role is Role.OBSERVED]
