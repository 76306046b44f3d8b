"""What a judge of samples returns, and how rows are made ready for the judges.

Every judge compares N real with N generated rows as plain vectors, in the space of the bound variable. No
network extracts features first, so the numbers are distances between pixels (or coordinates), not between
what the pixels show; `Score.extractor` says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

Rows = Tensor | NDArray[Any]

ROWS = 1000
"""The largest number of rows that a judge looks at on each side: pairwise distances are quadratic in it."""


@dataclass(frozen=True)
class Score:
    """One number about generated rows.

    `n` counts the rows used on each side; `stderr` is the standard error over rows (None where no honest one
    is known); `note` states the settings that the value depends on.
    """

    value: float
    stderr: float | None
    n: int
    unit: str
    extractor: str = "pixels"
    note: str = ""

    def as_json(self, floor: Score | None = None) -> dict[str, Any]:
        """The entry of `result.json`, beside the value of real against real rows where that is known."""
        entry: dict[str, Any] = {
            "value": self.value,
            "unit": self.unit,
            "kind": "estimate",
            "samples": self.n,
            "stderr": self.stderr,
            "extractor": self.extractor,
            "note": self.note,
        }
        if floor is not None:
            entry["floor"] = {"value": floor.value, "stderr": floor.stderr, "samples": floor.n}
        return entry


def as_rows(rows: Rows, name: str) -> Tensor:
    """`rows` [N, ...] flattened to [N, D], float64, on the CPU.

    Raises:
        ValueError: fewer than two rows, rows without entries, or a value that is not finite.
    """
    flat = torch.as_tensor(rows).detach().to(device="cpu", dtype=torch.float64)
    if flat.dim() == 1:
        flat = flat[:, None]
    if len(flat) < 2 or flat.numel() == 0:
        raise ValueError(f"{name}: at least two rows with an entry are needed, got shape {tuple(flat.shape)}")
    flat = flat.reshape(len(flat), -1)
    bad = int((~torch.isfinite(flat)).any(dim=1).sum())
    if bad:
        raise ValueError(f"{name}: {bad} of {len(flat)} rows have an entry that is not finite")
    return flat


def matched(real: Rows, fake: Rows, *, seed: int, rows: int | None = None) -> tuple[Tensor, Tensor]:
    """Equally many rows of both sides, drawn without replacement: [n, D] each.

    n is the smallest of both sides' rows, `rows` and ROWS. The draw is a function of `seed` and the number of
    rows alone, and both sides draw from streams of their own.

    Raises:
        ValueError: rows of different widths, or what `as_rows` refuses.
    """
    left, right = as_rows(real, "real"), as_rows(fake, "fake")
    if left.shape[1] != right.shape[1]:
        raise ValueError(f"real rows have {left.shape[1]} entries, fake rows {right.shape[1]}")
    n = min(len(left), len(right), ROWS, rows if rows is not None else ROWS)
    return left[_draw(len(left), n, seed)], right[_draw(len(right), n, seed + 1)]


def _draw(total: int, n: int, seed: int) -> Tensor:
    if n >= total:
        return torch.arange(total)
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:n]


def distances(left: Tensor, right: Tensor) -> Tensor:
    """Euclidean distances [N, M] of [N, D] and [M, D], by differences: equal rows are exactly 0 apart."""
    return torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist")


def proportion(hits: Tensor) -> tuple[float, float]:
    """The share of true entries of a boolean vector, and its binomial standard error (Agresti-Coull).

    The error is that of the Agresti-Coull interval, so that a share of exactly 0 or 1 does not claim to be
    without error.
    """
    n = hits.numel()
    share = float(hits.double().mean())
    centred = (share * n + 2.0) / (n + 4.0)
    return share, math.sqrt(centred * (1.0 - centred) / (n + 4.0))
