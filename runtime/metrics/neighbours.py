"""Fidelity and diversity, apart, from nearest neighbours: showing one perfect digit has the first only.

Around every row lies a ball that reaches to its k-th nearest neighbour on its own side.

- precision: share of fake rows in a ball of a real row; recall: share of real rows in a ball of a fake row
  (Kynkaanniemi et al. 2019, arXiv:1904.06991, equation 1);
- density: how many balls of real rows a fake row lies in, over k; coverage: share of real rows whose ball
  holds a fake row (Naeem et al. 2020, arXiv:2002.09797, equations 3 and 4). An outlier among the fake rows
  cannot raise coverage, as it can recall.
"""

from __future__ import annotations

import math

from torch import Tensor

from gendsl.runtime.metrics.score import Rows, Score, distances, matched, proportion


def precision_recall(
    real: Rows, fake: Rows, k: int = 3, *, seed: int = 0, rows: int | None = None
) -> tuple[Score, Score]:
    """Precision and recall of `fake` against `real` [N, ...], both in 0..1, higher is better.

    Standard errors are binomial, with the balls taken as given. `seed` draws the rows where there are more
    than are used; `rows` lowers that number.

    Raises:
        ValueError: not more than k rows on a side, k < 1, different widths, values that are not finite.
    """
    left, right = _enough(*matched(real, fake, seed=seed, rows=rows), k)
    cross = distances(left, right)  # [n real, n fake]
    inside_real = (cross <= radii(left, k)[:, None]).any(dim=0)
    inside_fake = (cross <= radii(right, k)[None, :]).any(dim=1)
    n, note = len(left), f"balls to the {_ordinal(k)} neighbour"
    precision, recall = proportion(inside_real), proportion(inside_fake)
    return Score(*precision, n, "share of samples", note=note), Score(
        *recall, n, "share of real rows", note=note
    )


def density_coverage(
    real: Rows, fake: Rows, k: int = 5, *, seed: int = 0, rows: int | None = None
) -> tuple[Score, Score]:
    """Density (about 1 for samples of the data's own distribution, may exceed it) and coverage (0..1).

    Arguments and errors as `precision_recall`. Two samples of one distribution have a coverage of about
    1 - 2^-k, not 1.
    """
    left, right = _enough(*matched(real, fake, seed=seed, rows=rows), k)
    inside = distances(left, right) <= radii(left, k)[:, None]  # [n real, n fake]
    n, note = len(left), f"balls to the {_ordinal(k)} neighbour"
    each = inside.double().sum(dim=0) / k  # [n fake]
    density = Score(float(each.mean()), float(each.std()) / math.sqrt(n), n, "balls over k", note=note)
    return density, Score(*proportion(inside.any(dim=1)), n, "share of real rows", note=note)


def radii(rows: Tensor, k: int) -> Tensor:
    """The distance [N] of each row to its k-th nearest other row."""
    return distances(rows, rows).kthvalue(k + 1, dim=1).values


def _enough(left: Tensor, right: Tensor, k: int) -> tuple[Tensor, Tensor]:
    if k < 1 or len(left) <= k:
        raise ValueError(
            f"k = {k} neighbours need 1 <= k < rows, and there are {len(left)} rows on each side"
        )
    return left, right


def _ordinal(k: int) -> str:
    return {1: "1st", 2: "2nd", 3: "3rd"}.get(k, f"{k}th")
