"""Graph -> Model: the one place of the compiler that imports torch."""

from __future__ import annotations

import torch
from torch import nn

from gendsl.compiler.derive.energies import Way, conditions, negatives, way
from gendsl.compiler.derive.made_of import pseudo_parents
from gendsl.compiler.graph import Critic, Factor, Graph
from gendsl.compiler.passes.shapes import flow_shape
from gendsl.compiler.passes.supports import base_support
from gendsl.nn.adversarial import Constrain, CriticModule, PenaltyFunction, Projection
from gendsl.nn.any_order import OrderAgnostic
from gendsl.nn.building import build_net, builder
from gendsl.nn.conditioning import Vector
from gendsl.nn.corruptions import Channel
from gendsl.nn.dequantizer import Dequantizer
from gendsl.nn.energies import EnergyModule, NetEnergy
from gendsl.nn.factor import Autoregressive, Direct, FactorModule, FlowSection, FromRows, Unconditional
from gendsl.nn.head import Head
from gendsl.nn.mixtures import MixtureFamily
from gendsl.nn.model import Model
from gendsl.nn.networks.ended import Ended
from gendsl.nn.networks.transformer import Attention
from gendsl.nn.ordering import rank_tensor, turns
from gendsl.nn.relative import Relative
from gendsl.nn.transforms.reordered import reordered
from gendsl.nn.transforms.stack import Stack
from gendsl.schema.components.adversary import Clip, Constraint
from gendsl.schema.components.dist import Implicit
from gendsl.schema.components.dist_vamp import Vamp
from gendsl.schema.components.net_ar import AutoregressiveNet
from gendsl.schema.facts import NOISE, Density, Input, Shape, Support, numel
from gendsl.schema.registry import function_of


def build(graph: Graph) -> Model:
    """The model of an analysed graph, on the CPU, initialised from torch's default generator."""
    bodies: dict[str, nn.Module] = {}
    built: dict[str, nn.Module] = {}
    own = [f for f in graph.factors.values() if f.channel is None]
    for factor in sorted(own, key=lambda f: f.uses is not None):
        built[factor.name] = _factor(graph, factor, bodies, built)
    factors = {f.name: built[f.name] for f in own}
    critics = {n: _critic(graph, c) for n, c in graph.critics.items()}
    model = Model(
        graph,
        factors,
        critics,
        {n: builder(c.spec.loss)(c.spec.loss) for n, c in graph.critics.items()},
        {n: _penalties(c) for n, c in graph.critics.items()},
        {n: _constraints(c) for n, c in graph.critics.items()},
        {f.head: _channel(graph, f) for f in graph.factors.values() if f.channel is not None},
    )
    for module in model.modules():
        if isinstance(module, Attention):
            module.kernels = graph.spec.run.kernels
    return model


def _factor(
    graph: Graph, factor: Factor, bodies: dict[str, nn.Module], built: dict[str, nn.Module]
) -> nn.Module:
    if factor.side == "e":
        return _energy(graph, factor, bodies)
    if factor.side == "d":
        stack = _stack(graph, factor)
        assert stack is not None
        return Dequantizer(factor.head, _body(factor, graph.variables[factor.head].shape, bodies), stack)
    if factor.base is not None:
        context = Vector(factor.inputs) if factor.inputs else None
        stack = _stack(graph, factor)
        assert stack is not None
        return FlowSection(stack, context, tuple(i.name for i in factor.inputs))
    head = graph.variables[factor.head]
    assert head.shape is not None
    assert head.support is not None
    shape = flow_shape(graph, factor, head.shape, [])
    support = base_support(graph, factor, head.support)
    assert shape is not None
    assert isinstance(support, Support)
    assert factor.dist is not None
    assert factor.raw is not None
    if isinstance(factor.dist, Vamp):
        return _vamp(graph, factor, built)
    if factor.dist.chained:
        chain: nn.Module = builder(factor.dist)(factor.dist, factor.head, support)
        return chain
    family = builder(factor.dist)(factor.dist, shape, support)
    density = factor.dist.density is not Density.NONE
    stack = _stack(graph, factor)
    parents = tuple(i.name for i in factor.inputs if i.name != NOISE)
    if factor.net is None:
        if isinstance(family, MixtureFamily) and family.joint and not factor.standard:
            return FromRows(family, stack, density, factor.raw)
        return Unconditional(family, stack, density, factor.raw, learned=not factor.standard)
    if factor.net.autoregressive:
        assert factor.ordering is not None
        target = Input(factor.head, shape, support, head.labels)
        like = torch.zeros(shape, dtype=torch.int64 if support.integer else torch.get_default_dtype())
        if factor.agnostic:
            assert isinstance(factor.net, AutoregressiveNet)
            cloze = function_of(factor.net.cloze)(factor.net, factor.inputs, target, factor.raw[0])
            return OrderAgnostic(cloze, family, stack, density, parents, like)
        ranks = rank_tensor(factor.ordering, shape)
        net = builder(factor.net)(factor.net, factor.inputs, target, factor.raw[0], ranks)
        end = graph.end(factor)
        if end is not None:
            net = Ended(net, end, factor.raw[0], turns(ranks), like)
        return Autoregressive(net, family, stack, density, parents, like, turns(ranks))
    assert factor.features is not None
    body = _body(factor, shape, bodies)
    noise = factor.dist.noise if isinstance(factor.dist, Implicit) else 0
    direct = Direct(body, Head(factor.features, factor.raw), family, stack, density, parents, noise)
    if factor.uses is None:
        return direct
    prior = built[factor.uses]
    assert isinstance(prior, FactorModule)
    return Relative(direct, prior)


def _vamp(graph: Graph, factor: Factor, built: dict[str, nn.Module]) -> nn.Module:
    """A prior made of the encoder of its variable, which is built already."""
    encoder = graph.q(factor.head)
    assert encoder is not None
    module = built[encoder.name]
    assert isinstance(module, FactorModule)
    assert isinstance(factor.dist, Vamp)
    names = pseudo_parents(graph, encoder)
    pseudo = tuple(graph.variables[n].as_input() for n in names)
    masked = tuple(n for n in names if graph.variables[n].missing)
    prior: nn.Module = builder(factor.dist)(factor.dist, module, pseudo, masked, _stack(graph, factor))
    return prior


def _energy(graph: Graph, factor: Factor, bodies: dict[str, nn.Module]) -> EnergyModule:
    """A fixed formula, a machine's free energy, or a body with an output layer of its own."""
    fixed, shape = graph.spec.energy[factor.head].type, graph.variables[factor.head].shape
    assert shape is not None
    chains = negatives(graph, factor.head).buffer if way(graph, factor.head) is Way.NEGATIVES else 0
    if fixed is not None:
        return EnergyModule(builder(fixed)(fixed), shape, 0)
    assert factor.net is not None
    if factor.net.energy:
        return EnergyModule(builder(factor.net)(factor.net, factor.inputs, None), shape, chains)
    body = _body(factor, None, bodies)
    assert factor.features is not None
    given = {}
    for name in conditions(graph, factor.head):
        condition = graph.variables[name]
        assert condition.shape is not None
        given[name] = condition.shape, torch.int64 if condition.labels else torch.get_default_dtype()
    energy = NetEnergy(factor.head, body, numel(factor.features))
    return EnergyModule(energy, shape, chains, factor.parents, given)


def _body(factor: Factor, target: Shape | None, bodies: dict[str, nn.Module]) -> nn.Module:
    """The network of a factor, or the one that it shares if that is built already."""
    assert factor.net is not None
    if factor.net_name is None:
        return build_net(factor.net, factor.inputs, target)
    if factor.net_name not in bodies:
        bodies[factor.net_name] = build_net(factor.net, factor.inputs, target)
    return bodies[factor.net_name]


def _stack(graph: Graph, factor: Factor) -> Stack | None:
    """The flow of a factor, from the variable inwards."""
    if not factor.flow:
        return None
    shape = graph.variables[factor.head].shape
    assert shape is not None
    layers = []
    for layer in factor.flow:
        context = factor.context if layer.amortized else 0
        built = builder(layer)(layer, shape, context, graph.spec.run.kernels)
        if factor.ordering is not None:
            built = reordered(layer, built, shape, factor.ordering)
        layers.append(built)
        shape = layer.base_shape(shape)
    return Stack(layers, [layer.amortized and factor.context > 0 for layer in factor.flow], shape)


def _critic(graph: Graph, critic: Critic) -> CriticModule:
    assert critic.features is not None
    body = build_net(critic.net, critic.inputs, None)
    augment = critic.spec.augment
    module = CriticModule(
        body,
        numel(critic.features),
        critic.spec.sees,
        critic.labels,
        builder(augment)(augment) if augment is not None else None,
        _projection(graph, critic),
    )
    for penalty in critic.spec.penalty:
        if isinstance(penalty, Constraint) and not isinstance(penalty, Clip):
            builder(penalty)(penalty)(module)
    return module


def _projection(graph: Graph, critic: Critic) -> Projection | None:
    name, features = critic.spec.project, critic.features
    if name is None or features is None:
        return None
    support = graph.variables[name].support
    assert support is not None
    return Projection(
        name, int(support.low), critic.projected // critic.spec.pack, critic.spec.pack, numel(features)
    )


def _penalties(critic: Critic) -> dict[int, PenaltyFunction]:
    return {i: builder(p)(p) for i, p in enumerate(critic.spec.penalty) if not isinstance(p, Constraint)}


def _constraints(critic: Critic) -> tuple[Constrain, ...]:
    return tuple(builder(p)(p) for p in critic.spec.penalty if isinstance(p, Clip))


def _channel(graph: Graph, factor: Factor) -> Channel:
    assert factor.channel is not None
    support = graph.variables[factor.parents[0]].support
    assert support is not None
    channel: Channel = builder(factor.channel)(factor.channel, support)
    return channel
