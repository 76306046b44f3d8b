"""`conv_up`: nearest-neighbour upsampling and convolutions from vectors or a small grid to a grid.

Upsampling and convolution are separate, which leaves no checkerboard (Odena et al. 2016).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gendsl.nn.conditioning import Context, Planes, Values, Vector
from gendsl.nn.networks.layers import ConvFilm, make_activation, require
from gendsl.schema.components.net import Activation
from gendsl.schema.components.net_grid import ConvUp
from gendsl.schema.components.net_planes import Plane, plane_channels, planes, vectors
from gendsl.schema.facts import Inputs, Shape, numel


class VectorStart(nn.Module):
    """A dense layer from all parents, concatenated, to the smallest plane: values -> [B, C, h, w]."""

    def __init__(self, inputs: Inputs, channels: int, size: Plane, activation: Activation) -> None:
        super().__init__()
        self.read = Vector(inputs)
        self.dense = nn.Linear(self.read.width, channels * numel(size))
        self.act = make_activation(activation)
        self.shape = (channels, *size)

    def forward(self, values: Values, context: Tensor | None) -> Tensor:
        h: Tensor = self.act(self.dense(self.read(values)))
        return h.reshape(h.shape[0], *self.shape).contiguous(memory_format=torch.channels_last)


class GridStart(nn.Module):
    """A modulated convolution of the parents' grids: values -> [B, C, h, w]."""

    def __init__(self, inputs: Inputs, spec: ConvUp, channels: int, size: Plane, context: int) -> None:
        super().__init__()
        self.read = Planes(planes(inputs), size)
        self.layer = ConvFilm(plane_channels(inputs), channels, spec.kernel, spec.activation, context=context)

    def forward(self, values: Values, context: Tensor | None) -> Tensor:
        h: Tensor = self.layer(self.read(values), context)
        return h


class ConvUpNet(nn.Module):
    """The smallest plane, then upsampling and a convolution per doubling: values -> [B, width, H, W]."""

    def __init__(self, spec: ConvUp, inputs: Inputs, target: Shape | None) -> None:
        super().__init__()
        levels = spec.levels(inputs, target)
        size, before = levels[0]
        grids, rest = planes(inputs), vectors(inputs)
        self.context = Context(rest) if grids and rest else None
        width = self.context.width if self.context is not None else 0
        self.start: nn.Module = (
            GridStart(inputs, spec, before, size, width)
            if grids
            else VectorStart(inputs, before, size, spec.activation)
        )
        self.sizes = tuple(size for size, _ in levels[1:] or levels)
        self.layers = nn.ModuleList()
        for _, after in levels[1:] or levels:
            self.layers.append(ConvFilm(before, after, spec.kernel, spec.activation, context=width))
            before = after

    def forward(self, values: Values) -> Tensor:
        context = self.context(values) if self.context is not None else None
        h: Tensor = self.start(values, context)
        for size, layer in zip(self.sizes, self.layers, strict=True):
            if h.shape[-2:] != size:
                h = F.interpolate(h, size, mode="nearest")
            h = layer(h, context)
        return h


def build_conv_up(spec: ConvUp, inputs: Inputs, target: Shape | None) -> ConvUpNet:
    """The module of a `conv_up`. Raises ValueError if the head is no grid or not in reach of the parents'."""
    require(spec, inputs, target)
    return ConvUpNet(spec, inputs, target)
