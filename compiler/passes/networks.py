"""Networks: what each reads, the features it gives, and the exact cost of each factor and critic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gendsl.compiler.derive.made_of import made_of, pseudo_bill
from gendsl.compiler.graph import Critic, Factor, Graph
from gendsl.compiler.passes.shapes import flow_shape
from gendsl.compiler.passes.supports import base_support
from gendsl.errors import Diagnostic, SpecError
from gendsl.schema.components.dist import Implicit
from gendsl.schema.components.dist_vamp import Vamp
from gendsl.schema.components.flow import FlowLayer
from gendsl.schema.components.flow_shape import Chain
from gendsl.schema.components.net import Bill, Net, dense, head_bill
from gendsl.schema.components.ordering import Ordering
from gendsl.schema.facts import (
    NOISE,
    Density,
    Input,
    Inputs,
    Shape,
    Support,
    code_name,
    embedding_parameters,
    mask_name,
    numel,
    packed,
)
from gendsl.schema.nodes import Path


def networks(graph: Graph) -> Graph:
    """Fills in inputs, features, raw shapes and bills of every factor and critic."""
    problems: list[Diagnostic] = list(made_of(graph))
    if problems:
        raise SpecError(problems)
    bodies: dict[str, Factor] = {}
    factors: dict[str, Factor] = {}
    for name, factor in graph.factors.items():
        found = _order(graph, factor) or _factor(graph, factor, bodies)
        if isinstance(found, Diagnostic):
            problems.append(found)
        else:
            factors[name] = found
    critics: dict[str, Critic] = {}
    problems += [*_orderings(graph), *_shared_critics(graph)]
    for name, critic in graph.critics.items():
        judged = _critic(graph, critic)
        if isinstance(judged, Diagnostic):
            problems.append(judged)
        else:
            critics[name] = judged
    if problems:
        raise SpecError(problems)
    return graph.update(factors=factors, critics=critics)


def _order(graph: Graph, factor: Factor) -> Diagnostic | None:
    """Autoregressive flow layers follow one fixed order, on the shape that they act on."""
    if factor.ordering is None:
        return None
    shape = graph.variables[factor.head].shape
    assert shape is not None
    why = _unordered(factor.flow, shape, factor.ordering)
    if why is None:
        return None
    place = graph.spec.mentioned(("ordering", factor.head), why)
    return graph.spec.diagnostic("GD504", f"the ordering of {factor.head}: {why}", place)


def _unordered(layers: tuple[FlowLayer, ...], shape: Shape, ordering: Ordering) -> str | None:
    """Why an autoregressive layer of a list cannot follow the order, or None."""
    for layer in layers:
        why = None
        if isinstance(layer, Chain):
            why = _unordered(layer.layers(), shape, ordering)
        elif layer.ordered and ordering.agnostic:
            why = f"{layer.tag} follows one order; `{ordering.tag}` is the mixture over all of them"
        elif layer.ordered:
            why = ordering.problem(shape)
        if why is not None:
            return why
        shape = layer.base_shape(shape)
    return None


def _factor(graph: Graph, factor: Factor, bodies: dict[str, Factor]) -> Factor | Diagnostic:
    if factor.channel is not None:
        return factor
    if factor.side == "e":
        return _energy(graph, factor, bodies)
    head = graph.variables[factor.head]
    assert head.shape is not None
    assert head.support is not None
    if factor.base is not None:
        inputs = _inputs(graph, factor)
        factor = replace(factor, inputs=inputs, base_shape=graph.variables[factor.base].shape)
        if inputs and _flow_bill(factor, head.shape) == _flow_bill(factor, head.shape, context=False):
            return graph.spec.diagnostic(
                "GD403",
                f"no layer of the flow to {factor.head} reads {factor.parents[1]}",
                (*factor.path, "given", 1),
                help="a coupling, masked_ar, residual or continuous layer reads what is given, unless it says "
                "amortized: false; or drop it",
            )
        return replace(factor, bill=_flow_bill(factor, head.shape) + Bill(embedding_parameters(inputs)))
    shape = flow_shape(graph, factor, head.shape, [])
    support = base_support(graph, factor, head.support)
    assert shape is not None
    assert isinstance(support, Support)
    dist, net = factor.dist, factor.net
    assert dist is not None
    raw = dist.raw(shape, support)
    if net is not None and numel(raw) == 0 and numel(shape) > 0:
        written = getattr(graph.spec, factor.section)[factor.head].net is not None
        path = (*factor.path, "net" if written else "dist")
        return graph.spec.diagnostic(
            "GD403",
            f"{dist.tag} has no parameters: a network of {factor.head}'s parents has nothing to give",
            path,
        )
    inputs = _inputs(graph, factor)
    if isinstance(dist, Implicit):
        inputs = (*inputs, Input(NOISE, (dist.noise,)))
    factor = replace(factor, inputs=inputs, base_shape=shape, raw=raw)
    bill = Bill(parameters=sum(numel(s) for s in dist.free(shape).values()))
    if isinstance(dist, Vamp):
        bill += pseudo_bill(graph, factor)
    elif net is None:
        bill += Bill() if factor.standard else Bill(parameters=numel(raw))
    elif net.autoregressive:
        target = Input(factor.head, shape, support, head.labels)
        why = _autoregressive(graph, factor, target) or _alone(graph, factor, bodies)
        if why is not None:
            return why
        bill += net.bill(inputs, target, raw[0])
    else:
        why = _direct(graph, factor, shape)
        if why is not None:
            return why
        factor = replace(factor, features=net.features(inputs, shape))
        assert factor.features is not None
        body = _body(graph, factor, net.bill(inputs, shape), bodies)
        if isinstance(body, Diagnostic):
            return body
        bill += head_bill(factor.features, raw) + body
    factor = replace(factor, bill=bill)
    return replace(factor, bill=bill + _flow_bill(factor, head.shape))


def _energy(graph: Graph, factor: Factor, bodies: dict[str, Factor]) -> Factor | Diagnostic:
    """An energy reads its variable and conditions and gives one number for each row; a fixed one has no cost."""
    net, inputs = factor.net, (graph.variables[factor.head].as_input(), *_inputs(graph, factor))
    if net is None and factor.parents:
        return _refused(graph, "a fixed energy reads its variable alone", (*factor.path, "given"))
    if net is None:
        return replace(factor, inputs=inputs)
    path = (*factor.path, "net")
    if net.autoregressive:
        why = "an energy's network gives one number for each row; an autoregressive one cannot"
        return _refused(graph, why, path)
    if net.energy:
        return replace(factor, inputs=inputs, bill=net.bill(inputs, None))
    why = net.problem(inputs, None) or ""
    if why:
        return _refused(graph, why, path)
    features = net.features(inputs, None)
    factor = replace(factor, inputs=inputs, features=features)
    body = _body(graph, factor, net.bill(inputs, None), bodies)
    if isinstance(body, Diagnostic):
        return body
    return replace(factor, bill=body + dense(numel(features), 1))


def _body(graph: Graph, factor: Factor, bill: Bill, bodies: dict[str, Factor]) -> Bill | Diagnostic:
    """What a network costs this factor: its parameters count where it is first used."""
    shared = _first(factor, bodies)
    if shared is factor:
        return bill
    alone = _alone(graph, factor, bodies)
    if alone is not None:
        return alone
    if _agree(shared, factor):
        return replace(bill, parameters=0)
    return graph.spec.diagnostic(
        "GD401",
        f"{shared.name} and {factor.name} share the network {factor.net_name!r}, but its inputs differ: "
        f"{_shapes(shared)} and {_shapes(factor)}",
        (*factor.path, "net"),
        related=(("the other use is here", (*shared.path, "net")),),
    )


def _first(factor: Factor, bodies: dict[str, Factor]) -> Factor:
    """The first factor with this one's network: itself, unless the network has a name that was used before."""
    return factor if factor.net_name is None else bodies.setdefault(factor.net_name, factor)


def _alone(graph: Graph, factor: Factor, bodies: dict[str, Factor]) -> Diagnostic | None:
    """The weights of a network that walks a variable in an order are nobody else's."""
    shared = _first(factor, bodies)
    walks = next((f for f in (factor, shared) if f.autoregressive), None)
    if shared is factor or walks is None:
        return None
    return graph.spec.diagnostic(
        "GD401",
        f"{shared.name} and {factor.name} share the network {factor.net_name!r}, but {walks.name} walks {walks.head} "
        "in an order with it: its weights are of that walk alone",
        (*factor.path, "net"),
        help="name two networks, or write one of them out",
        related=(("the other use is here", (*shared.path, "net")),),
    )


def _orderings(graph: Graph) -> Iterator[Diagnostic]:
    """An ordering that no factor of its variable follows."""
    for name in graph.spec.ordering:
        if not any(_follows(f) for f in (graph.p(name), graph.q(name)) if f is not None):
            yield graph.spec.diagnostic(
                "GD307",
                f"the ordering of {name} is never used: no factor of {name} goes through its entries one by "
                "one",
                ("ordering", name),
                on="key",
                help="drop it, or use an autoregressive net (made, gated_pixelcnn, transformer)",
            )


def _follows(factor: Factor) -> bool:
    """Whether the factor goes through the entries of its variable in an order."""
    return factor.autoregressive or any(layer.ordered for layer in factor.flow)


def _shared_critics(graph: Graph) -> Iterator[Diagnostic]:
    """A critic's network belongs to its player: it cannot be anybody else's too."""
    uses = [f.net_name for f in graph.factors.values()]
    named = {n: c.net_name for n, c in graph.critics.items() if c.net_name is not None}
    for name, net in named.items():
        if uses.count(net) + list(named.values()).count(net) > 1:
            yield graph.spec.diagnostic(
                "GD208",
                f"the network {net!r} of {name} is used elsewhere too; what {name} changes must be its own",
                ("adversary", name, "net", "ref"),
                help=f"give {name} a network of its own",
            )


def _input(graph: Graph, name: str, section: str) -> Input:
    """A parent as networks of this section read it: of a quantised latent the codewords, in a prior the indices."""
    variable, dim = graph.variables[name], graph.codewords(name)
    if dim is None or section == "prior":
        return variable.as_input()
    assert variable.shape is not None
    return Input(code_name(name), (dim, *variable.shape))


def _inputs(graph: Graph, factor: Factor) -> Inputs:
    """The parents as a network reads them, without a base; one with missing entries comes with its mask."""
    found: list[Input] = []
    for name in factor.parents if factor.base is None else factor.parents[1:]:
        variable = graph.variables[name]
        found.append(_input(graph, name, factor.section))
        if variable.missing:
            assert variable.shape is not None
            found.append(Input(mask_name(name), variable.shape))
    return tuple(found)


def _agree(one: Factor, other: Factor) -> bool:
    same = [(i.shape, i.labels, i.support.count) for i in one.inputs]
    return (
        same == [(i.shape, i.labels, i.support.count) for i in other.inputs]
        and one.features == other.features
    )


def _shapes(factor: Factor) -> str:
    return ", ".join(f"{i.name} {list(i.shape)}" for i in factor.inputs) or "nothing"


def _flow_bill(factor: Factor, shape: Shape, *, context: bool = True) -> Bill:
    total = Bill()
    for layer in factor.flow:
        total += layer.bill(shape, factor.context if context and layer.amortized else 0)
        shape = layer.base_shape(shape)
    return total


def _direct(graph: Graph, factor: Factor, shape: Shape) -> Diagnostic | None:
    assert factor.net is not None
    if not factor.inputs:
        return graph.spec.diagnostic(
            "GD403",
            f"{factor.net.tag} has nothing to read: {factor.head} has no parents",
            (*factor.path, "net"),
            help="name its parents with `given`, drop the net, or use an autoregressive one (gated_pixelcnn)",
        )
    why = factor.net.problem(factor.inputs, shape)
    return None if why is None else _refused(graph, why, (*factor.path, "net"))


def _refused(graph: Graph, why: str, path: Path) -> Diagnostic:
    """At the parameter of the network that the reason speaks of, or else at its name."""
    return graph.spec.diagnostic("GD403", why, graph.spec.mentioned(path, why))


def _plain_order(net: Net) -> str:
    """The order that a message offers: one that every side may follow."""
    known = net.orderings()
    return "natural" if known is None or "natural" in known else known[0]


def _autoregressive(graph: Graph, factor: Factor, target: Input) -> Diagnostic | None:
    net, dist, path = factor.net, factor.dist, (*factor.path, "net")
    assert net is not None
    assert dist is not None
    if not dist.factorises:
        none = dist.density is Density.NONE
        has = "has none" if none else "is one joint density of all entries here"
        return graph.spec.diagnostic(
            "GD403",
            f"{net.tag} gives the parameters of a density entry by entry; {dist.tag} {has}",
            path,
            help="" if none else "a mixture for each entry is over: entry; a normal takes scale: learned",
        )
    if factor.ordering is None:
        return graph.spec.diagnostic(
            "GD504",
            f"{net.tag} is autoregressive and needs an order of the entries of {factor.head}",
            path,
            help=f"ordering: {{{factor.head}: {{type: {_plain_order(net)}}}}}",
        )
    why = factor.ordering.problem(target.shape)
    place = graph.spec.mentioned(("ordering", factor.head), why or "")
    known = net.orderings()
    if why is None and factor.agnostic and factor.side == "q":
        why = "an encoder has to say log q exactly, and a mixture over orders only bounds it; name an order"
    if why is None and known is not None and factor.ordering.tag not in known:
        why = f"{net.tag} follows {', '.join(known)} only"
    if why is not None:
        return graph.spec.diagnostic(
            "GD504", f"the ordering of {factor.head}: {why}", place, related=(("the net", path),)
        )
    why = net.problem(factor.inputs, target)
    return None if why is None else _refused(graph, why, path)


def _projection(graph: Graph, critic: Critic) -> Diagnostic | None:
    """What is wrong with `project`: it names a label that the critic sees beside something else."""
    name = critic.spec.project
    if name is None:
        return None
    variable, why = graph.variables[name], ""
    if name not in critic.spec.sees:
        why = f"{critic.name} does not see it"
    elif variable.shape != () or not variable.finite:
        why = f"{name} is not a label"
    elif len(critic.spec.sees) == 1:
        why = f"{critic.name} sees nothing else, whose features could meet it"
    if not why:
        return None
    return graph.spec.diagnostic(
        "GD520",
        f"{critic.name} cannot project {name}: {why}",
        (*critic.path, "project"),
        help=f"project a label beside what is judged: sees: [x, {name}], project: {name}",
        related=((f"{name} is here", variable.path),),
    )


def _critic(graph: Graph, critic: Critic) -> Critic | Diagnostic:
    wrong = _projection(graph, critic)
    if wrong is not None:
        return wrong
    project = critic.spec.project
    seen = (graph.variables[v].as_input() for v in critic.spec.sees if v != project)
    inputs = tuple(replace(i, shape=packed(i.shape, critic.spec.pack)) for i in seen)
    net = critic.net
    why = "a critic's network gives one number for each tuple; an autoregressive one cannot"
    if not net.autoregressive:
        why = net.problem(inputs, None) or ""
    if why:
        return _refused(graph, why, (*critic.path, "net"))
    features = net.features(inputs, None)
    bill = net.bill(inputs, None) + dense(numel(features), 1)
    told = graph.variables[critic.spec.classify].support if critic.spec.classify is not None else None
    labels = critic.spec.pack * (told.count or 0) if told is not None else 0
    if labels:
        bill += dense(numel(features), labels)
    support = graph.variables[project].support if project is not None else None
    projected = critic.spec.pack * (support.count or 0) if support is not None else 0
    if projected:
        bill += dense(projected, numel(features), bias=False)
    return replace(critic, inputs=inputs, features=features, labels=labels, projected=projected, bill=bill)
