"""Pixels one after another through a `gated_pixelcnn`: only what a new pixel changes is computed.

The vertical stack depends on whole rows, so it moves on by one row when a row is finished, over the last k // 2 + 1
rows of each layer. The horizontal stack moves on by one pixel, over the last k // 2 + 1 pixels of each layer; what
the rows above say to it is ready since the beginning of the row. The channels of one pixel are that many visits of
the same pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from gendsl.nn.conditioning import Values
from gendsl.schema.components.net_planes import channels
from gendsl.schema.facts import numel

if TYPE_CHECKING:
    from gendsl.nn.networks.gated_pixelcnn import GroupedConv, Layer, PixelCNN


class LayerSteps:
    """One layer: its last rows in the vertical stack, its row at hand in the horizontal one."""

    def __init__(self, layer: Layer, rows: int, columns: int, context: Tensor | None, plane: Tensor | None):
        self.layer, self.reach = layer, layer.pad[0]
        weight = layer.horizontal.weight
        read = weight.shape[1]
        self.horizontal, bias = matrix(layer.horizontal)
        self.out, self.out_bias = matrix(layer.out)
        self.above = weight.new_zeros(rows, read, self.reach + 1, columns + 2 * self.reach)
        self.beside = weight.new_zeros(rows, columns + self.reach, read)
        bias = bias[:, None, None]
        self.context: tuple[Tensor | None, Tensor] = (None, bias)
        if layer.vector is not None and context is not None:
            for_v, for_h = layer.vector(context)[:, :, None, None].chunk(2, dim=1)
            self.context = (for_v, for_h + bias)
        self.plane: tuple[Tensor, ...] = ()
        if layer.plane is not None and plane is not None:
            self.plane = layer.plane(plane).chunk(2, dim=1)  # [B, 2 width, H, W] each
        self.told = weight

    def row(self, index: int, v: Tensor | None) -> Tensor | None:
        """Begins row `index`: v [B, I, 1, W] is the row above, None at the first; gives that row's output."""
        layer, out = self.layer, None
        if v is None:
            above = self.above.new_zeros(len(self.above), layer.down.in_channels, 1, self._columns)
        else:
            padded = F.pad(v, (self.reach, self.reach))
            self.above = torch.cat([self.above[:, :, 1:], padded], dim=2)
            above = layer.vertical(self.above)
            if self.context[0] is not None:
                above = above + self.context[0]
            if self.plane:
                above = above + self.plane[0][:, :, index - 1 : index]
            out = gated(above)
        told = layer.down(above) + self.context[1]
        if self.plane:
            told = told + self.plane[1][:, :, index : index + 1]
        self.told = told[:, :, 0].permute(2, 0, 1).contiguous()  # [W, B, 2 width]
        return out

    def known(self, column: int, own: slice, number: Tensor) -> None:
        """Corrects what was read of a pixel before its value was there; only the first layer reads values."""
        self.beside[:, column + self.reach, own] = number

    def pixel(self, column: int, h: Tensor) -> Tensor:
        """The output [B, width] of one pixel of the row at hand, given its input [B, I]."""
        self.beside[:, column + self.reach] = h
        window = self.beside[:, column : column + self.reach + 1].reshape(h.shape[0], -1)
        own = gated(torch.addmm(self.told[column], window, self.horizontal))
        r = torch.addmm(self.out_bias, own, self.out)
        return r if self.layer.first else h + r

    @property
    def _columns(self) -> int:
        return self.beside.shape[1] - self.reach


class PixelSteps:
    """The walk through a grid in raster order, channels inside."""

    differentiable = False

    def __init__(self, net: PixelCNN, values: Values, rows: int) -> None:
        self.net, self.turn = net, 0
        self.outer, self.columns = numel(net.target.shape[:-2]), net.target.shape[-1]
        context = net.context(values) if net.context is not None else None
        plane = None
        if net.planes is not None and net.enter is not None:
            plane = F.relu(net.enter(net.planes(values)))
        self.layers = [LayerSteps(layer, rows, self.columns, context, plane) for layer in net.pixel_layers()]
        self.final = [matrix(conv) for conv in (net.mix, net.out)]
        width = channels(net.target)
        self.each = width // self.outer
        self.row = self.final[0][1].new_zeros(rows, width, 1, self.columns)

    def next(self, last: Tensor | None) -> Tensor:
        if last is not None:
            _, column, channel = self._place(self.turn - 1)
            number = self.net.entry(last).reshape(last.shape[0], self.each)
            own = slice(channel * self.each, (channel + 1) * self.each)
            self.row[:, own, 0, column] = number
            self.layers[0].known(column, own, number)
        line, column, channel = self._place(self.turn)
        self.turn += 1
        if column == 0 and channel == 0:
            v = self.row if line else None
            for layer in self.layers:
                v = layer.row(line, v)
        h = self.row[:, :, 0, column]
        for layer in self.layers:
            h = layer.pixel(column, h)
        for weight, bias in self.final:
            h = torch.addmm(bias, F.relu(h), weight)
        return h.reshape(h.shape[0], -1, self.outer)[:, :, channel]

    def _place(self, turn: int) -> tuple[int, int, int]:
        pixel, channel = divmod(turn, self.outer)
        return pixel // self.columns, pixel % self.columns, channel


def matrix(conv: GroupedConv) -> tuple[Tensor, Tensor]:
    """The masked kernel of a 1 x n convolution as a matrix [n * I, O] for windows [B, n, I], and its bias [O]."""
    weight, bias = conv.weight * conv.mask, conv.bias  # [O, I, 1, n]
    assert bias is not None
    return weight[:, :, 0].permute(2, 1, 0).flatten(0, 1).contiguous(), bias


def gated(h: Tensor, dim: int = 1) -> Tensor:
    """tanh(a) * sigmoid(b) of the two halves along `dim`: [B, 2 C, ...] -> [B, C, ...]."""
    a, b = h.chunk(2, dim)
    return torch.tanh(a) * torch.sigmoid(b)
