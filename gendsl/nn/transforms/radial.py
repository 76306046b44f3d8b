"""Radial flow: y = x + beta (x - x0) / (alpha + r), r = |x - x0| (Rezende and Mohamed 2015, eq. 14).

It is invertible iff beta > -alpha (their appendix A.2). Here alpha = softplus(a + c) and beta = alpha
(softplus(b + c) - 1) with softplus(c) = 1: every a and b is allowed, and b = 0 is the identity. The radius of
y, R = r (1 + beta / (alpha + r)), gives r^2 + (alpha + beta - R) r - alpha R = 0, whose positive root is the
inverse.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gendsl.nn.transforms.stack import Transform
from gendsl.schema.components.flow_residual import Radial
from gendsl.schema.facts import Shape, numel

SHIFT = math.log(math.e - 1.0)
"""softplus of this is 1."""


class RadialFlow(Transform):
    """`repeat` radial layers; parameters are shared, or computed from the context for each row."""

    def __init__(self, size: int, repeat: int, context: int) -> None:
        super().__init__()
        self.size, self.repeat = size, repeat
        numbers = repeat * (size + 2)
        start = torch.randn(numbers)
        start.view(repeat, size + 2)[:, size:] *= 0.1
        self.amortize = nn.Linear(context, numbers) if context else None
        if self.amortize is None:
            self.numbers = nn.Parameter(start)
        else:
            with torch.no_grad():
                self.amortize.weight.mul_(0.1)
                self.amortize.bias.copy_(start)

    def _layers(self, context: Tensor | None) -> list[tuple[Tensor, Tensor, Tensor]]:
        """(centre [N or 1, D], alpha, beta [N or 1]) of each layer."""
        numbers = self.numbers[None] if self.amortize is None else self.amortize(context)
        numbers = numbers.view(numbers.shape[0], self.repeat, self.size + 2)
        alpha = F.softplus(numbers[..., -2] + SHIFT)
        beta = alpha * (F.softplus(numbers[..., -1] + SHIFT) - 1.0)
        return [(numbers[:, k, : self.size], alpha[:, k], beta[:, k]) for k in range(self.repeat)]

    def _log_det(self, r: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        around = torch.log1p(beta / (alpha + r))
        along = torch.log1p(alpha * beta / (alpha + r) ** 2)
        return (self.size - 1) * around + along

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        flat, total = x.flatten(1), x.new_zeros(x.shape[0])
        for centre, alpha, beta in self._layers(context):
            away = flat - centre
            r = torch.linalg.vector_norm(away, dim=1)
            total = total + self._log_det(r, alpha, beta)
            flat = flat + (beta / (alpha + r))[:, None] * away
        return flat.view_as(x), total

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        flat, total = y.flatten(1), y.new_zeros(y.shape[0])
        for centre, alpha, beta in reversed(self._layers(context)):
            away = flat - centre
            radius = torch.linalg.vector_norm(away, dim=1)
            half = 0.5 * (alpha + beta - radius)
            root = torch.sqrt(half * half + alpha * radius)
            up = root + half.abs()
            r = torch.where(half > 0, alpha * radius / up, up)
            total = total - self._log_det(r, alpha, beta)
            flat = centre + away / (1.0 + beta / (alpha + r))[:, None]
        return flat.view_as(y), total


def build_radial(spec: Radial, shape: Shape, context: int, kernels: str) -> RadialFlow:
    return RadialFlow(numel(shape), spec.repeat, context)
