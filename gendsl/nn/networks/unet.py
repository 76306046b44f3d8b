"""`unet`: halvings by strides, doublings that also read the level of their size (Ronneberger et al. 2015).

    d_0 = f(x),   d_l = f(d_{l-1}) with a stride of two,   u_L = d_L,   u_l = f(upsampled u_{l+1}, d_l)

f is a convolution, a modulation by the context and an activation; the features are u_0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gendsl.nn.conditioning import Context, Planes, Values
from gendsl.nn.networks.layers import ConvFilm, require
from gendsl.schema.components.net_planes import plane_channels, planes, vectors
from gendsl.schema.components.net_unet import Unet
from gendsl.schema.facts import Inputs, Shape


class UNet(nn.Module):
    """Values -> [B, width, H, W] at the size of the parents' first grid."""

    def __init__(self, spec: Unet, inputs: Inputs) -> None:
        super().__init__()
        levels, rest = spec.levels(inputs), vectors(inputs)
        self.read = Planes(planes(inputs), levels[0][0])
        self.context = Context(rest) if rest else None
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        before = plane_channels(inputs)
        for index, (_, width) in enumerate(levels):
            self.down.append(self._layer(spec, before, width, stride=2 if index else 1))
            before = width
        for _, width in reversed(levels[:-1]):
            self.up.append(self._layer(spec, before + width, width))
            before = width

    def forward(self, values: Values) -> Tensor:
        context = self.context(values) if self.context is not None else None
        h: Tensor = self.read(values)
        seen: list[Tensor] = []
        for layer in self.down:
            h = layer(h, context)
            seen.append(h)
        for layer, skip in zip(self.up, reversed(seen[:-1]), strict=True):
            size = (skip.shape[-2], skip.shape[-1])
            h = layer(torch.cat([F.interpolate(h, size, mode="nearest"), skip], 1), context)
        return h

    def _layer(self, spec: Unet, before: int, width: int, stride: int = 1) -> ConvFilm:
        context = self.context.width if self.context is not None else 0
        return ConvFilm(before, width, spec.kernel, spec.activation, context=context, stride=stride)


def build_unet(spec: Unet, inputs: Inputs, target: Shape | None) -> UNet:
    """The module of a `unet`. Raises ValueError if there is no grid to read."""
    require(spec, inputs, target)
    return UNet(spec, inputs)
