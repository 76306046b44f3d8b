"""Radial flow: y = x + beta (x - x0) / (alpha + r), r = |x - x0| (Rezende and Mohamed 2015, eq. 14).

It is invertible iff beta > -alpha (their appendix A.2). Here alpha = softplus(a + c) and beta = alpha (g - 1),
g = softplus(b + c), with softplus(c) = 1: every a and b is allowed, and b = 0 is the identity. With them

    y - x0 = (x - x0) (r + alpha g) / (r + alpha)
    det    = ((r + alpha g) / (r + alpha))^(D - 1)  (r^2 + 2 alpha r + alpha^2 g) / (r + alpha)^2

and the radius R of y gives r^2 + (alpha g - R) r - alpha R = 0, whose positive root is the inverse.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gendsl.nn.rows import as_vectors
from gendsl.nn.transforms.stack import Transform
from gendsl.schema.components.flow_residual import Radial
from gendsl.schema.facts import Shape, numel

SHIFT = math.log(math.e - 1.0)
"""softplus of this is 1."""
SMALLEST = 1e-8
"""The least alpha and g."""


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
        """(centre [N or 1, D], alpha, g [N or 1]) of each layer."""
        numbers = self.numbers[None] if self.amortize is None else self.amortize(context)
        numbers = numbers.view(numbers.shape[0], self.repeat, self.size + 2)
        alpha, g = F.softplus(numbers[..., -2:] + SHIFT).clamp_min(SMALLEST).unbind(-1)
        return [(numbers[:, k, : self.size], alpha[:, k], g[:, k]) for k in range(self.repeat)]

    def _log_det(self, r: Tensor, alpha: Tensor, g: Tensor) -> Tensor:
        around = torch.log(r + alpha * g) - torch.log(r + alpha)
        along = torch.log(r * (r + 2.0 * alpha) + alpha * alpha * g) - 2.0 * torch.log(r + alpha)
        return (self.size - 1) * around + along

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        flat, total = as_vectors(x), x.new_zeros(x.shape[0])
        for centre, alpha, g in self._layers(context):
            away = flat - centre
            r = torch.linalg.vector_norm(away, dim=1)
            total = total + self._log_det(r, alpha, g)
            flat = centre + ((r + alpha * g) / (r + alpha))[:, None] * away
        return flat.view_as(x), total

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        flat, total = as_vectors(y), y.new_zeros(y.shape[0])
        for centre, alpha, g in reversed(self._layers(context)):
            away = flat - centre
            radius = torch.linalg.vector_norm(away, dim=1)
            half = 0.5 * (alpha * g - radius)
            root = torch.sqrt(half * half + alpha * radius)
            up = root + half.abs()
            r = torch.where(half > 0, alpha * radius / up, up)
            total = total - self._log_det(r, alpha, g)
            flat = centre + ((r + alpha) / (r + alpha * g))[:, None] * away
        return flat.view_as(y), total


def build_radial(spec: Radial, shape: Shape, context: int, kernels: str) -> RadialFlow:
    return RadialFlow(numel(shape), spec.repeat, context)
