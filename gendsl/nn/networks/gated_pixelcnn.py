"""`gated_pixelcnn`: two stacks of gated convolutions with no blind spot (van den Oord et al. 2016).

The vertical stack at row i sees whole rows up to i, by kernels of k // 2 + 1 rows; shifted down by one row,
it tells the horizontal stack all that lies above. The horizontal stack sees its own row up to and including
its pixel, where the first layer takes only earlier channels. A gate is tanh(a) * sigmoid(b) with the
context in both (equations 3 and 4): (a, b) = W * x + V h + U * s, where h is a context vector and s a map
of the parents' grids; V and U are zero at the beginning.

Hidden channels fall into C groups, one for each channel of a pixel, and group g sees the groups up to g of
the same pixel (before g in the first layer), so that p(x) = prod p(x_ijc | pixels before ij, channels
before c).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gendsl.nn.conditioning import Context, Planes, Read, Values, as_channels
from gendsl.nn.networks.layers import require
from gendsl.nn.networks.pixel_steps import PixelSteps, gated
from gendsl.schema.components.net_ar import GatedPixelCNN
from gendsl.schema.components.net_planes import channels, plane_channels, planes, vectors
from gendsl.schema.components.ordering import Raster
from gendsl.schema.facts import Input, Inputs, numel


class GroupedConv(nn.Module):
    """A 1 x n convolution whose last column (the pixel itself) is masked: [B, I, H, W] -> [B, O, H, W].

    `seen` [O, I] says which channels an output sees of its own pixel; columns before it are seen in full.
    """

    mask: Tensor

    def __init__(self, seen: Tensor, columns: int) -> None:
        super().__init__()
        outputs, inputs = seen.shape
        layer = nn.Conv2d(inputs, outputs, (1, columns))
        self.weight, self.bias = layer.weight, layer.bias
        mask = torch.ones_like(self.weight, requires_grad=False)
        mask[:, :, 0, -1] = seen.to(mask.dtype)
        self.register_buffer("mask", mask, persistent=False)
        self.columns = columns

    def forward(self, x: Tensor) -> Tensor:
        if self.columns > 1:
            x = F.pad(x, (self.columns - 1, 0))
        return F.conv2d(x, self.weight * self.mask, self.bias)


class Layer(nn.Module):
    """One gated layer of both stacks: v, h [B, I, H, W] -> v, h [B, width, H, W]."""

    def __init__(
        self, spec: GatedPixelCNN, before: Tensor, groups: Tensor, *, first: bool, context: int, plane: bool
    ) -> None:
        super().__init__()
        width, reach = spec.width, spec.kernel // 2
        gates = groups.repeat(2)
        seen = gates[:, None] > before[None, :] if first else gates[:, None] >= before[None, :]
        self.first, self.pad = first, (reach, reach, reach, 0)
        self.vertical = nn.Conv2d(len(before), 2 * width, (reach + 1, spec.kernel))
        self.down = nn.Conv2d(2 * width, 2 * width, 1)
        self.horizontal = GroupedConv(seen, reach + 1)
        self.out = GroupedConv(groups[:, None] >= groups[None, :], 1)
        self.vector = nn.Linear(context, 4 * width, bias=False) if context else None
        self.plane = nn.Conv2d(width, 4 * width, 1, bias=False) if plane else None
        for layer in (self.vector, self.plane):
            if layer is not None:
                nn.init.zeros_(layer.weight)

    def forward(
        self, v: Tensor, h: Tensor, context: Tensor | None, plane: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        above = self.vertical(F.pad(v, self.pad))
        own = self.horizontal(h)
        if self.vector is not None and context is not None:
            for_v, for_h = self.vector(context)[:, :, None, None].chunk(2, dim=1)
            above, own = above + for_v, own + for_h
        if self.plane is not None and plane is not None:
            for_v, for_h = self.plane(plane).chunk(2, dim=1)
            above, own = above + for_v, own + for_h
        own = own + self.down(F.pad(above, (0, 0, 1, 0))[:, :, :-1])
        r: Tensor = self.out(gated(own))
        return gated(above), r if self.first else h + r


class PixelCNN(nn.Module):
    """Values and x [B, *target] -> raw parameters [B, outputs, *target]."""

    def __init__(self, spec: GatedPixelCNN, inputs: Inputs, target: Input, outputs: int) -> None:
        super().__init__()
        outer, size = numel(target.shape[:-2]), (target.shape[-2], target.shape[-1])
        grids, rest = planes(inputs), vectors(inputs)
        self.target, self.raw = target, (outputs, *target.shape)
        self.entry = Read(target)
        self.context = Context(rest) if rest else None
        self.planes = Planes(grids, size) if grids else None
        self.enter = nn.Conv2d(plane_channels(inputs), spec.width, 3, padding=1) if grids else None
        width = self.context.width if self.context is not None else 0
        entering = torch.arange(outer).repeat_interleave(channels(target) // outer)
        groups = torch.arange(spec.width) * outer // spec.width
        final = torch.arange(outer).repeat(outputs)
        self.layers = nn.ModuleList(
            Layer(
                spec,
                groups if layer else entering,
                groups,
                first=layer == 0,
                context=width,
                plane=bool(grids),
            )
            for layer in range(spec.layers)
        )
        self.mix = GroupedConv(groups[:, None] >= groups[None, :], 1)
        self.out = GroupedConv(final[:, None] >= groups[None, :], 1)

    def forward(self, values: Values, x: Tensor) -> Tensor:
        v = as_channels(self.entry(x), self.target).contiguous(memory_format=torch.channels_last)
        h = v
        context = self.context(values) if self.context is not None else None
        plane = None
        if self.planes is not None and self.enter is not None:
            plane = F.relu(self.enter(self.planes(values)))
        for layer in self.layers:
            v, h = layer(v, h, context, plane)
        raw: Tensor = self.out(F.relu(self.mix(F.relu(h))))
        return raw.reshape(x.shape[0], *self.raw)

    def pixel_layers(self) -> list[Layer]:
        """The layers, first to last."""
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def stepper(self, values: Values, rows: int) -> PixelSteps:
        return PixelSteps(self, values, rows)


def build_gated_pixelcnn(
    spec: GatedPixelCNN, inputs: Inputs, target: Input, outputs: int, order: Tensor
) -> PixelCNN:
    """The module of a `gated_pixelcnn`. Raises ValueError if the head is no grid or `order` is not raster."""
    require(spec, inputs, target)
    if order.tolist() != list(Raster().ranks(target.shape)):
        raise ValueError("gated_pixelcnn follows raster order only; write ordering: raster, or use made")
    return PixelCNN(spec, inputs, target, outputs)
