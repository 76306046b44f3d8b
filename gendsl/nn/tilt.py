"""Tilted densities p0 exp(-E) / Z of a model's variables: potentials, chains, samples and log Z.

U = E - log p0, with p0 the factor beneath the energy or the flat measure. Chains that go on between training steps
start from p0, or from noise: uniform between the ends of a bounded support, standard normal otherwise, fair coins
for zeros and ones.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gendsl.compiler.derive.energies import Way, machine, negatives, normaliser, sampler, targets, way
from gendsl.nn.energies import EnergyModule
from gendsl.nn.factor import FlowSection
from gendsl.nn.freezing import frozen
from gendsl.nn.inference import Trace
from gendsl.nn.langevin import Potential, langevin
from gendsl.schema.components.negatives import Negatives

if TYPE_CHECKING:
    from gendsl.nn.model import Model

DRAWS, ROWS = 20_000, 2_000
"""Draws of the density beneath for log Z, and how many at once."""
PROPOSALS = 64
"""Draws of the density beneath for each sample that is resampled."""
SIDE, EXTENT = 401, 10.0
"""Points along each axis of the quadrature, and its reach where the support has no end."""


def energy(model: Model, name: str) -> EnergyModule:
    """The energy of a variable."""
    module = model.factor(f"energy.{name}")
    assert isinstance(module, EnergyModule)
    return module


def beneath(model: Model, name: str, value: Tensor) -> Tensor:
    """log p0 of each row, [N]; zeros for the flat measure."""
    factor, rows = model.graph.p(name), len(value)
    if factor is None:
        return torch.zeros(rows, dtype=value.dtype, device=value.device)
    if factor.base is None:
        return model.distribution(factor.name, {}, rows).log_prob(value)
    module, base = model.factor(factor.name), model.graph.p(factor.base)
    shape = model.graph.variables[factor.base].shape
    assert isinstance(module, FlowSection)
    assert base is not None
    assert shape is not None
    inner, log_det = module.stack.inverse(value, None)
    return model.distribution(base.name, {}, rows).log_prob(inner.reshape(rows, *shape)) + log_det


def potential(model: Model, name: str) -> Potential:
    """U = E - log p0, up to log Z."""

    def of(value: Tensor) -> Tensor:
        found: Tensor = energy(model, name)(value)
        return found if model.graph.p(name) is None else found - beneath(model, name, value)

    return of


def held(model: Model, name: str) -> AbstractContextManager[None]:
    """Inside the block the parameters behind U take no gradient; gradients still pass through them."""
    factor = model.graph.p(name)
    names = [f"energy.{name}"]
    if factor is not None:
        names += [factor.name, *([f"prior.{factor.base}"] if factor.base is not None else [])]
    return frozen(p for _, p in model.parameters_of(names))


@torch.no_grad()
def proposal(model: Model, name: str, rows: int) -> Tensor:
    """Draws of the density beneath, [rows, *shape]."""
    factor = model.graph.p(name)
    assert factor is not None
    if factor.base is None:
        return model.distribution(factor.name, {}, rows).draw()[0]
    base = model.graph.p(factor.base)
    assert base is not None
    return model.through_flow(name, {factor.base: model.distribution(base.name, {}, rows).draw()[0]})


@torch.no_grad()
def fresh(model: Model, name: str, rows: int) -> Tensor:
    """Where new chains start, [rows, *shape]."""
    if model.graph.p(name) is not None:
        return proposal(model, name, rows)
    variable = model.graph.variables[name]
    assert variable.shape is not None
    assert variable.support is not None
    low, high = variable.support.low, variable.support.high
    size = (rows, *variable.shape)
    noise = torch.rand(size, dtype=model.dtype, device=model.device)
    if variable.support.integer:
        return (noise < 0.5).to(model.dtype)
    if math.isfinite(low) and math.isfinite(high):
        return low + (high - low) * noise
    normal = torch.randn_like(noise)
    return (
        low + normal.abs() if math.isfinite(low) else high - normal.abs() if math.isfinite(high) else normal
    )


def move(model: Model, name: str, start: Tensor, spec: Negatives) -> Tensor:
    """The chains of an energy, from `start`."""
    support = model.graph.variables[name].support
    assert support is not None
    with held(model, name):
        if machine(model.graph, name):
            return energy(model, name).machine.gibbs(start, spec.steps)
        return langevin(potential(model, name), start, spec, support)


@torch.no_grad()
def chain_ends(model: Model, name: str, rows: int, data: Tensor | None, *, keep: bool) -> Tensor:
    """Negatives, [rows, *shape]; `keep`: chains that go on are moved, otherwise they are only read."""
    spec, module = negatives(model.graph, name), energy(model, name)
    if not module.keeps:
        start = data if spec.at_data and data is not None else fresh(model, name, rows)
        return move(model, name, start.to(model.dtype), spec)
    if not module.started:
        filled = fresh(model, name, len(module.chains))
        if not keep:
            return move(model, name, filled[:rows], spec)
        module.chains.copy_(filled)
        module.started.fill_(1)
    count = len(module.chains)
    taken = torch.randperm(count, device=model.device)[:rows]
    start = module.chains[taken]
    anew = torch.rand(len(taken), device=model.device) < spec.fresh
    if bool(anew.any()):
        start = start.clone()
        start[anew] = fresh(model, name, int(anew.sum())).to(start.dtype)
    ends = move(model, name, start, spec)
    if keep:
        module.chains[taken] = ends.to(module.chains.dtype)
    return ends


@torch.no_grad()
def draw(model: Model, name: str, rows: int) -> Tensor:
    """Samples of a variable with an energy, [rows, *shape], without gradients."""
    graph = model.graph
    if name in targets(graph):
        encoder = graph.q(name)
        assert encoder is not None
        return model.distribution(encoder.name, {}, rows).draw()[0]
    if way(graph, name) is Way.CONTRAST:
        return _resampled(model, name, rows)
    module, spec = energy(model, name), sampler(graph, name)
    if not module.keeps or not module.started:
        value = move(model, name, fresh(model, name, rows), spec)
    else:
        start = module.chains[torch.randint(len(module.chains), (rows,), device=model.device)]
        if rows <= len(module.chains):
            start = module.chains[torch.randperm(len(module.chains), device=model.device)[:rows]]
        value = move(model, name, start, spec)
    support = graph.variables[name].support
    return value.long() if support is not None and support.integer and graph.variables[name].labels else value


def _resampled(model: Model, name: str, rows: int) -> Tensor:
    """Sampling-importance-resampling: of PROPOSALS draws of p0 one, with weights exp(-E)."""
    found = []
    for _ in range(rows):
        tried = proposal(model, name, PROPOSALS)
        found.append(tried[torch.multinomial(torch.softmax(-energy(model, name)(tried), 0), 1)])
    return torch.cat(found)


def log_joint(model: Model, trace: Trace) -> Tensor:
    """log w of a marginal trace with every energy and its log Z, [k, B]."""
    total = trace.log_joint()
    fixed = targets(model.graph)
    for name in model.graph.spec.energy:
        if name not in fixed:
            value = trace.values[name].to(model.dtype)
            total = total - trace.grid(energy(model, name)(value))[0, 0] - log_normaliser(model, name)
    return total


@torch.no_grad()
def log_normaliser(model: Model, name: str) -> Tensor:
    """log Z of the variable's factor p0 exp(-E), as `normaliser` of the graph says; kept until a parameter changes.

    The draws come from a seed of their own: the same parameters give the same number.
    """
    module = energy(model, name)
    now = tuple(n for p in model.parameters() for n in (id(p), p._version))
    if module.known is None or module.known[0] != now or module.known[1].dtype != model.dtype:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module.known = (now, _log_normaliser(model, name))
    return module.known[1].to(model.device)


def _log_normaliser(model: Model, name: str) -> Tensor:
    known = normaliser(model.graph, name)
    assert known is not None
    how, zero = known[0], torch.zeros((), dtype=model.dtype, device=model.device)
    if how == "learned with the energy":
        return zero
    if how == "quadrature":
        return quadrature(model, name)
    if machine(model.graph, name):
        return energy(model, name).machine.log_normaliser()
    parts = [-energy(model, name)(proposal(model, name, ROWS)) for _ in range(DRAWS // ROWS)]
    return torch.logsumexp(torch.cat(parts), 0) - math.log(DRAWS)


@torch.no_grad()
def quadrature(model: Model, name: str) -> Tensor:
    """log of the integral of exp(-U) over one or two entries, by midpoints between the ends (or -EXTENT to EXTENT)."""
    points, cell = plane(model, name)
    parts = [-potential(model, name)(p) for p in torch.split(points, ROWS * 8)]
    return torch.logsumexp(torch.cat(parts), 0) + cell


def plane(model: Model, name: str) -> tuple[Tensor, float]:
    """Midpoints [SIDE^d, *shape] of a grid over the support, and the log of a cell's volume."""
    variable = model.graph.variables[name]
    assert variable.shape is not None
    assert variable.support is not None
    low = max(variable.support.low, -EXTENT)
    high = min(variable.support.high, EXTENT)
    step = (high - low) / SIDE
    axis = low + step * (torch.arange(SIDE, dtype=model.dtype, device=model.device) + 0.5)
    count = math.prod(variable.shape)
    points = torch.cartesian_prod(*[axis] * count).reshape(-1, *variable.shape)
    return points, count * math.log(step)
