"""Mode coverage where the modes are known: the protocol of PacGAN (Lin et al. 2018, section 4.1).

A sample is of high quality if it lies within three standard deviations of its nearest mode; a mode is covered if a
sample of high quality is nearest to it. With q the share of these samples at each of K modes,
reverse KL = sum q log(K q).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gendsl.runtime.metrics.score import Score, distances, proportion

SAMPLES = 2500
"""How many samples the papers draw."""


def mode_coverage(points: Tensor, centres: Tensor, noise: float) -> dict[str, Score]:
    """`modes`, `high_quality` and `reverse_kl` of samples [N, D] of a mixture with equal weights at `centres` [K, D].

    Standard errors: binomial for the share of high quality, none for the others. There is no KL
    without a sample of high quality.
    """
    nearest = distances(points.double(), centres.double()).min(dim=1)
    good = nearest.values <= 3 * noise
    counts = torch.bincount(nearest.indices[good], minlength=len(centres)).double()
    n, found = len(points), int((counts > 0).sum())
    note = f"{len(centres)} known modes; within three standard deviations"
    quality, error = proportion(good)
    share = counts / counts.sum() if found else counts
    kl = float(torch.special.xlogy(share, share).sum()) + math.log(len(centres))
    scores = {
        "modes": Score(float(found), None, n, f"of {len(centres)} modes", "coordinates", note),
        "high_quality": Score(quality, error, n, "share of samples", "coordinates", note),
    }
    if found:
        scores["reverse_kl"] = Score(kl, None, n, "nats", "coordinates", note)
    return scores
