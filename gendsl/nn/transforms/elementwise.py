"""Functions of single entries, with their inverses and log-derivatives written so that they do not cancel.

    sigmoid     y = 1 / (1 + e^-x)       log dy/dx = -softplus(x) - softplus(-x)
    softplus    y = log(1 + e^x)         log dy/dx = -softplus(-x)
    tanh        y = tanh x               log dy/dx = 2 (log 2 - x - softplus(-2 x))
    affine      y = x exp(s) + t         log dy/dx = s

An inverse is cut off at the two numbers next to the ends of its range, where rounding would give infinity.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gendsl.nn.transforms.stack import Transform, flat_sum
from gendsl.schema.components.flow_elementwise import Elementwise
from gendsl.schema.facts import Shape, numel


class Sigmoid(Transform):
    """From the reals to (0, 1)."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return torch.sigmoid(x), flat_sum(-F.softplus(x) - F.softplus(-x))

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        info = torch.finfo(y.dtype)
        y = y.clamp(info.tiny, 1.0 - info.eps / 2)
        x = torch.log(y) - torch.log1p(-y)
        return x, -flat_sum(torch.log(y) + torch.log1p(-y))


class Logit(Transform):
    """From (0, 1) to the reals: Sigmoid turned round."""

    def __init__(self) -> None:
        super().__init__()
        self.other = Sigmoid()

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.other.inverse(x)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.other.forward(y)


class Softplus(Transform):
    """From the reals to the positive reals."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return torch.logaddexp(x, torch.zeros_like(x)), flat_sum(-torch.logaddexp(-x, torch.zeros_like(x)))

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = y.clamp_min(torch.finfo(y.dtype).tiny)
        log_rest = torch.log(-torch.expm1(-y))  # log(1 - e^-y) = log dy/dx
        return y + log_rest, -flat_sum(log_rest)


class Tanh(Transform):
    """From the reals to (-1, 1)."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return torch.tanh(x), flat_sum(2.0 * (math.log(2.0) - x - F.softplus(-2.0 * x)))

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        edge = 1.0 - torch.finfo(y.dtype).eps / 2
        y = y.clamp(-edge, edge)
        return torch.atanh(y), -flat_sum(torch.log1p(-y) + torch.log1p(y))


class Affine(Transform):
    """A learned shift and log-scale of each entry, shared or from the context; the identity at first."""

    def __init__(self, shape: Shape, context: int) -> None:
        super().__init__()
        self.shape = shape
        self.amortize = nn.Linear(context, 2 * numel(shape)) if context else None
        if self.amortize is None:
            self.numbers = nn.Parameter(torch.zeros(2 * numel(shape)))
        else:
            nn.init.zeros_(self.amortize.weight)
            nn.init.zeros_(self.amortize.bias)

    def _numbers(self, context: Tensor | None) -> tuple[Tensor, Tensor]:
        numbers = self.numbers[None] if self.amortize is None else self.amortize(context)
        shift, log_scale = numbers.chunk(2, 1)
        return shift.reshape(-1, *self.shape), log_scale.reshape(-1, *self.shape)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        shift, log_scale = self._numbers(context)
        return x * torch.exp(log_scale) + shift, flat_sum(log_scale).expand(x.shape[0])

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        shift, log_scale = self._numbers(context)
        return (y - shift) * torch.exp(-log_scale), -flat_sum(log_scale).expand(y.shape[0])


def build_elementwise(spec: Elementwise, shape: Shape, context: int, kernels: str) -> Transform:
    if spec.how == "affine":
        return Affine(shape, context)
    plain: dict[str, type[Transform]] = {
        "sigmoid": Sigmoid,
        "logit": Logit,
        "softplus": Softplus,
        "tanh": Tanh,
    }
    return plain[spec.how]()
