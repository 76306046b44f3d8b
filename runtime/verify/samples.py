"""Samples agree with densities: averages over draws against integrals of the same density, by entries.

Three functions of each entry: y / (1 + |y|) sees the location (y itself where the support is bounded below),
y^2 / (1 + y^2) the scale (y = the entry, centred and scaled), and log p the shape (its mean is minus the
entropy). For each, the sum over all draws and entries of g(x) - E[g] is compared with the standard deviation
that the density itself implies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from gendsl.compiler.graph import Factor
from gendsl.nn.factor import Plain, Sequential, tile
from gendsl.runtime.verify.certificate import Certificate, at_most
from gendsl.runtime.verify.entrywise import (
    Entries,
    base_of,
    certified_factors,
    entries_of,
    marginals,
    resolved,
    spread,
)
from gendsl.runtime.verify.subject import Subject, first, parents_of
from gendsl.schema.facts import numel

BOUND = 5.0
"""Standard deviations."""
COUNT, POWER = 200_000, 0.02
"""Draws of entries, and the relative error of a scale that they show."""
DISCRETE_POWER = 0.05
"""The relative error of a logit that they show."""
SEQUENTIAL_COUNT, SEQUENTIAL_POWER = 4_096, 0.15
"""The same where a draw takes one pass for every entry."""
PARENTS = 8


@torch.no_grad()
def certificates(subject: Subject) -> Iterator[Certificate]:
    """samples of every factor with a density; repeatable, where the model can be sampled."""
    for factor in filter(marginals, certified_factors(subject)):
        with subject.draws(f"samples/{factor.name}"):
            yield from _agree(subject, factor)
    if subject.graph.capabilities["sample"].how is not None:
        yield _repeatable(subject)


def _agree(subject: Subject, factor: Factor) -> Iterator[Certificate]:
    values = parents_of(subject.drawn, factor, subject.rows)
    base = base_of(subject.drawn.distribution(factor.name, first(values, PARENTS), PARENTS))
    if isinstance(base, Plain):
        entries = entries_of(subject.drawn, factor, base, base.raw)
        size = max(1, base.draw()[0].numel())
        draws = base.repeat(max(1, math.ceil(COUNT / size))).draw()[0]
        power = DISCRETE_POWER if entries.support.integer else POWER
        what = f"{draws.numel()} draws of entries"
    else:
        assert isinstance(base, Sequential)
        rows = len(subject.rows)
        wide = base_of(subject.drawn.distribution(factor.name, values, rows))
        size = numel(wide.like.shape) if isinstance(wide, Sequential) else 1
        draws = wide.repeat(max(1, SEQUENTIAL_COUNT // (rows * size))).draw()[0]
        repeated = {n: tile(v, len(draws) // rows) for n, v in values.items()}
        wide = base_of(subject.drawn.distribution(factor.name, repeated, len(draws)))
        entries = entries_of(subject.drawn, factor, wide, draws)
        power, what = SEQUENTIAL_POWER, f"{draws.numel()} draws of entries, in order"
    z = deviation(entries, draws.view(-1, len(entries.raw), *draws.shape[1:]).to(entries.raw.dtype))
    if z is not None:
        note = f"standard deviations; {what}, drawn parameters"
        yield at_most(f"samples:{factor.name}", z, BOUND, power, note)


@torch.no_grad()
def deviation(entries: Entries, draws: Tensor) -> float | None:
    """The largest of the three deviations of draws [S, R, *shape], in standard deviations.

    None where no entry's density can be integrated (all mass at the end of an interval).
    """
    x, log_w = entries.nodes()
    log_p = entries.at(x)
    seen = resolved(log_p, log_w) | entries.support.integer
    if not bool(seen.any()):
        return None
    weight = torch.softmax(log_p + log_w, 0)
    centre, scale = spread(x.gather(0, _typical(weight)))
    found = []
    light = math.isfinite(entries.support.low)
    at_nodes = _functions(x, centre, scale, log_p, light)
    at_draws = _functions(draws, centre, scale, entries.at(draws), light)
    for node, drawn in zip(at_nodes, at_draws, strict=True):
        value = torch.where(weight > 0, node, torch.zeros_like(node))
        mean = (weight * value).sum(0)
        variance = (weight * (value - mean).square()).sum(0)
        total = (drawn - mean).sum(0)[seen].sum()
        expected = (draws.shape[0] * variance[seen].sum()).sqrt()
        certain = float(expected) <= 1e-9
        found.append(
            (math.inf if float(total.abs()) > 1e-6 else 0.0) if certain else float(total.abs() / expected)
        )
    return max(found)


def _typical(weight: Tensor) -> Tensor:
    """Places of the nodes at 33 quantiles, [33, ...]."""
    cumulative = weight.cumsum(0).movedim(0, -1).contiguous()
    levels = torch.linspace(0.02, 0.98, 33, dtype=weight.dtype, device=weight.device)
    levels = levels.expand(*cumulative.shape[:-1], -1).contiguous()
    return torch.searchsorted(cumulative, levels).clamp(max=weight.shape[0] - 1).movedim(-1, 0)


def _functions(
    x: Tensor, centre: Tensor, scale: Tensor, log_p: Tensor, light: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """`light`: the mean of x exists, whatever the parameters."""
    y = (x - centre) / scale.clamp(min=1e-6)
    return y if light else y / (1 + y.abs()), y.square() / (1 + y.square()), log_p


def _repeatable(subject: Subject) -> Certificate:
    """The same seed gives the same samples, another seed others."""
    model, given = subject.own, first(subject.rows.values, PARENTS)
    runs = []
    for name in ("one", "one", "two"):
        with subject.draws(f"samples/{name}"):
            runs.append(model.sample(PARENTS, given))
    same = max(float((runs[0][n].double() - runs[1][n].double()).abs().max()) for n in runs[0])
    other = max(float((runs[0][n].double() - runs[2][n].double()).abs().max()) for n in runs[0])
    note = "largest difference between two draws from one seed; another seed gives others"
    return at_most("repeatable:sample", same if other > 0 else math.inf, 0.0, 1e-15, note)
