"""Point clouds in the plane: each function draws `point` [n, 2] and `label` [n] from its own seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gendsl.data.loaded import Array, Loaded
from gendsl.schema.components.source_generated import (
    Checkerboard,
    Generated,
    Grid,
    Ring,
    Spirals,
    SwissRoll,
    TwoMoons,
)


def load_two_moons(source: TwoMoons, base: Path) -> Loaded:
    """The upper half circle around (0, 0) and the lower one around (1, 0.5), plus Gaussian noise."""
    draw = _generator(source)
    label = draw.integers(0, 2, source.n)
    angle = np.pi * draw.random(source.n)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1.0 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    return _loaded(np.where(label[:, None] == 0, upper, lower), label, source.noise, draw)


def load_ring(source: Ring, base: Path) -> Loaded:
    """Equally likely modes on a circle."""
    draw = _generator(source)
    label = draw.integers(0, source.modes, source.n)
    return _loaded(ring_centres(source)[label], label, source.noise, draw)


def load_grid(source: Grid, base: Path) -> Loaded:
    """Equally likely modes on a square grid."""
    draw = _generator(source)
    label = draw.integers(0, source.classes, source.n)
    return _loaded(grid_centres(source)[label], label, source.noise, draw)


def load_spirals(source: Spirals, base: Path) -> Loaded:
    """Archimedean arms; the square root spreads the points evenly along the arm."""
    draw = _generator(source)
    label = draw.integers(0, source.arms, source.n)
    along = np.sqrt(draw.random(source.n))
    angle = 2 * np.pi * (source.turns * along + label / source.arms)
    point = 2.0 * along[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _loaded(point, label, source.noise, draw)


def load_checkerboard(source: Checkerboard, base: Path) -> Loaded:
    """Uniform on the squares (row, column) with an even row + column."""
    draw = _generator(source)
    label = draw.integers(0, source.classes, source.n)
    row, pair = np.divmod(label, source.cells // 2)
    corner = np.stack([2 * pair + row % 2, row], axis=1) * 2.0 - source.cells
    return _loaded(corner + 2.0 * draw.random((source.n, 2)), label, 0.0, draw)


def load_swiss_roll(source: SwissRoll, base: Path) -> Loaded:
    """r = inner + (outer - inner) s at the angle 2 pi turns s, with s uniform; the label is floor(4 s)."""
    draw = _generator(source)
    along = draw.random(source.n)
    angle = 2 * np.pi * source.turns * along
    radius = source.inner + (source.outer - source.inner) * along
    point = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _loaded(point, np.floor(4 * along).astype(np.int64), source.noise, draw)


def ring_centres(source: Ring) -> Array:
    """The modes of a ring, float64 [modes, 2]."""
    angle = 2 * np.pi * np.arange(source.modes) / source.modes
    return source.radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def grid_centres(source: Grid) -> Array:
    """The modes of a grid, float64 [side * side, 2]."""
    axis = source.spacing * (np.arange(source.side) - (source.side - 1) / 2)
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)


def _generator(source: Generated) -> np.random.Generator:
    return np.random.default_rng([source.seed, source.n])


def _loaded(point: Array, label: Array, noise: float, draw: np.random.Generator) -> Loaded:
    noisy = point + noise * draw.standard_normal(point.shape)
    return Loaded({"point": noisy.astype(np.float32), "label": label.astype(np.int64)})
