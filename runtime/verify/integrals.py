"""Integrals of whole densities over one or two dimensions, several rows of parents at once.

One dimension, and two without a flow: double-exponential nodes along each axis, which suit tails; where two shifted
sets of them differ (a kink away from the middle, a narrow component), many. Two dimensions of a flow: even grids,
refined where draws lie until two in a row agree, because its density may be sharp anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from gendsl.runtime.verify.entrywise import FINER, nodes
from gendsl.schema.facts import Support

LogProb = Callable[[Tensor], Tensor]
"""Values [J * R, *shape], row i of copy j at j * R + i -> log densities [J * R]."""

CELLS = 80
"""Equal cells along each axis of a plane."""
FINENESS = (6, 12, 24, 48)
"""Points along each axis of a cell with draws in it or beside it, coarse to fine."""
ELSEWHERE = 3
"""How many times fewer they are in the other cells."""
AGREED = 2e-4
EXTENT = 8.0
"""Standard deviations to each side."""
CHUNK = 32768


def integral(
    log_prob: LogProb, draws: Tensor, shape: tuple[int, ...], support: Support, *, grid: bool
) -> Tensor:
    """The integral of a density over one or two dimensions, [R]; `draws` [S, R, D] say where its mass is.

    `grid`: two dimensions on even grids, fine where draws are.
    """
    if draws.shape[2] == 1 or not grid:
        found = [_at_nodes(log_prob, draws, shape, support, i / 2) for i in range(2)]
        if float((found[1] - found[0]).abs().max()) > AGREED:
            found = [_at_nodes(log_prob, draws, shape, support, i / FINER) for i in range(FINER)]
        return torch.stack(found).mean(0)
    total = None
    for points in FINENESS:
        finer = _in_cells(log_prob, draws, shape, support, points)
        if total is not None and float((finer - total).abs().max()) < AGREED:
            return finer
        total = finer
    assert total is not None
    return total


def _at_nodes(
    log_prob: LogProb, draws: Tensor, shape: tuple[int, ...], support: Support, shift: float
) -> Tensor:
    if draws.shape[2] == 1:
        x, log_w = nodes(support, draws[..., 0], shift)
        return _total(log_prob, x.reshape(-1, *shape), log_w)
    x, log_w = nodes(support, draws, shift)  # [J, R, 2]
    weights = pairs(*log_w.unbind(-1)).sum(-1)
    return _total(log_prob, pairs(*x.unbind(-1)).reshape(-1, *shape), weights.flatten(0, 1))


def _in_cells(
    log_prob: LogProb, draws: Tensor, shape: tuple[int, ...], support: Support, fineness: int
) -> Tensor:
    """The plane in equal cells, each with the middles of a grid of its own: fine where the draws say mass is."""
    middle, extent = draws.mean(0), EXTENT * draws.std(0)  # [R, 2]
    low = (middle - extent).clamp(min=support.low)
    size = (middle + extent).clamp(max=support.high) - low
    where = ((draws - low) / size * CELLS).long().clamp(0, CELLS - 1).unbind(-1)  # [S, R]
    dense = draws.new_zeros(CELLS, CELLS)
    dense[where] = 1
    dense = max_pool2d(dense[None], 3, stride=1, padding=1)[0] > 0
    total = torch.zeros_like(size[:, 0])
    for cells, points in ((dense, fineness), (~dense, fineness // ELSEWHERE)):
        axis = (torch.arange(points, dtype=draws.dtype, device=draws.device) + 0.5) / points
        inside = torch.cartesian_prod(axis, axis)
        places = (cells.nonzero()[:, None] + inside).reshape(-1, 1, 2) / CELLS  # in the unit square
        log_w = size.log().sum(1) - 2 * math.log(CELLS * points)
        values = (low + places * size).reshape(-1, *shape)
        total = total + _total(log_prob, values, log_w.expand(len(places), -1))
    return total


def _total(log_prob: LogProb, points: Tensor, log_w: Tensor) -> Tensor:
    """Sum of the density at points [J * R, *shape] with weights [J, R]."""
    rows = log_w.shape[1]
    log_p = torch.cat([log_prob(p) for p in torch.split(points, CHUNK // rows * rows)])
    return torch.exp(torch.logsumexp(log_p.view(-1, rows) + log_w, 0))


def pairs(a: Tensor, b: Tensor) -> Tensor:
    """Every pair of two axes [J, R] each: [J, J, R, 2]."""
    size = len(a)
    return torch.stack([a[:, None].expand(-1, size, -1), b[None].expand(size, -1, -1)], -1)
