"""Tilted densities p0 exp(-E) / Z of a model's variables: potentials, chains, samples and log Z.

U = E - log p0, with p0 the factor beneath the energy or the flat measure. Chains that go on between training steps
start from p0, or from noise: uniform between the ends of a bounded support, standard normal otherwise, fair coins
for zeros and ones. Where E or p0 is given conditions, there is a density and a Z for each of their values: `given`
holds those of every row, and chains that go on keep the ones that they began with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gendsl.compiler.derive.energies import (
    LEARNED,
    QUADRATURE,
    Way,
    conditions,
    machine,
    negatives,
    normaliser,
    sampler,
    targets,
    way,
)
from gendsl.nn.energies import EnergyModule
from gendsl.nn.factor import FlowSection
from gendsl.nn.freezing import frozen
from gendsl.nn.inference import Trace
from gendsl.nn.langevin import Potential, langevin
from gendsl.nn.rows import as_vectors
from gendsl.schema.components.negatives import Negatives

if TYPE_CHECKING:
    from gendsl.nn.model import Model

DRAWS, ROWS = 20_000, 2_000
"""Draws of the density beneath for log Z, and how many at once."""
PROPOSALS = 64
"""Draws of the density beneath for each sample that is resampled."""
Values = Mapping[str, Tensor]
NOTHING: Values = MappingProxyType({})
SIDE, EXTENT = 401, 10.0
"""Points along each axis of the quadrature, and its reach where the support has no end."""


def energy(model: Model, name: str) -> EnergyModule:
    """The energy of a variable."""
    module = model.factor(f"energy.{name}")
    assert isinstance(module, EnergyModule)
    return module


def given_of(model: Model, name: str, values: Values) -> dict[str, Tensor]:
    """Those of the values that the density of a variable with an energy is given, one row for each of its own."""
    return {n: values[n] for n in conditions(model.graph, name)}


def read(trace: Trace, name: str) -> tuple[Tensor, dict[str, Tensor]]:
    """The values of a variable with an energy in a trace, and what its density is given, on as many rows."""
    value = trace.values[name].to(trace.model.dtype)
    given = given_of(trace.model, name, trace.values)
    return value, {n: trace.lift(v, len(value)) for n, v in given.items()}


def beneath(model: Model, name: str, value: Tensor, given: Values = NOTHING) -> Tensor:
    """log p0 of each row, [N]; zeros for the flat measure."""
    factor, rows = model.graph.p(name), len(value)
    if factor is None:
        return torch.zeros(rows, dtype=value.dtype, device=value.device)
    if factor.base is None:
        return model.distribution(factor.name, given, rows).log_prob(value)
    module, base = model.factor(factor.name), model.graph.p(factor.base)
    shape = model.graph.variables[factor.base].shape
    assert isinstance(module, FlowSection)
    assert base is not None
    assert shape is not None
    inner, log_det = module.stack.inverse(value, module.read(model.read(factor.name, given)))
    return model.distribution(base.name, given, rows).log_prob(inner.reshape(rows, *shape)) + log_det


def potential(model: Model, name: str, given: Values = NOTHING) -> Potential:
    """U = E - log p0 of as many rows as are `given`, up to log Z."""

    def of(value: Tensor) -> Tensor:
        found: Tensor = energy(model, name)(value, given)
        return found if model.graph.p(name) is None else found - beneath(model, name, value, given)

    return of


def held(model: Model, name: str) -> AbstractContextManager[None]:
    """Inside the block the parameters behind U take no gradient; gradients still pass through them."""
    factor = model.graph.p(name)
    names = [f"energy.{name}"]
    if factor is not None:
        names += [factor.name, *([f"prior.{factor.base}"] if factor.base is not None else [])]
    return frozen(p for _, p in model.parameters_of(names))


@torch.no_grad()
def proposal(model: Model, name: str, rows: int, given: Values = NOTHING) -> Tensor:
    """Draws of the density beneath, [rows, *shape]."""
    factor = model.graph.p(name)
    assert factor is not None
    if factor.base is None:
        return model.distribution(factor.name, given, rows).draw()[0]
    base = model.graph.p(factor.base)
    assert base is not None
    return model.through_flow(
        name, {**given, factor.base: model.distribution(base.name, given, rows).draw()[0]}
    )


@torch.no_grad()
def fresh(model: Model, name: str, rows: int, given: Values = NOTHING) -> Tensor:
    """Where new chains start, [rows, *shape]."""
    if model.graph.p(name) is not None:
        return proposal(model, name, rows, given)
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


def move(model: Model, name: str, start: Tensor, spec: Negatives, given: Values = NOTHING) -> Tensor:
    """The chains of an energy, from `start`."""
    support = model.graph.variables[name].support
    assert support is not None
    with held(model, name):
        if machine(model.graph, name):
            return energy(model, name).machine.gibbs(start, spec.steps)
        return langevin(potential(model, name, given), start, spec, support)


@torch.no_grad()
def chain_ends(
    model: Model, name: str, rows: int, data: Tensor | None, given: Values = NOTHING, *, keep: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """Negatives, [rows, *shape], and what each is given; `keep`: chains that go on are moved, else only read.

    What new chains are given is that of these rows, and so over many steps that of the data.
    """
    spec, module = negatives(model.graph, name), energy(model, name)
    if not module.keeps:
        start = data if spec.at_data and data is not None else fresh(model, name, rows, given)
        return move(model, name, start.to(model.dtype), spec, given), dict(given)
    count = len(module.chains)
    if not module.started:
        beside = {n: v[torch.arange(count, device=model.device) % rows] for n, v in given.items()}
        filled = fresh(model, name, count, beside)
        if not keep:
            beside = {n: v[:rows] for n, v in beside.items()}
            return move(model, name, filled[:rows], spec, beside), beside
        module.keep(slice(None), filled, beside)
        module.started.fill_(1)
    taken = torch.randperm(count, device=model.device)[:rows]
    start, beside = module.kept(taken)
    anew = torch.rand(len(taken), device=model.device) < spec.fresh
    if bool(anew.any()):
        start = start.clone()
        now = {n: v[: len(taken)][anew] for n, v in given.items()}
        for condition, value in now.items():
            beside[condition][anew] = value.to(beside[condition].dtype)
        start[anew] = fresh(model, name, int(anew.sum()), now).to(start.dtype)
    ends = move(model, name, start, spec, beside)
    if keep:
        module.keep(taken, ends, beside)
    return ends, beside


@torch.no_grad()
def draw(model: Model, name: str, rows: int, values: Values = NOTHING) -> Tensor:
    """Samples of a variable with an energy, [rows, *shape], without gradients; `values` has what it is given."""
    graph = model.graph
    if name in targets(graph):
        encoder = graph.q(name)
        assert encoder is not None
        return model.distribution(encoder.name, {}, rows).draw()[0]
    given = given_of(model, name, values)
    if way(graph, name) is Way.CONTRAST:
        return _resampled(model, name, rows, given)
    module, spec = energy(model, name), sampler(graph, name)
    if not module.keeps or not module.started:
        start = fresh(model, name, rows, given)
    elif given:
        start = _met(model, name, rows, given)
    else:
        start = module.chains[torch.randint(len(module.chains), (rows,), device=model.device)]
        if rows <= len(module.chains):
            start = module.chains[torch.randperm(len(module.chains), device=model.device)[:rows]]
    value = move(model, name, start, spec, given)
    support = graph.variables[name].support
    return value.long() if support is not None and support.integer and graph.variables[name].labels else value


def _met(model: Model, name: str, rows: int, given: Values) -> Tensor:
    """For each row one of the chains that go on under the values that it is given; a new one where there is none."""
    module = energy(model, name)
    same = torch.ones(rows, len(module.chains), dtype=torch.bool, device=model.device)
    for condition, value in given.items():
        held = module.kept(slice(None))[1][condition]
        same &= (as_vectors(value).unsqueeze(1) == as_vectors(held).unsqueeze(0)).all(2)
    start = fresh(model, name, rows, given)
    met = same.any(1)
    if bool(met.any()):
        chosen = torch.multinomial(same[met].to(model.dtype), 1).squeeze(1)
        start[met] = module.chains[chosen].to(start.dtype)
    return start


def _resampled(model: Model, name: str, rows: int, given: Values) -> Tensor:
    """Sampling-importance-resampling: of PROPOSALS draws of p0 one, with weights exp(-E)."""
    found = []
    for row in range(rows):
        beside = repeated({n: v[row : row + 1] for n, v in given.items()}, PROPOSALS)
        tried = proposal(model, name, PROPOSALS, beside)
        found.append(tried[torch.multinomial(torch.softmax(-energy(model, name)(tried, beside), 0), 1)])
    return torch.cat(found)


def log_joint(model: Model, trace: Trace) -> Tensor:
    """log w of a marginal trace with every energy and its log Z, [k, B]."""
    total = trace.log_joint()
    fixed = targets(model.graph)
    for name in model.graph.spec.energy:
        if name not in fixed:
            value, given = read(trace, name)
            tilt = energy(model, name)(value, given) + log_normaliser(model, name, given)
            total = total - trace.grid(tilt)[0, 0]
    return total


@torch.no_grad()
def log_normaliser(model: Model, name: str, given: Values = NOTHING) -> Tensor:
    """log Z of the variable's factor p0 exp(-E), as `normaliser` of the graph says: one number, or [N] for the rows of
    what it is given. Kept until a parameter changes.

    The draws come from a seed of their own: the same parameters give the same number.
    """
    if normaliser(model.graph, name) == LEARNED:
        return torch.zeros((), dtype=model.dtype, device=model.device)
    if not given:
        return _known(model, name, NOTHING)
    rows = torch.cat([as_vectors(v).double() for v in given.values()], 1)
    distinct, which = torch.unique(rows, dim=0, return_inverse=True)
    first = [int((which == i).nonzero()[0]) for i in range(len(distinct))]
    found = [_known(model, name, {n: v[i : i + 1] for n, v in given.items()}) for i in first]
    return torch.stack(found)[which]


def _known(model: Model, name: str, given: Values) -> Tensor:
    """log Z under one value of what is given, [1, *shape] each, looked up where it was computed before."""
    module = energy(model, name)
    now = (model.dtype, *(n for p in model.parameters() for n in (id(p), p._version)))
    if module.known is None or module.known[0] != now:
        module.known = (now, {})
    key = tuple(number for v in given.values() for number in v.flatten().tolist())
    if key not in module.known[1]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module.known[1][key] = _log_normaliser(model, name, given)
    return module.known[1][key].to(model.device)


def _log_normaliser(model: Model, name: str, given: Values) -> Tensor:
    if normaliser(model.graph, name) == QUADRATURE:
        return quadrature(model, name, given)
    if machine(model.graph, name):
        return energy(model, name).machine.log_normaliser()
    beside = repeated(given, ROWS)
    parts = [-energy(model, name)(proposal(model, name, ROWS, beside), beside) for _ in range(DRAWS // ROWS)]
    return torch.logsumexp(torch.cat(parts), 0) - math.log(DRAWS)


def repeated(given: Values, rows: int) -> dict[str, Tensor]:
    """One row of what is given, [1, *shape], on every row."""
    return {n: v.expand(rows, *v.shape[1:]) for n, v in given.items()}


@torch.no_grad()
def quadrature(model: Model, name: str, given: Values = NOTHING) -> Tensor:
    """log of the integral of exp(-U) over one or two entries, by midpoints between the ends (or -EXTENT to EXTENT).

    `given`: one row of what the density is given.
    """
    points, cell = plane(model, name)
    parts = [-potential(model, name, repeated(given, len(p)))(p) for p in torch.split(points, ROWS * 8)]
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
