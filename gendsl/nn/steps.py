"""Each preprocessing step as a module: y = f(x) entry by entry, log |dy/dx| of every entry, and a way back.

The formulas are those of `gendsl.schema.components.step`. Values are reals [B, *shape] here, integers
included; `gendsl.nn.preprocessing.Pipeline` chains the steps and gives the result its type.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gendsl.schema.components.source_base import Column
from gendsl.schema.components.step import (
    Binarize,
    Dequantize,
    Logit,
    MuLaw,
    OneHot,
    Ordinal,
    Standardize,
    Tokens,
    Unit,
    one_hot_shape,
)

Noise = Literal["none", "row", "visit"]
How = Literal["static", "dynamic", "threshold"]
NOISE_OF: dict[How, Noise] = {"static": "row", "dynamic": "visit", "threshold": "none"}


class StepModule(nn.Module, ABC):
    """One step. `noise`: the uniform numbers that `forward` is given: none, the row's own, or fresh ones."""

    noise: Noise = "none"

    def fit(self, x: Tensor) -> None:
        """Record what the step needs to know of the training rows x [N, *shape]; nothing, for most."""

    @abstractmethod
    def forward(self, x: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """y, and log |dy/dx| in the shape of x. `uniform`: numbers in [0, 1) in the shape of x, or empty."""

    @abstractmethod
    def inverse(self, y: Tensor) -> Tensor:
        """The x of y; after a lossy step, one of those that y may have come from."""

    def spread(self, known: Tensor) -> Tensor:
        """Which entries of y are known, given those of x; a mask of rows [B] stays one."""
        return known


class UnitModule(StepModule):
    """y = (x - low) / (high - low)."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.width = low, high - low

    def forward(self, x: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        return (x - self.low) / self.width, torch.full_like(x, -math.log(self.width))

    def inverse(self, y: Tensor) -> Tensor:
        return y * self.width + self.low


class BinarizeModule(StepModule):
    """y = 1 where the draw (or the threshold) is below the grey value (x - low) / (high - low), else 0."""

    def __init__(self, low: float, high: float, how: How, at: float) -> None:
        super().__init__()
        self.low, self.width, self.at = low, high - low, at
        self.noise = NOISE_OF[how]

    def forward(self, x: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """See the class; the log-Jacobian is zero, as for every step onto integers."""
        grey = (x - self.low) / self.width
        below = grey > self.at if self.noise == "none" else uniform < grey
        return below.to(x.dtype), torch.zeros_like(x)

    def inverse(self, y: Tensor) -> Tensor:
        """low for 0, high for 1."""
        return y * self.width + self.low


class DequantizeModule(StepModule):
    """y = (k + u) / levels, with k = 0 .. levels - 1 the place of x on its grid from low to high.

    u stays 2 levels eps below 1, so that rounding cannot carry k + u to the next place. `learned`: a dequantizer of
    the model draws u again (`gendsl.nn.dequantizer`).
    """

    noise: Noise = "visit"

    def __init__(self, low: float, high: float, levels: int, learned: bool = False) -> None:
        super().__init__()
        self.low, self.levels, self.learned = low, levels, learned
        self.spacing = (high - low) / (levels - 1)

    def place(self, x: Tensor) -> Tensor:
        """Where x lies between the ends of its grid, in [0, 1]."""
        return (x - self.low) / (self.spacing * max(self.levels - 1, 1))

    def forward(self, x: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """See the class; dy/dx = 1 / (spacing levels), as if the place were a real number."""
        place = (x - self.low) / self.spacing
        place = place + (place.round() - place).detach()
        shifted = uniform.clamp(max=1.0 - 2 * self.levels * torch.finfo(x.dtype).eps)
        return (place + shifted) / self.levels, torch.full_like(x, -math.log(self.spacing * self.levels))

    def inverse(self, y: Tensor) -> Tensor:
        """The grid value whose cell y lies in."""
        place = (y * self.levels).floor().clamp(0, self.levels - 1)
        return place * self.spacing + self.low


class LogitModule(StepModule):
    """y = log p - log (1 - p) with p = alpha + (1 - 2 alpha) x."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """See the class; dy/dx = (1 - 2 alpha) / (p (1 - p))."""
        scale = 1.0 - 2.0 * self.alpha
        log_p = torch.log(self.alpha + scale * x)
        log_q = torch.log(self.alpha + scale * (1.0 - x))
        return log_p - log_q, math.log(scale) - log_p - log_q

    def inverse(self, y: Tensor) -> Tensor:
        """x = (sigmoid(y) - alpha) / (1 - 2 alpha), cut to [0, 1]."""
        return ((torch.sigmoid(y) - self.alpha) / (1.0 - 2.0 * self.alpha)).clamp(0.0, 1.0)


class StandardizeModule(StepModule):
    """y = (x - mean) / std with one mean and std for each entry; the identity until it is fitted."""

    mean: Tensor
    std: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))

    def fit(self, x: Tensor) -> None:
        """Mean and population std over rows; NaN is left out; std 1 where the known values are all alike."""
        known = ~x.isnan()
        count = known.sum(0).clamp(min=1)
        mean = torch.where(known, x, 0.0).sum(0) / count
        std = (torch.where(known, x - mean, 0.0).square().sum(0) / count).sqrt()
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 1e-7 * mean.abs().clamp(min=1e-30), std, 1.0))

    def forward(self, x: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = self.mean.to(x), self.std.to(x)
        return (x - mean) / std, (-std.log()).expand_as(x)

    def inverse(self, y: Tensor) -> Tensor:
        return y * self.std.to(y) + self.mean.to(y)


class OneHotModule(StepModule):
    """Indicator vectors: a last dimension of K, or C K channels for a grid [C, H, W]."""

    def __init__(self, low: float, classes: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.low, self.classes, self.shape = low, classes, shape

    def forward(self, x: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        place = (x.nan_to_num(self.low) - self.low).long()
        hot = F.one_hot(place, self.classes).to(x.dtype)  # [B, *shape, K]
        return self._lay_out(hot), torch.zeros_like(x)

    def inverse(self, y: Tensor) -> Tensor:
        """The place of the largest value."""
        if len(self.shape) == 3:
            channels, height, width = self.shape
            y = y.reshape(-1, channels, self.classes, height, width).movedim(2, -1)
        return y.argmax(-1).to(y.dtype) + self.low

    def spread(self, known: Tensor) -> Tensor:
        """An entry's K values are known together."""
        if known.dim() == 1 and self.shape:
            return known
        return self._lay_out(known[..., None].expand(*known.shape, self.classes))

    def _lay_out(self, hot: Tensor) -> Tensor:
        moved = hot.movedim(-1, 2) if len(self.shape) == 3 else hot
        return moved.reshape(len(hot), *one_hot_shape(self.shape, self.classes))


class IntegersModule(StepModule):
    """y = x - low."""

    def __init__(self, low: float) -> None:
        super().__init__()
        self.low = low

    def forward(self, x: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        return x - self.low, torch.zeros_like(x)

    def inverse(self, y: Tensor) -> Tensor:
        return y + self.low


class MuLawModule(StepModule):
    """y = floor(K (1 + c(s)) / 2) with c(s) = sign(s) log(1 + mu |s|) / log(1 + mu).

    s is x scaled to [-1, 1], mu = K - 1.
    """

    def __init__(self, low: float, high: float, classes: int) -> None:
        super().__init__()
        self.low, self.width, self.classes = low, high - low, classes

    def forward(self, x: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        signal = 2.0 * (x - self.low) / self.width - 1.0
        mu = self.classes - 1
        curved = signal.sign() * torch.log1p(mu * signal.abs()) / math.log1p(mu)
        return ((curved + 1.0) / 2.0 * self.classes).floor().clamp(0, mu), torch.zeros_like(x)

    def inverse(self, y: Tensor) -> Tensor:
        """The x of the middle of the class's cell."""
        mu = self.classes - 1
        curved = 2.0 * (y + 0.5) / self.classes - 1.0
        signal = curved.sign() * torch.expm1(curved.abs() * math.log1p(mu)) / mu
        return (signal + 1.0) / 2.0 * self.width + self.low


def build_unit(step: Unit, column: Column) -> StepModule:
    """The module of `unit` on a column."""
    return UnitModule(column.support.low, column.support.high)


def build_binarize(step: Binarize, column: Column) -> StepModule:
    """The module of `binarize` on a column."""
    return BinarizeModule(column.support.low, column.support.high, step.how, step.at)


def build_dequantize(step: Dequantize, column: Column) -> StepModule:
    """The module of `dequantize` on a column, whose levels must be known."""
    assert column.levels is not None
    return DequantizeModule(column.support.low, column.support.high, column.levels, step.how == "variational")


def build_logit(step: Logit, column: Column) -> StepModule:
    """The module of `logit`."""
    return LogitModule(step.alpha)


def build_standardize(step: Standardize, column: Column) -> StepModule:
    """The module of `standardize` on a column, not fitted."""
    return StandardizeModule(column.shape)


def build_one_hot(step: OneHot, column: Column) -> StepModule:
    """The module of `one_hot` on a column of integers."""
    assert column.levels is not None
    return OneHotModule(column.support.low, column.levels, column.shape)


def build_integers(step: Ordinal | Tokens, column: Column) -> StepModule:
    """The module of `ordinal` and of `tokens` on a column of integers."""
    return IntegersModule(column.support.low)


def build_mu_law(step: MuLaw, column: Column) -> StepModule:
    """The module of `mu_law` on a column."""
    return MuLawModule(column.support.low, column.support.high, step.classes)
