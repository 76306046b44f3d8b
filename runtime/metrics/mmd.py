"""Maximum mean discrepancy with a Gaussian kernel, squared and unbiased.

MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y), estimated by the U-statistic of Gretton et al. 2012 (JMLR 13,
equation 4) over n pairs of a real and a generated row. It is 0 in expectation where both distributions are
equal, hence negative about half of the time there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gendsl.runtime.metrics.score import Rows, Score, distances, matched


def mmd(
    real: Rows, fake: Rows, *, seed: int, bandwidth: float | None = None, rows: int | None = None
) -> Score:
    """Unbiased squared MMD between `real` and `fake` [N, ...], with k(a, b) = exp(-|a - b|^2 / (2 s^2)).

    The bandwidth s is the median distance between two different real rows (the mean one if the median is 0),
    so it does not depend on the model that is judged. The standard error is the jackknife's over pairs, which
    is too large rather than too small where the distributions are equal.

    Args:
        real, fake: rows, flattened; at least four on each side.
        seed: which rows are drawn where there are more than are used.
        bandwidth: s in the units of the data, instead of the median rule.
        rows: use at most this many rows of each side.

    Raises:
        ValueError: too few rows, different widths, values that are not finite, a bandwidth <= 0.
    """
    left, right = matched(real, fake, seed=seed, rows=rows)
    n = len(left)
    if n < 4:
        raise ValueError(f"the MMD needs at least four rows on each side, got {n}")
    within = distances(left, left)  # [n, n]
    rule = "given" if bandwidth is not None else "the median distance of real rows"
    width = bandwidth if bandwidth is not None else median_bandwidth(within)
    if not (width > 0.0 and math.isfinite(width)):
        raise ValueError(f"the bandwidth must be a positive number, got {width}")
    cross = _gaussian(distances(left, right), width)
    pairs = _gaussian(within, width) + _gaussian(distances(right, right), width) - cross - cross.T
    pairs.fill_diagonal_(0.0)
    value, stderr = u_statistic(pairs)
    note = f"unbiased MMD^2, Gaussian kernel, bandwidth {width:.4g} ({rule})"
    return Score(value, stderr, n, "squared MMD", note=note)


def median_bandwidth(within: Tensor) -> float:
    """The median off-diagonal distance of a matrix [n, n]; the mean if that is 0, and 1 if all are 0."""
    n = len(within)
    entries = within[~torch.eye(n, dtype=torch.bool)]
    return float(entries.median()) or float(entries.mean()) or 1.0


def _gaussian(distance: Tensor, width: float) -> Tensor:
    return torch.exp(-(distance**2) / (2.0 * width**2))


def u_statistic(pairs: Tensor) -> tuple[float, float]:
    """The mean off-diagonal entry of a symmetric matrix, its diagonal 0, and the jackknife standard error."""
    n = len(pairs)
    by_row = pairs.sum(dim=1)
    total = by_row.sum()
    without = (total - 2.0 * by_row) / ((n - 1) * (n - 2))  # [n]
    variance = (n - 1) / n * ((without - without.mean()) ** 2).sum()
    return float(total / (n * (n - 1))), math.sqrt(float(variance))
