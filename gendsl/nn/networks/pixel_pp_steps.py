"""Pixels one after another through a `pixelcnn_pp`: only what a new row, or a new pixel, changes is computed.

The row stream moves on by one row when the row above is finished, the pixel stream by one pixel. Level l holds the
places (i, j) of which 2^l divides both; at the others, the way up reads what was said there last. Every convolution
keeps its last two rows of inputs. The channels of one pixel share the streams and differ in the last layers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from gendsl.nn.conditioning import Values
from gendsl.nn.networks.pixel_steps import matrix
from gendsl.schema.components.net_planes import channels
from gendsl.schema.facts import numel

if TYPE_CHECKING:
    from gendsl.nn.networks.pixelcnn_pp import PixelCNNppModule, Shifted

Key = tuple[bool, int, int]
"""A block: whether it is on the way up, its level, its place there."""


class RowConv:
    """A convolution of the row stream, row after row: [B, I, 1, W] -> [B, O, 1, W / stride]."""

    def __init__(self, conv: Shifted) -> None:
        self.conv = conv.conv
        self.kept: tuple[Tensor, ...] = ()

    def keep(self, x: Tensor, column: int) -> None:
        self.kept = (*self.kept[-1:], x) if self.kept else (torch.zeros_like(x), x)

    def said(self, column: int) -> Tensor:
        out: Tensor = self.conv(F.pad(torch.cat(self.kept, 2), (1, 1)))
        return out


class PixelConv:
    """A convolution of the pixel stream, pixel after pixel: [B, I, 1, 1] -> [B, O, 1, 1]."""

    def __init__(self, conv: Shifted, rows: int, columns: int) -> None:
        weight, bias = conv.conv.weight, conv.conv.bias  # [O, I, 2, 2]
        assert bias is not None
        self.weight, self.bias = weight.permute(2, 3, 1, 0).flatten(0, 2).contiguous(), bias
        self.above, self.beside = weight.new_zeros(2, rows, columns + 1, weight.shape[1])

    def keep(self, x: Tensor, column: int) -> None:
        if column == 0:
            self.above, self.beside = self.beside, torch.zeros_like(self.above)
        self.beside[:, column + 1] = x.flatten(1)

    def said(self, column: int) -> Tensor:
        seen = [line[:, column : column + 2].flatten(1) for line in (self.above, self.beside)]
        return torch.addmm(self.bias, torch.cat(seen, 1), self.weight)[:, :, None, None]


Conv = RowConv | PixelConv


class Stream(ABC):
    """One of the two streams, place after place."""

    def __init__(self, net: PixelCNNppModule, which: int, told: dict[Key, Tensor | None]) -> None:
        self.last, self.told = len(net.halves), told
        self.blocks = {key: pair[which] for key, pair in net.pairs().items()}
        self.convs = {
            key: (self.conv(b.first, key[1]), self.conv(b.second, key[1])) for key, b in self.blocks.items()
        }
        self.halves = [self.conv(pair[which], level) for level, pair in enumerate(net.halvings())]

    @abstractmethod
    def conv(self, conv: Shifted, level: int) -> Conv:
        """A convolution whose inputs are of that level."""

    @abstractmethod
    def beside(self, key: Key, left: Tensor | None, column: int) -> Tensor | None:
        """What a block reads beside its stream; `left` is what the way down has left for one on the way up."""

    @abstractmethod
    def say(self, key: Key, x: Tensor, column: int) -> None:
        """Keeps what a block has said."""

    @abstractmethod
    def doubled(self, level: int, column: int) -> Tensor:
        """What the level below has said last, at a place of this one."""

    def next(self, x: Tensor, row: int, column: int) -> Tensor:
        """The output at a place of the grid (of the row stream column 0, for the whole row)."""
        deep = next((level for level in range(self.last) if (row | column) >> level & 1), self.last)
        left: list[Tensor] = []
        for level in range(deep + 1):
            if level:
                x = self.halves[level - 1].said(column >> (level - 1))
            left.append(x)
            for key in self._keys(False, level):
                x = self._block(key, x, None, row, column)
                left.append(x)
            if level < self.last:
                self.halves[level].keep(x, column >> level)
        if deep == self.last:
            left.pop()
        for level in range(deep, -1, -1):
            if level < self.last:
                x = self.doubled(level, column >> level)
            for key in self._keys(True, level):
                x = self._block(key, x, left.pop(), row, column)
        return x

    def _keys(self, up: bool, level: int) -> list[Key]:
        return [key for key in self.blocks if key[:2] == (up, level)]

    def _block(self, key: Key, x: Tensor, left: Tensor | None, row: int, column: int) -> Tensor:
        block, level = self.blocks[key], key[1]
        row, column = row >> level, column >> level
        first, second = (partial(_through, conv, column=column) for conv in self.convs[key])
        told = self.told[key]
        if told is not None and told.shape[2] > 1:
            told = told[:, :, row : row + 1]
        if told is not None and told.shape[3] > x.shape[3]:
            told = told[:, :, :, column : column + 1]
        x = block.through(x, self.beside(key, left, column), told, first, second)
        self.say(key, x, column)
        return x


def _through(conv: Conv, x: Tensor, *, column: int) -> Tensor:
    conv.keep(x, column)
    return conv.said(column)


class RowStream(Stream):
    """The stream of whole rows; what its blocks say of the row at hand, the pixel stream reads."""

    def __init__(self, net: PixelCNNppModule, told: dict[Key, Tensor | None]) -> None:
        super().__init__(net, 0, told)
        self.sizes = net.sizes
        self.row: dict[Key, Tensor] = {}
        self.top: dict[int, Tensor] = {}

    def conv(self, conv: Shifted, level: int) -> RowConv:
        return RowConv(conv)

    def beside(self, key: Key, left: Tensor | None, column: int) -> Tensor | None:
        return left

    def say(self, key: Key, x: Tensor, column: int) -> None:
        self.row[key] = x
        if key[0]:
            self.top[key[1]] = x

    def doubled(self, level: int, column: int) -> Tensor:
        return self.top[level + 1].repeat_interleave(2, 3)[..., : self.sizes[level][1]]


class PixelStream(Stream):
    """The stream of single pixels, which also reads the row stream."""

    def __init__(self, net: PixelCNNppModule, told: dict[Key, Tensor | None], rows: RowStream, batch: int):
        self.batch, self.rows, self.sizes = batch, rows, net.sizes
        width = net.said.in_channels
        self.top = [net.said.weight.new_zeros(batch, width, 1, columns) for _, columns in net.sizes]
        super().__init__(net, 1, told)

    def conv(self, conv: Shifted, level: int) -> PixelConv:
        return PixelConv(conv, self.batch, self.sizes[level][1])

    def beside(self, key: Key, left: Tensor | None, column: int) -> Tensor | None:
        above = self.rows.row[key][..., column : column + 1]
        return above if left is None else torch.cat([above, left], 1)

    def say(self, key: Key, x: Tensor, column: int) -> None:
        if key[0]:
            self.top[key[1]][..., column : column + 1] = x

    def doubled(self, level: int, column: int) -> Tensor:
        return self.top[level + 1][..., column >> 1 : (column >> 1) + 1]


class PixelPPSteps:
    """The walk through a grid in raster order, channels inside."""

    differentiable = False

    def __init__(self, net: PixelCNNppModule, values: Values, rows: int) -> None:
        self.net, self.turn = net, 0
        self.outer, self.columns = numel(net.target.shape[:-2]), net.target.shape[-1]
        width = channels(net.target)
        self.each = width // self.outer
        context, maps = net.parents(values)
        told = [
            {key: pair[which].told(context, maps[key[1]]) for key, pair in net.pairs().items()}
            for which in (0, 1)
        ]
        self.u = RowStream(net, told[0])
        self.h = PixelStream(net, told[1], self.u, rows)
        self.enter = RowConv(net.rows)
        self.above = self.x = net.said.weight.new_zeros(rows, width + 1, 1, self.columns)
        weight, bias = net.before.weight, net.before.bias  # [O, I, 2, 1]
        assert bias is not None
        self.before = weight[..., 0].permute(2, 1, 0).flatten(0, 1), bias
        self.last = [matrix(conv) for conv in (net.mix, net.out)]
        self.own = None if net.own is None else matrix(net.own)

    def next(self, last: Tensor | None) -> Tensor:
        if last is not None:
            _, column, channel = self._place(self.turn - 1)
            own = slice(channel * self.each, (channel + 1) * self.each)
            self.x[:, own, 0, column] = self.net.entry(last).reshape(last.shape[0], self.each)
        row, column, channel = self._place(self.turn)
        self.turn += 1
        if channel == 0 and column == 0:
            self._begin(row)
        if channel == 0:
            self.state = self._pixel(row, column)
        h = self.state
        if self.own is not None:
            h = torch.addmm(self.own[1], self.x[:, :-1, 0, column], self.own[0]) + h
        for weight, bias in self.last:
            h = torch.addmm(bias, F.elu(h), weight)
        return h.reshape(h.shape[0], -1, self.outer)[:, :, channel]

    def _begin(self, row: int) -> None:
        """The row stream of a row, from those above it."""
        if row:
            self.enter.keep(self.x, 0)
            start, self.told = self.enter.said(0), self.net.above(self.x)
        else:
            start = self.told = self.x.new_zeros(len(self.x), self.net.said.in_channels, 1, self.columns)
        self.above, self.x = self.x, torch.zeros_like(self.x)
        self.x[:, -1] = 1.0  # a channel of ones, as inside the grid
        self.u.next(start, row, 0)

    def _pixel(self, row: int, column: int) -> Tensor:
        """What the pixel stream says of a pixel, [B, width]."""
        h = self.told[..., column : column + 1]
        if column:
            pair = torch.cat([self.above[:, :, 0, column - 1], self.x[:, :, 0, column - 1]], 1)
            weight, bias = self.before
            h = h + torch.addmm(bias, pair, weight)[:, :, None, None]
        said: Tensor = self.net.said(F.elu(self.h.next(h, row, column)))
        return said[:, :, 0, 0]

    def _place(self, turn: int) -> tuple[int, int, int]:
        pixel, channel = divmod(turn, self.outer)
        return pixel // self.columns, pixel % self.columns, channel
