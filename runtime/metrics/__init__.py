"""Judges of samples against real rows, and all of them at once.

A value means little alone: `judge_real` gives the same numbers for two halves of the real rows, the floor
that a perfect model would reach at that many rows.
"""

from __future__ import annotations

from typing import Any

import torch

from gendsl.runtime.metrics.c2st import c2st
from gendsl.runtime.metrics.mmd import mmd
from gendsl.runtime.metrics.neighbours import density_coverage, precision_recall
from gendsl.runtime.metrics.score import ROWS, Rows, Score, as_rows
from gendsl.runtime.metrics.wasserstein import sliced_wasserstein

__all__ = [
    "ROWS",
    "Score",
    "c2st",
    "density_coverage",
    "judge",
    "judge_real",
    "mmd",
    "precision_recall",
    "sample_quality",
    "sliced_wasserstein",
]


def judge(real: Rows, fake: Rows, *, seed: int, rows: int | None = None) -> dict[str, Score]:
    """Every judge of `fake` against `real` [N, ...], by name.

    At most ROWS rows of each side are used (`rows` lowers that), equally many of both; each Score
    says how many.

    Raises:
        ValueError: fewer than eight rows on a side, different widths, values that are not finite.
    """
    precision, recall = precision_recall(real, fake, seed=seed, rows=rows)
    density, coverage = density_coverage(real, fake, seed=seed, rows=rows)
    return {
        "mmd": mmd(real, fake, seed=seed, rows=rows),
        "sliced_wasserstein": sliced_wasserstein(real, fake, seed=seed, rows=rows),
        "c2st": c2st(real, fake, seed=seed, rows=rows),
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
    }


def judge_real(real: Rows, seed: int, *, rows: int | None = None) -> dict[str, Score]:
    """Every judge between two random halves of the real rows: the floor to read `judge` against.

    Raises:
        ValueError: fewer than sixteen rows, or values that are not finite.
    """
    flat = as_rows(real, "real")
    order = torch.randperm(len(flat), generator=torch.Generator().manual_seed(seed))
    half = len(flat) // 2
    return judge(flat[order[:half]], flat[order[half:]], seed=seed, rows=rows)


def sample_quality(real: Rows, fake: Rows, *, seed: int) -> dict[str, dict[str, Any]]:
    """Entries of `result.json` by name: every judge of `fake`, with its floor at the same number of rows.

    Errors as `judge_real`.
    """
    rows = min(len(real) // 2, len(fake), ROWS)
    scores = judge(real, fake, seed=seed, rows=rows)
    floors = judge_real(real, seed, rows=rows)
    return {name: score.as_json(floors[name]) for name, score in scores.items()}
