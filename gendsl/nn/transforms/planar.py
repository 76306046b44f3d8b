"""Planar flow: z + u tanh(w.z + b) (Rezende and Mohamed 2015, eq. 10), K layers as one stack.

Invertible iff w.u >= -1. As in the paper's appendix A.1, u is moved along w to
u^ = u + (m(w.u) - w.u) w / |w|^2, so that w.u^ = m(w.u) > -1. The paper's m(s) = -1 + log(1 + e^s) has
m(0) != 0: near w = 0 the correction grows without bound. Here m(s) = -1 + margin + softplus(s + c) with
softplus(c) = 1 - margin, so m(0) = 0: u = 0 is the identity, and the correction stays bounded by |u|. Without
the margin, rounding takes w.u^ below -1 where w.u is far below.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gendsl.kernels.planar import planar_stack
from gendsl.kernels.table import Policy
from gendsl.nn.rows import as_vectors
from gendsl.nn.transforms.stack import Transform
from gendsl.schema.components.flow import Planar
from gendsl.schema.facts import Shape, numel

MARGIN = 1e-3
"""How far above -1 the product w.u^ stays."""

SHIFT = math.log(math.expm1(1.0 - MARGIN))
"""softplus of this is 1 - MARGIN."""


def invertible(u: Tensor, w: Tensor) -> Tensor:
    """u^ with w.u^ > -1; u and w are [..., D]."""
    s = (u * w).sum(-1, keepdim=True)
    correction = F.softplus(s + SHIFT) - (1.0 - MARGIN) - s
    norm = (w * w).sum(-1, keepdim=True).clamp_min(torch.finfo(w.dtype).tiny * 1e8)
    return u + correction * w / norm


class PlanarFlow(Transform):
    """`repeat` planar layers; parameters are shared, or computed from the context for each row."""

    def __init__(self, size: int, repeat: int, context: int, kernels: Policy) -> None:
        super().__init__()
        self.size, self.repeat, self.kernels = size, repeat, kernels
        numbers = repeat * (2 * size + 1)
        self.amortize = nn.Linear(context, numbers) if context else None
        start = torch.randn(numbers) / math.sqrt(size)
        start.view(repeat, 2 * size + 1)[:, :size] *= 0.1
        if self.amortize is None:
            self.numbers = nn.Parameter(start)
        else:
            with torch.no_grad():
                self.amortize.weight.mul_(0.1)
                self.amortize.bias.copy_(start)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        numbers = self.numbers if self.amortize is None else self.amortize(context)
        numbers = numbers.view(*numbers.shape[:-1], self.repeat, 2 * self.size + 1)
        u, w, b = numbers.split([self.size, self.size, 1], -1)
        rows = as_vectors(x)
        y, log_det = planar_stack(rows, invertible(u, w), w, b.squeeze(-1), kernels=self.kernels)
        return y.view_as(x), log_det


def build_planar(spec: Planar, shape: Shape, context: int, kernels: Policy) -> PlanarFlow:
    return PlanarFlow(numel(shape), spec.repeat, context, kernels)
