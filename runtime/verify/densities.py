"""Densities: every entry's sums or integrates to one, small factors do as a whole, and so does an exact p(x).

By the chain rule a factor whose entries' conditional densities are normalised, and which is causal, is
normalised. A flow's density at its own samples is that of its base minus the log-determinant of the whole map
(by the Jacobian).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from gendsl.compiler.graph import Factor, Kind, Role
from gendsl.data.dataset import Batch
from gendsl.nn.factor import Conditioned, Flowed, FlowSection, tile
from gendsl.nn.inference import Trace
from gendsl.nn.model import Model
from gendsl.runtime.verify.certificate import Certificate, at_most
from gendsl.runtime.verify.entrywise import (
    MOST_STATES,
    base_of,
    certified_factors,
    entries_of,
    marginals,
    masses,
    support_of,
)
from gendsl.runtime.verify.flows import LARGEST, jacobian
from gendsl.runtime.verify.integrals import integral
from gendsl.runtime.verify.subject import Subject, first, parents_of
from gendsl.schema.facts import Cost, Density, Support, numel

BOUND, POWER = 1e-3, 2e-3
DISCRETE_BOUND, DISCRETE_POWER = 1e-7, 1e-6
FLOW_BOUND, FLOW_POWER = 1e-7, 1e-6
PARENTS = 4
DRAWS = 4096
"""Draws that say where the mass of a density is."""


@torch.no_grad()
def certificates(subject: Subject) -> Iterator[Certificate]:
    """entries, integral or sum, and density of every factor that has them; integral of an exact p(x)."""
    for factor in certified_factors(subject):
        with subject.draws(f"density/{factor.name}"):
            values = first(parents_of(subject.drawn, factor, subject.rows), PARENTS)
            conditioned = subject.drawn.distribution(factor.name, values, PARENTS)
            if marginals(factor):
                yield from _entries(subject, factor, conditioned)
            yield from _whole(subject, factor, conditioned)
            if isinstance(conditioned, Flowed):
                yield from _flowed(subject, factor, conditioned)
    for name, factor in subject.graph.bases().items():
        with subject.draws(f"density/{factor.name}"):
            yield from _section(subject, name, factor)
    with subject.draws("density/p"):
        yield from _exact(subject)


def _entries(subject: Subject, factor: Factor, conditioned: Conditioned) -> Iterator[Certificate]:
    entries = entries_of(subject.drawn, factor, conditioned, base_of(conditioned).draw()[0])
    total, seen = masses(entries)
    if not bool(seen.any()):
        return
    error = float((total - 1).abs()[seen].max())
    finite = entries.support.count is not None
    bound, power = (DISCRETE_BOUND, DISCRETE_POWER) if finite else (BOUND, POWER)
    how = "sums" if entries.support.integer else "integrates"
    note = f"every entry {how} to one, {PARENTS} rows of parents, drawn parameters"
    if not bool(seen.all()):
        note += f"; {int((~seen).sum())} of {seen.numel()} entries are too peaked at an end to be integrated"
    yield at_most(f"normalised:{factor.name}", error, bound, power, note)


def _whole(subject: Subject, factor: Factor, conditioned: Conditioned) -> Iterator[Certificate]:
    """The factor as one density, flow included, where it is small."""
    shape = subject.graph.variables[factor.head].shape
    support = subject.graph.variables[factor.head].support
    assert shape is not None
    assert support is not None
    if factor.offers.density is not Density.ANY:
        return
    if not factor.flow:
        support = support_of(
            subject.drawn, factor
        )  # counts may be data of a Poisson distribution, which has more
    if support.integer and support.count is not None and support.count ** numel(shape) <= MOST_STATES:
        total = _sum(conditioned, shape, support)
        note = f"over {support.count ** numel(shape)} states"
        yield at_most(
            f"sum:{factor.name}", float((total - 1).abs().max()), DISCRETE_BOUND, DISCRETE_POWER, note
        )
    elif not support.integer and numel(shape) in (1, 2):
        draws = conditioned.repeat(DRAWS).draw()[0].view(DRAWS, PARENTS, -1)
        log_prob = partial(_tiled_log_prob, conditioned)
        total = integral(log_prob, draws, shape, support, grid=bool(factor.flow))
        note = f"over {numel(shape)} dimension{'s' * (numel(shape) > 1)}, drawn parameters"
        yield at_most(f"integral:{factor.name}", float((total - 1).abs().max()), BOUND, POWER, note)


def _tiled_log_prob(conditioned: Conditioned, x: Tensor) -> Tensor:
    return conditioned.repeat(len(x) // PARENTS).log_prob(x)


def _sum(conditioned: Conditioned, shape: tuple[int, ...], support: Support) -> Tensor:
    assert support.count is not None
    axis = torch.arange(int(support.low), int(support.low) + support.count)
    grid = torch.cartesian_prod(*([axis] * max(numel(shape), 1))).reshape(-1, *shape)  # [S, *shape]
    log_p = conditioned.repeat(len(grid)).log_prob(grid.repeat_interleave(PARENTS, 0))
    return torch.exp(torch.logsumexp(log_p.view(len(grid), PARENTS), 0))


def _flowed(subject: Subject, factor: Factor, conditioned: Flowed) -> Iterator[Certificate]:
    """The density that comes with a sample, against the base's density and the whole stack's Jacobian."""
    shape = subject.graph.variables[factor.head].shape
    assert shape is not None
    one_way = any(f.forward_cost is Cost.NONE for f in factor.flow)
    if numel(shape) > LARGEST or factor.offers.estimated or one_way:
        return
    with subject.draws("density/twice"):
        value, density = conditioned.draw()
    with subject.draws("density/twice"):
        inner, own = conditioned.base.draw()
    assert density is not None
    assert own is not None
    log_det = torch.linalg.slogdet(jacobian(partial(_outwards, conditioned), inner))[1]
    size = float((own - log_det).abs().mean())
    error = float((density - (own - log_det)).abs().max()) / size
    if factor.offers.density is Density.ANY:
        error = max(error, float((conditioned.log_prob(value) - density).abs().max()) / size)
    note = "of own samples, drawn parameters"
    yield at_most(f"density:{factor.name}", error, *_within(factor), note)


def _within(factor: Factor) -> tuple[float, float]:
    """Bound and power of a flow's density; layers that are solved numerically say how far they go."""
    slack = sum(layer.error for layer in factor.flow)
    return max(FLOW_BOUND, slack), max(FLOW_POWER, 10 * slack)


def _outwards(conditioned: Flowed, inner: Tensor) -> Tensor:
    value: Tensor = conditioned.stack(inner, conditioned.context)[0]
    return value


def _section(subject: Subject, base: str, factor: Factor) -> Iterator[Certificate]:
    """A flow section: log p(x) as the model computes it, against the prior at the inverse and a Jacobian."""
    model, prior = subject.drawn, subject.graph.p(base)
    shape = subject.graph.variables[factor.head].shape
    assert shape is not None
    assert prior is not None
    module = model.factor(factor.name)
    assert isinstance(module, FlowSection)
    one_way = any(f.inverse_cost is Cost.NONE for f in factor.flow)
    if numel(shape) > LARGEST or factor.offers.estimated or one_way:
        return
    trace = Trace(model, subject.rows, 1, marginal=True, corrupt=False)
    if factor.head not in trace.log_det or trace.values[base].shape[0] != len(subject.rows):
        return
    found = trace.log_p(factor.head)[:PARENTS]
    read = module.read(first(trace.values, PARENTS))
    x = trace.values[factor.head][:PARENTS]
    log_det = torch.linalg.slogdet(jacobian(partial(_inwards, module, read), x))[1]
    inner = trace.values[base][:PARENTS]
    exact = model.distribution(prior.name, first(trace.values, PARENTS), PARENTS).log_prob(inner) + log_det
    error = float((found - exact).abs().max() / exact.abs().mean())
    yield at_most(f"density:{factor.name}", error, *_within(factor), f"p({factor.head}), drawn parameters")


def _inwards(module: FlowSection, context: Tensor | None, x: Tensor) -> Tensor:
    value: Tensor = module.stack.inverse(x, context)[0]
    return value


def _exact(subject: Subject) -> Iterator[Certificate]:
    """p(x) of the whole model, where it is exact and of one real variable with one or two dimensions."""
    graph, model = subject.graph, subject.drawn
    names = [n for n, v in graph.variables.items() if v.role in (Role.OBSERVED, Role.PARTIAL)]
    plan = graph.capabilities["log_prob"]
    if plan.how is None or plan.kind is not Kind.EXACT or len(names) != 1:
        return
    variable = graph.variables[names[0]]
    assert variable.shape is not None
    assert variable.support is not None
    if variable.support.integer or numel(variable.shape) not in (1, 2) or variable.missing:
        return
    rows = 1
    given = first({n: v for n, v in subject.rows.values.items() if n != names[0]}, rows)
    repeated = {n: tile(v, DRAWS) for n, v in given.items()}
    draws = model.ancestral(DRAWS, repeated)[names[0]].view(DRAWS, 1, -1)
    total = integral(
        lambda x: model.log_prob(_batch(model, names[0], x, given)),
        draws,
        variable.shape,
        variable.support,
        grid=True,
    )
    yield at_most(
        "integral:p(x)", float((total - 1).abs().max()), BOUND, POWER, f"p({names[0]}), drawn parameters"
    )


def _batch(model: Model, name: str, x: Tensor, given: dict[str, Tensor]) -> Batch:
    return model.batch({name: x, **{n: tile(v, len(x)) for n, v in given.items()}})
