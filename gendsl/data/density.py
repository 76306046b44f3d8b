"""Exact log densities of the generated sources that have one: what a fitted model can be compared with."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gendsl.data.generated import grid_centres, ring_centres
from gendsl.errors import UsageError
from gendsl.schema.components.source_base import Source
from gendsl.schema.components.source_generated import Checkerboard, Grid, Ring


def known_modes(source: Source) -> tuple[Tensor, float] | None:
    """The centres [K, 2] and the standard deviation of a mixture of equal Gaussians; None for other sources."""
    if isinstance(source, Ring):
        return torch.from_numpy(ring_centres(source)), source.noise
    if isinstance(source, Grid):
        return torch.from_numpy(grid_centres(source)), source.noise
    return None


def log_density(source: Source, points: Tensor) -> Tensor:
    """The log density, in nats, of `points` [B, 2] under a generated source: [B], -inf outside its support.

    Raises UsageError for a source without a closed form.
    """
    modes = known_modes(source)
    if modes is not None:
        return _mixture(points, *modes)
    if isinstance(source, Checkerboard):
        return _checkerboard(points, source.cells)
    raise UsageError(f"the source {source.tag!r} has no density in closed form")


def _mixture(points: Tensor, centres: Tensor, scale: float) -> Tensor:
    """log (1/K) sum_k N(x; c_k, scale^2 I)."""
    squared = (points[:, None, :] - centres.to(points)).square().sum(-1)  # [B, K]
    normaliser = math.log(len(centres)) + math.log(2 * math.pi * scale**2)
    return torch.logsumexp(-squared / (2 * scale**2), dim=1) - normaliser


def _checkerboard(points: Tensor, cells: int) -> Tensor:
    """Uniform on cells^2 / 2 squares of area 4."""
    square = torch.floor((points + cells) / 2).long()  # [B, 2]
    dark = (square.sum(1) % 2 == 0) & (square >= 0).all(1) & (square < cells).all(1)
    inside = torch.full_like(points[:, 0], -math.log(2 * cells * cells))
    return torch.where(dark, inside, torch.full_like(inside, -math.inf))
