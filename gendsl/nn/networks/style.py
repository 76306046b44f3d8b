"""`style`: the generator of StyleGAN2 (Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN").

    w = f(z / rms(z)),  s = A w + 1                                   mapping, style of a layer
    w'_ijk = s_i w_ijk,   w''_ijk = w'_ijk / sqrt(sum_ik w'_ijk^2 + eps)   modulation, demodulation (eq. 1 and 3)

The convolution with w'' is that of the scaled input s_i x_i with w, scaled by 1 / sqrt(sum_i s_i^2 sum_k w_ijk^2) after
it. Unlike there, weights are drawn at their size rather than scaled when used (no equalised learning rate).
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gendsl.nn.conditioning import Values, Vector
from gendsl.nn.networks.layers import require
from gendsl.schema.components.net_style import Style
from gendsl.schema.facts import Inputs, Shape

SLOPE, GAIN, EPS = 0.2, math.sqrt(2.0), 1e-8


def dense(inputs: int, outputs: int, bias: float = 0.0) -> nn.Linear:
    """A dense layer that keeps the size of its input."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=1.0 / math.sqrt(inputs))
    nn.init.constant_(layer.bias, bias)
    return layer


class Mapping(nn.Module):
    """Parents -> styles w [B, W]."""

    def __init__(self, inputs: Inputs, width: int, layers: int) -> None:
        super().__init__()
        self.read = Vector(inputs)
        sizes = [self.read.width, *[width] * layers]
        self.layers = nn.ModuleList(dense(a, b) for a, b in pairwise(sizes))

    def forward(self, values: Values) -> Tensor:
        h: Tensor = self.read(values)
        h = h * torch.rsqrt(h.square().mean(1, keepdim=True) + EPS)
        for layer in self.layers:
            h = F.leaky_relu(layer(h), SLOPE) * GAIN
        return h


class Modulated(nn.Module):
    """A convolution whose weights are scaled by the style of each row: ([B, I, h, w], [B, W]) -> [B, O, h, w]."""

    def __init__(self, inputs: int, outputs: int, kernel: int, style: int, *, demodulate: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(
            torch.randn(outputs, inputs, kernel, kernel) / math.sqrt(inputs * kernel * kernel)
        )
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.style = dense(style, inputs, bias=1.0)
        self.demodulate = demodulate

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        s = self.style(w)  # [B, I]
        y = F.conv2d(x * s[:, :, None, None], self.weight, padding="same")
        if self.demodulate:
            size = F.linear(s.square(), self.weight.square().sum((2, 3)))  # [B, O]
            y = y * torch.rsqrt(size + EPS)[:, :, None, None]
        return y + self.bias[:, None, None]


class Styled(nn.Module):
    """A demodulated convolution, noise, activation."""

    def __init__(self, inputs: int, outputs: int, style: int, noise: bool) -> None:
        super().__init__()
        self.conv = Modulated(inputs, outputs, 3, style, demodulate=True)
        self.strength = nn.Parameter(torch.zeros(())) if noise else None

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = self.conv(x, w)
        if self.strength is not None:
            x = x + self.strength * torch.randn_like(x[:, :1])
        return F.leaky_relu(x, SLOPE) * GAIN


class StyleNet(nn.Module):
    """Parents -> [B, width, H, W]: the sum of every level's planes."""

    def __init__(self, spec: Style, inputs: Inputs, target: Shape | None) -> None:
        super().__init__()
        levels = spec.levels(inputs, target)
        size, before = levels[0]
        self.mapping = Mapping(inputs, spec.style, spec.mapping)
        self.start = nn.Parameter(torch.randn(before, *size))
        self.sizes = tuple(size for size, _ in levels)
        self.real = tuple(i.name for i in inputs if not i.labels)
        self.mixing = spec.mixing
        self.layers, self.skips = nn.ModuleList(), nn.ModuleList()
        for i, (_, after) in enumerate(levels):
            self.layers.append(Styled(before, after, spec.style, spec.noise))
            if i:
                self.layers.append(Styled(after, after, spec.style, spec.noise))
            self.skips.append(Modulated(after, spec.width, 1, spec.style, demodulate=False))
            before = after

    def styles(self, values: Values) -> list[Tensor]:
        """The style of every convolution in order, [B, W] each; in training some rows take another row's from
        some layer on."""
        w = self.mapping(values)
        count = len(self.layers)
        if not self.training or self.mixing == 0 or count < 2 or len(w) < 2:
            return [w] * count
        turn = torch.randperm(len(w), device=w.device)
        other = self.mapping({n: v[turn] if n in self.real else v for n, v in values.items()})
        mixed = torch.rand(len(w), 1, device=w.device) < self.mixing
        first = torch.randint(1, count, (len(w), 1), device=w.device)
        return [torch.where(mixed & (first <= i), other, w) for i in range(count)]

    def forward(self, values: Values) -> Tensor:
        styles = self.styles(values)
        h = self.start.repeat(len(styles[0]), 1, 1, 1)
        total: Tensor | None = None
        for level, (skip, size) in enumerate(zip(self.skips, self.sizes, strict=True)):
            if level:
                h = F.interpolate(h, size, mode="nearest")
            for i in (2 * level - 1, 2 * level) if level else (0,):
                h = self.layers[i](h, styles[i])
            planes = skip(h, styles[2 * level])
            total = planes if total is None else F.interpolate(total, size, mode="nearest") + planes
        assert total is not None
        return total


def build_style(spec: Style, inputs: Inputs, target: Shape | None) -> StyleNet:
    """The module of a `style`. Raises ValueError if the head is no grid or a parent is one."""
    require(spec, inputs, target)
    return StyleNet(spec, inputs, target)
