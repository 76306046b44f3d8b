"""`resnet`: residual blocks of one size on a grid or a vector (He et al. 2016, pre-activation form).

h_{l+1} = h_l + W_2 act(film(W_1 act(h_l))); the last map of every block begins 1 / sqrt(blocks) as large as
usual, so that the sum over the blocks does not grow with their number.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gendsl.nn.conditioning import Context, Film, Planes, Values, Vector
from gendsl.nn.networks.layers import make_activation, require
from gendsl.schema.components.net_grid import Resnet
from gendsl.schema.components.net_planes import body_size, plane_channels, planes, vectors
from gendsl.schema.facts import Inputs, Shape


class Block(nn.Module):
    """One residual block: [B, W, ...] -> the same shape."""

    def __init__(self, spec: Resnet, grid: bool, context: int) -> None:
        super().__init__()
        self.first = make_map(spec, spec.width, grid)
        self.film = Film(context, spec.width) if context else None
        self.second = make_map(spec, spec.width, grid)
        self.act = make_activation(spec.activation)
        with torch.no_grad():
            self.second.weight.mul_(spec.blocks**-0.5)

    def forward(self, h: Tensor, context: Tensor | None) -> Tensor:
        r = self.first(self.act(h))
        if self.film is not None and context is not None:
            r = self.film(r, context)
        out: Tensor = h + self.second(self.act(r))
        return out


class ResNet(nn.Module):
    """Values -> [B, width, H, W] on the parents' grid, or [B, width] where they are vectors."""

    def __init__(self, spec: Resnet, inputs: Inputs) -> None:
        super().__init__()
        grids, rest = planes(inputs), vectors(inputs)
        self.read: nn.Module = Planes(grids, body_size(inputs)) if grids else Vector(inputs)
        self.context = Context(rest) if grids and rest else None
        width = self.context.width if self.context is not None else 0
        entering = plane_channels(inputs) if grids else Vector(inputs).width
        self.enter = make_map(spec, entering, bool(grids))
        self.blocks = nn.ModuleList(Block(spec, bool(grids), width) for _ in range(spec.blocks))
        self.act = make_activation(spec.activation)

    def forward(self, values: Values) -> Tensor:
        h = self.enter(self.read(values))
        context = self.context(values) if self.context is not None else None
        for block in self.blocks:
            h = block(h, context)
        out: Tensor = self.act(h)
        return out


def make_map(spec: Resnet, inputs: int, grid: bool) -> nn.Conv2d | nn.Linear:
    """A convolution on a grid, a dense layer on a vector."""
    if not grid:
        return nn.Linear(inputs, spec.width)
    return nn.Conv2d(inputs, spec.width, spec.kernel, padding=spec.kernel // 2)


def build_resnet(spec: Resnet, inputs: Inputs, target: Shape | None) -> ResNet:
    """The module of a `resnet`. Raises ValueError if there is nothing to read."""
    require(spec, inputs, target)
    return ResNet(spec, inputs)
