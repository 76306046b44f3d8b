"""Energies: log Z by two ways that share nothing but E, and the law of one step of the chain.

One Langevin step from x along a direction v, |v| = 1, is normal given x:

    v'(x1 - x) + (eps/2) dU/dv = sqrt(eps T) times a standard normal number,

with dU/dv by finite differences of U. Its variance sees the noise's scale, its correlation with dU/dv the drift's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from gendsl.compiler.derive.energies import PLANE, machine, sampler, targets
from gendsl.compiler.graph import Graph
from gendsl.nn import tilt
from gendsl.nn.langevin import langevin
from gendsl.nn.machine import Machine
from gendsl.nn.model import Model
from gendsl.nn.rows import as_vectors
from gendsl.runtime.verify.certificate import Certificate, at_most
from gendsl.runtime.verify.subject import Subject
from gendsl.schema.facts import REAL, numel

BOUND = 5.0
"""Standard errors."""
DRAWS, POWER = 100_000, 0.2
"""Uniform draws for log Z, and the relative error of Z that they show."""
ANNEALED, ANNEALED_POWER = 0.2, 0.25
"""Nats between the sum over states and annealed importance sampling, and the relative error that they show."""
STEPS, STEP, CHAIN_POWER = 20_000, 0.25, 0.1
"""Rows that take one step at most, its size, and the relative error of the noise's scale that so many show."""
CHUNK, WORK = 1_000, 3 * 10**10
"""Rows at once, and the operations that evaluating U once on all of them may take; but CHUNK rows are taken."""
NEAR = 1e-4


@torch.no_grad()
def certificates(subject: Subject) -> Iterator[Certificate]:
    """log_z where it can be computed twice; chain of every energy that Langevin steps sample."""
    for name in subject.graph.spec.energy:
        with subject.draws(f"energies/{name}"):
            given = tilt.given_of(subject.drawn, name, subject.rows.values)
            yield from _log_z(subject.drawn, name, {n: v[:1] for n, v in given.items()})
            if not machine(subject.graph, name) and name not in targets(subject.graph):
                yield _chain(subject.drawn, name, given)


def _log_z(model: Model, name: str, given: Mapping[str, Tensor]) -> Iterator[Certificate]:
    module, shape = tilt.energy(model, name), model.graph.variables[name].shape
    assert shape is not None
    if isinstance(module.energy, Machine) and module.energy.exact:
        gap = abs(float(module.energy.annealed() - module.energy.summed()))
        note = "nats between the sum over states and annealed importance sampling, drawn parameters"
        yield at_most(f"log_z:energy.{name}", gap, ANNEALED, ANNEALED_POWER, note)
    elif not isinstance(module.energy, Machine) and numel(shape) <= PLANE:
        points, cell = tilt.plane(model, name)
        low, high = points.min(), points.max()
        draws = low + (high - low) * torch.rand(DRAWS, *shape, dtype=model.dtype, device=model.device)
        parts = [
            -tilt.potential(model, name, tilt.repeated(given, len(d)))(d) for d in torch.split(draws, 10_000)
        ]
        area = math.log(len(points)) + cell
        shift = float(tilt.quadrature(model, name, given)) - area
        ratios = torch.exp(torch.cat(parts) - shift)
        error = float(ratios.std()) / math.sqrt(DRAWS)
        note = f"standard errors between a grid and {DRAWS} uniform draws, drawn parameters"
        note += ", the first row's conditions" if given else ""
        yield at_most(
            f"log_z:energy.{name}", abs(float(ratios.mean()) - 1) / max(error, 1e-12), BOUND, POWER, note
        )


def _chain(model: Model, name: str, given: Mapping[str, Tensor]) -> Certificate:
    shape = model.graph.variables[name].shape
    assert shape is not None
    spec = sampler(model.graph, name).model_copy(update={"steps": 1, "step_size": STEP})
    value, slope, steps = [], [], rows(model.graph, name)
    given = {n: v[torch.arange(CHUNK, device=v.device) % len(v)] for n, v in given.items()}
    for _ in range(steps // CHUNK):
        start = tilt.fresh(model, name, CHUNK, given)
        direction = as_vectors(torch.randn_like(start))
        direction = (direction / direction.norm(dim=1, keepdim=True)).view_as(start)
        potential = tilt.potential(model, name, given)
        with tilt.held(model, name):
            end = langevin(potential, start, spec, REAL)
        along = (potential(start + NEAR * direction) - potential(start - NEAR * direction)) / (2 * NEAR)
        moved = as_vectors((end - start) * direction).sum(1)
        value.append((moved + 0.5 * STEP * along) / math.sqrt(STEP * spec.temperature))
        slope.append(along)
    noise, drift = torch.cat(value), torch.cat(slope)
    scale = abs(float(noise.square().mean()) - 1) * math.sqrt(steps / 2)
    follows = abs(float((noise * drift).sum() / drift.norm().clamp(min=1e-12)))
    note = f"standard errors of the noise's variance and of the drift; {steps} steps, drawn parameters"
    power = CHAIN_POWER * math.sqrt(STEPS / steps)
    return at_most(f"chain:energy.{name}", max(scale, follows), BOUND, power, note)


def rows(graph: Graph, name: str) -> int:
    """How many rows take the step: STEPS, or as many as WORK is enough for where U is expensive."""
    beneath = graph.p(name)
    read = [f"energy.{name}", *([] if beneath is None else [beneath.name, f"prior.{beneath.base}"])]
    flops = sum(f.bill.flops for f in graph.factors.values() if f.name in read)
    return min(STEPS, max(CHUNK, WORK // max(flops, 1) // CHUNK * CHUNK))
