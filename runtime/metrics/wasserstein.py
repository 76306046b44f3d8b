"""Sliced Wasserstein-2 distance: optimal transport on random lines, where it is only sorting.

SW^2 = E_theta W_2^2(theta . x, theta . y), theta uniform on the unit sphere (Bonneel et al. 2015, Rabin et
al. 2011); in one dimension W_2^2 of n against n points is the mean squared difference of the sorted ones.
"""

from __future__ import annotations

import math

import torch

from gendsl.runtime.metrics.score import Rows, Score, matched

PROJECTIONS = 256


def sliced_wasserstein(
    real: Rows, fake: Rows, *, seed: int, projections: int = PROJECTIONS, rows: int | None = None
) -> Score:
    """Sliced Wasserstein-2 distance of `fake` from `real` [N, ...], in units of the data; lower is better.

    It is above 0 for two samples of one distribution, by an amount that shrinks as 1 / sqrt(n): compare it
    with the value of real against real rows at the same n. The standard error is that over projections alone.

    Raises:
        ValueError: fewer than two rows or projections, different widths, values that are not finite.
    """
    if projections < 2:
        raise ValueError(f"at least two projections are needed, got {projections}")
    left, right = matched(real, fake, seed=seed, rows=rows)
    generator = torch.Generator().manual_seed(seed + 3)
    lines = torch.randn(left.shape[1], projections, generator=generator, dtype=torch.float64)
    lines = lines / lines.norm(dim=0, keepdim=True)  # [D, L]
    gaps = (left @ lines).sort(dim=0).values - (right @ lines).sort(dim=0).values  # [n, L]
    squared = gaps.square().mean(dim=0)  # [L]
    value = math.sqrt(float(squared.mean()))
    spread = float(squared.std()) / math.sqrt(projections)
    stderr = spread / (2.0 * value) if value > 0.0 else 0.0
    note = f"W2 on {projections} random lines; standard error over lines, not rows"
    return Score(value, stderr, len(left), "units of the data", note=note)
