"""Integrals of whole densities over one or two dimensions, several rows of parents at once.

One dimension, and two without a flow: double-exponential nodes along each axis, which suit tails; where two shifted
sets of them differ (a kink away from the middle, a narrow component), many. Two dimensions of a flow: even grids,
refined until two in a row agree, because its density may be sharp anywhere.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gendsl.runtime.verify.entrywise import FINER, nodes
from gendsl.schema.facts import Support

LogProb = Callable[[Tensor], Tensor]
"""Values [J * R, *shape], row i of copy j at j * R + i -> log densities [J * R]."""

PLANES = (181, 301, 451, 701)
"""Points along each axis of an even grid, coarse to fine."""
AGREED = 2e-4
EXTENT = 8.0
"""Standard deviations to each side."""
CHUNK = 32768


def integral(
    log_prob: LogProb, draws: Tensor, shape: tuple[int, ...], support: Support, *, grid: bool
) -> Tensor:
    """The integral of a density over one or two dimensions, [R]; `draws` [S, R, D] say where its mass is.

    `grid`: two dimensions on even grids.
    """
    if draws.shape[2] == 1 or not grid:
        found = [_at_nodes(log_prob, draws, shape, support, i / 2) for i in range(2)]
        if float((found[1] - found[0]).abs().max()) > AGREED:
            found = [_at_nodes(log_prob, draws, shape, support, i / FINER) for i in range(FINER)]
        return torch.stack(found).mean(0)
    total = _even(log_prob, draws, shape, support, PLANES[0])
    for size in PLANES[1:]:
        finer = _even(log_prob, draws, shape, support, size)
        settled = float((finer - total).abs().max()) < AGREED
        total = finer
        if settled:
            break
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


def _even(log_prob: LogProb, draws: Tensor, shape: tuple[int, ...], support: Support, size: int) -> Tensor:
    middle, extent = draws.mean(0), EXTENT * draws.std(0)  # [R, 2]
    low = (middle - extent).clamp(min=support.low)
    step = ((middle + extent).clamp(max=support.high) - low) / size
    axis = (torch.arange(size, dtype=draws.dtype, device=draws.device) + 0.5).view(-1, 1, 1)
    points = pairs(*(low + axis * step).unbind(-1)).reshape(-1, *shape)
    return _total(log_prob, points, step.log().sum(1).expand(size * size, -1))


def _total(log_prob: LogProb, points: Tensor, log_w: Tensor) -> Tensor:
    """Sum of the density at points [J * R, *shape] with weights [J, R]."""
    rows = log_w.shape[1]
    log_p = torch.cat([log_prob(p) for p in torch.split(points, CHUNK // rows * rows)])
    return torch.exp(torch.logsumexp(log_p.view(-1, rows) + log_w, 0))


def pairs(a: Tensor, b: Tensor) -> Tensor:
    """Every pair of two axes [J, R] each: [J, J, R, 2]."""
    size = len(a)
    return torch.stack([a[:, None].expand(-1, size, -1), b[None].expand(size, -1, -1)], -1)
