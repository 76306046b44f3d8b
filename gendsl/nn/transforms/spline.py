"""Monotonic rational-quadratic splines with linear tails (Durkan et al. 2019, eq. 4-8).

In piece k between the knots (x_k, y_k) and (x_k+1, y_k+1), with slope s = h / w, xi = (x - x_k) / w and
derivatives d at the knots,

    y = y_k + h (s xi^2 + d_k xi (1 - xi)) / (s + (d_k + d_k+1 - 2 s) xi (1 - xi)).

The outer derivatives are 1, so that the identity outside [-bound, bound] joins on smoothly. Raw zeros give
the identity: equal widths and heights, and derivatives 1.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST = 1e-3
"""The least width and height of a piece, as a share of the whole, and the least derivative."""
SHIFT = math.log(math.expm1(1.0 - SMALLEST))
"""SMALLEST + softplus of this is 1."""


def knots(raw: Tensor, bound: float) -> Tensor:
    """Raw sizes [..., K] -> knots [..., K + 1] from -bound to bound, increasing."""
    pieces = raw.shape[-1]
    shares = SMALLEST + (1.0 - SMALLEST * pieces) * torch.softmax(raw, -1)
    inner = bound * (2.0 * torch.cumsum(shares, -1)[..., :-1] - 1.0)
    return F.pad(F.pad(inner, (1, 0), value=-bound), (0, 1), value=bound)


def rational_quadratic(
    value: Tensor, raw: Tensor, bound: float, inverse: bool = False
) -> tuple[Tensor, Tensor]:
    """(image, log derivative) of value [...]; raw [..., 3 K - 1]: widths, heights, inner derivatives."""
    pieces = (raw.shape[-1] + 1) // 3
    widths, heights, slopes = torch.split(raw, [pieces, pieces, pieces - 1], -1)
    x, y = knots(widths, bound), knots(heights, bound)
    d = F.pad(SMALLEST + F.softplus(slopes + SHIFT), (1, 1), value=1.0)
    inside = value.abs() <= bound
    point = value.clamp(-bound, bound)
    start = y if inverse else x
    index = (point.unsqueeze(-1) >= start[..., 1:-1]).sum(-1, keepdim=True)
    x0, x1, y0, y1, d0, d1 = (
        t.gather(-1, index + i).squeeze(-1) for t, i in ((x, 0), (x, 1), (y, 0), (y, 1), (d, 0), (d, 1))
    )
    w, h = x1 - x0, y1 - y0
    s = h / w
    bend = d0 + d1 - 2.0 * s
    if inverse:
        rise = point - y0
        a, b, c = h * (s - d0) + rise * bend, h * d0 - rise * bend, -s * rise
        root = torch.sqrt((b * b - 4.0 * a * c).clamp_min(0.0))
        xi = (2.0 * c / (-b - root)).clamp(0.0, 1.0)
    else:
        xi = (point - x0) / w
    both = xi * (1.0 - xi)
    below = s + bend * both
    gain = d1 * xi * xi + 2.0 * s * both + d0 * (1.0 - xi) ** 2
    log_slope = 2.0 * torch.log(s) + torch.log(gain) - 2.0 * torch.log(below)
    if inverse:
        image, log_slope = x0 + xi * w, -log_slope
    else:
        image = y0 + h * (s * xi * xi + d0 * both) / below
    return torch.where(inside, image, value), torch.where(inside, log_slope, torch.zeros_like(value))
