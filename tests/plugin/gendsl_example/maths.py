"""The maths of the plug-in's components.

Sinh-arcsinh, with skewness e and tail weight d for each entry (Jones and Pewsey 2009, eq. 1):

    y = sinh((asinh(x) + e) / d),    x = sinh(d asinh(y) - e),
    log dy/dx = log cosh((asinh(x) + e) / d) - log d - log(1 + x^2) / 2.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Gumbel as TorchGumbel

from gendsl.data.loaded import Loaded
from gendsl.nn.distributions import LocationScaleFamily
from gendsl.nn.transforms.stack import Transform, flat_sum
from gendsl.runtime.evaluation.measured import Measured
from gendsl.schema.facts import Shape, Support, numel
from gendsl_example.components import Gumbel, Radius, Rose, SinhArcsinh


class SinhArcsinhFlow(Transform):
    """The layer; skewness and log tail weight are learned, or come from the context [N, C]."""

    def __init__(self, shape: Shape, context: int, tails: float) -> None:
        super().__init__()
        self.shape = shape
        start = torch.stack([torch.zeros(shape), torch.full(shape, math.log(tails))])
        self.amortize = nn.Linear(context, 2 * numel(shape)) if context else None
        if self.amortize is None:
            self.numbers = nn.Parameter(start)
        else:
            with torch.no_grad():
                self.amortize.weight.mul_(0.1)
                self.amortize.bias.copy_(start.flatten())

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        skew, tails = self._numbers(context)
        y = torch.sinh((torch.asinh(x) + skew) / tails)
        return y, self._log_det(x, y, tails)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        skew, tails = self._numbers(context)
        x = torch.sinh(tails * torch.asinh(y) - skew)
        return x, -self._log_det(x, y, tails)

    def _numbers(self, context: Tensor | None) -> tuple[Tensor, Tensor]:
        numbers = self.numbers[None] if self.amortize is None else self.amortize(context)
        skew, log_tails = numbers.view(-1, 2, *self.shape).unbind(1)
        return skew, log_tails.exp()

    def _log_det(self, x: Tensor, y: Tensor, tails: Tensor) -> Tensor:
        """log cosh(asinh(y)) = log(1 + y^2) / 2."""
        return flat_sum(0.5 * torch.log1p(y * y) - torch.log(tails) - 0.5 * torch.log1p(x * x))


def build_sinh_arcsinh(spec: SinhArcsinh, shape: Shape, context: int, kernels: str) -> SinhArcsinhFlow:
    """The builder that the registry names."""
    return SinhArcsinhFlow(shape, context, spec.tails)


class GumbelFamily(LocationScaleFamily):
    """The mean lies above the location."""

    def mean(self, raw: Tensor) -> Tensor:
        """loc + Euler's constant * scale."""
        return raw[:, 0] + np.euler_gamma * self.scale(raw)


def build_gumbel(spec: Gumbel, shape: Shape, support: Support) -> GumbelFamily:
    """The builder that the registry names."""
    return GumbelFamily(spec, shape, lambda loc, scale: TorchGumbel(loc, scale, validate_args=False))


def load_rose(source: Rose, base: Path) -> Loaded:
    """`point` float32 [n, 2]."""
    draw = np.random.default_rng([source.seed, source.n])
    angle = 2 * np.pi * draw.random(source.n)
    radius = np.cos(source.petals * angle)
    point = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Loaded({"point": (point + source.noise * draw.standard_normal(point.shape)).astype(np.float32)})


class RadiusFeatures:
    """Rows [N, D] -> radius and its square, [N, 2]."""

    name = "radius of a point"
    resize = "none"

    def features(self, rows: Tensor) -> Tensor:
        radius = rows.norm(dim=1)
        return torch.stack([radius, radius**2], 1)


def build_radius(spec: Radius, about: Measured) -> RadiusFeatures:
    """The builder that the registry names."""
    return RadiusFeatures()
