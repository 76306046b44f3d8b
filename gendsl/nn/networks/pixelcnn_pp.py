"""`pixelcnn_pp`: two streams of gated residual blocks at several resolutions (Salimans et al. 2017, section 2).

A convolution of the row stream u looks at a row and the one above, of the pixel stream h at a pixel, the one before it
and those above these two. u begins one row late and h one pixel late, so that at (i, j)

    u depends on the rows before i,    h on the pixels before (i, j).

A stride of two takes (2 i, 2 j) to (i, j), which going up again is read at (2 i, 2 j) and at the three pixels after it
in its square: none depends on a later one. A block is

    x <- x + a sigmoid(b),    (a, b) = W * elu(V * elu(x) + U s) + C c,

with s the other stream or a block of the way down, and c the context. The channels of a pixel see the earlier ones of
the same pixel through the last layers, masked as in the gated form (in the paper through equation 3 of the likelihood).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gendsl.nn.conditioning import Context, Planes, Read, Values, as_channels
from gendsl.nn.networks.gated_pixelcnn import GroupedConv
from gendsl.nn.networks.layers import require
from gendsl.nn.networks.pixel_pp_steps import Key, PixelPPSteps
from gendsl.schema.components.net_pixels import PixelCNNpp
from gendsl.schema.components.net_planes import channels, half, plane_channels, planes, vectors
from gendsl.schema.components.ordering import Raster
from gendsl.schema.facts import Input, Inputs, numel

ROWS, PIXELS = (2, 3), (2, 2)
"""Kernels of the two streams."""
Convolution = Callable[[Tensor], Tensor]


class Shifted(nn.Module):
    """A convolution that looks up and, of the pixel stream, to the left: [B, I, H, W] -> [B, O, H / s, W / s]."""

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int], stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride)
        self.pad = (1, 1 if kernel == ROWS else 0, 1, 0)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(x, self.pad))
        return out


class Block(nn.Module):
    """One gated residual block of a stream; `beside` channels of something else are read too."""

    def __init__(self, width: int, kernel: tuple[int, int], beside: int, context: int, plane: bool) -> None:
        super().__init__()
        self.first = Shifted(width, width, kernel)
        self.beside = nn.Conv2d(beside, width, 1) if beside else None
        self.second = Shifted(width, 2 * width, kernel)
        self.vector = nn.Linear(context, 2 * width, bias=False) if context else None
        self.plane = nn.Conv2d(width, 2 * width, 1, bias=False) if plane else None
        for layer in (self.vector, self.plane):
            if layer is not None:
                nn.init.zeros_(layer.weight)

    def forward(
        self, x: Tensor, other: Tensor | None, context: Tensor | None, plane: Tensor | None
    ) -> Tensor:
        return self.through(x, other, self.told(context, plane), self.first, self.second)

    def told(self, context: Tensor | None, plane: Tensor | None) -> Tensor | None:
        """What the parents add to the gates, [B, 2 width, H or 1, W or 1]."""
        own = self.vector(context)[:, :, None, None] if self.vector is not None else None
        if self.plane is None:
            return own
        mapped: Tensor = self.plane(plane)
        return mapped if own is None else own + mapped

    def through(
        self, x: Tensor, other: Tensor | None, told: Tensor | None, first: Convolution, second: Convolution
    ) -> Tensor:
        """The block, its two convolutions being these."""
        h = first(F.elu(x))
        if self.beside is not None and other is not None:
            h = h + self.beside(other)
        h = second(F.elu(h))
        if told is not None:
            h = h + told
        a, b = h.chunk(2, dim=1)
        return x + a * torch.sigmoid(b)


class Pair(nn.Module):
    """A block of each stream; on the way up both also read what the way down has left."""

    def __init__(self, width: int, *, up: bool, context: int, plane: bool) -> None:
        super().__init__()
        self.u = Block(width, ROWS, width if up else 0, context, plane)
        self.h = Block(width, PIXELS, 2 * width if up else width, context, plane)

    def forward(
        self,
        u: Tensor,
        h: Tensor,
        left: tuple[Tensor, Tensor] | None,
        context: Tensor | None,
        plane: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        u = self.u(u, None if left is None else left[0], context, plane)
        h = self.h(h, u if left is None else torch.cat([u, left[1]], 1), context, plane)
        return u, h

    def __getitem__(self, which: int) -> Block:
        """The block of the row stream (0) or of the pixel stream (1)."""
        return (self.u, self.h)[which]


class PixelCNNppModule(nn.Module):
    """Values and x [B, *target] -> raw parameters [B, outputs, *target]."""

    def __init__(self, spec: PixelCNNpp, inputs: Inputs, target: Input, outputs: int) -> None:
        super().__init__()
        outer, width = numel(target.shape[:-2]), spec.width
        grids, rest = planes(inputs), vectors(inputs)
        self.target, self.raw = target, (outputs, *target.shape)
        self.sizes = [(target.shape[-2], target.shape[-1])]
        for _ in range(spec.levels):
            self.sizes.append(half(self.sizes[-1]))
        self.entry = Read(target)
        self.context = Context(rest) if rest else None
        self.planes = Planes(grids, (target.shape[-2], target.shape[-1])) if grids else None
        self.enter = nn.Conv2d(plane_channels(inputs), width, 3, padding=1) if grids else None
        read = channels(target)
        self.rows = Shifted(read + 1, width, ROWS)
        self.above = nn.Conv2d(read + 1, width, (1, 3), padding=(0, 1))
        self.before = nn.Conv2d(read + 1, width, (2, 1))
        size = self.context.width if self.context is not None else 0

        def pairs(count: int, up: bool) -> nn.ModuleList:
            return nn.ModuleList(Pair(width, up=up, context=size, plane=bool(grids)) for _ in range(count))

        last = spec.levels
        self.down = nn.ModuleList(pairs(spec.layers, False) for _ in range(last + 1))
        self.up = nn.ModuleList(pairs(spec.layers + (level < last), True) for level in range(last + 1))
        self.halves = nn.ModuleList(
            nn.ModuleList([Shifted(width, width, ROWS, 2), Shifted(width, width, PIXELS, 2)])
            for _ in range(last)
        )
        groups = torch.arange(width) * outer // width
        entering = torch.arange(outer).repeat_interleave(read // outer)
        self.said = nn.Conv2d(width, width, 1)
        self.own = GroupedConv(groups[:, None] > entering[None, :], 1) if outer > 1 else None
        self.mix = GroupedConv(groups[:, None] >= groups[None, :], 1)
        self.out = GroupedConv(torch.arange(outer).repeat(outputs)[:, None] >= groups[None, :], 1)

    def forward(self, values: Values, x: Tensor) -> Tensor:
        own = as_channels(self.entry(x), self.target)
        h = self.streams(values, F.pad(own, (0, 0, 0, 0, 0, 1), value=1.0))
        h = self.said(F.elu(h))
        if self.own is not None:
            h = h + self.own(own)
        raw: Tensor = self.out(F.elu(self.mix(F.elu(h))))
        return raw.reshape(x.shape[0], *self.raw)

    def streams(self, values: Values, x: Tensor) -> Tensor:
        """The pixel stream after all blocks, [B, width, H, W]; x with a channel of ones."""
        context, maps = self.parents(values)
        u = late(self.rows(x), 0)
        h = late(self.above(x), 0) + late(self.before(F.pad(x, (0, 0, 1, 0))), 1)
        left = [(u, h)]
        for level, blocks in enumerate(self.down):
            if level:
                halves = self.halves[level - 1]
                assert isinstance(halves, nn.ModuleList)
                u, h = halves[0](u), halves[1](h)
                left.append((u, h))
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                u, h = block(u, h, None, context, maps[level])
                left.append((u, h))
        left.pop()
        for level in reversed(range(len(self.up))):
            blocks = self.up[level]
            assert isinstance(blocks, nn.ModuleList)
            if level < len(self.up) - 1:
                rows, columns = self.sizes[level]
                u, h = doubled(u)[:, :, :rows, :columns], doubled(h)[:, :, :rows, :columns]
            for block in blocks:
                u, h = block(u, h, left.pop(), context, maps[level])
        return h

    def parents(self, values: Values) -> tuple[Tensor | None, list[Tensor | None]]:
        """The parents' context [B, C], and of their grids a map [B, width, h, w] at each resolution."""
        context = self.context(values) if self.context is not None else None
        if self.planes is None or self.enter is None:
            return context, [None for _ in self.sizes]
        plane = F.relu(self.enter(self.planes(values)))
        return context, [plane, *(F.adaptive_avg_pool2d(plane, size) for size in self.sizes[1:])]

    def pairs(self) -> dict[Key, Pair]:
        """The blocks of both streams, on the way down and up, in their turn at each level."""
        ways = {False: self.down, True: self.up}
        found = {}
        for up, levels in ways.items():
            for level, blocks in enumerate(levels):
                assert isinstance(blocks, nn.ModuleList)
                for index, pair in enumerate(blocks):
                    assert isinstance(pair, Pair)
                    found[up, level, index] = pair
        return found

    def halvings(self) -> list[tuple[Shifted, Shifted]]:
        """What leads both streams from each resolution to the next."""
        found = []
        for pair in self.halves:
            assert isinstance(pair, nn.ModuleList)
            u, h = pair
            assert isinstance(u, Shifted)
            assert isinstance(h, Shifted)
            found.append((u, h))
        return found

    def stepper(self, values: Values, rows: int) -> PixelPPSteps:
        return PixelPPSteps(self, values, rows)


def late(x: Tensor, along: int) -> Tensor:
    """Moved on by one row (0) or one column (1), zeros first."""
    return F.pad(x, (0, 0, 1, 0))[:, :, :-1] if along == 0 else F.pad(x, (1, 0))[:, :, :, :-1]


def doubled(x: Tensor) -> Tensor:
    """Every place four times: [B, C, H, W] -> [B, C, 2 H, 2 W]."""
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def build_pixelcnn_pp(
    spec: PixelCNNpp, inputs: Inputs, target: Input, outputs: int, order: Tensor
) -> PixelCNNppModule:
    """The module of a `pixelcnn_pp`. Raises ValueError if the head is no grid or `order` is not raster."""
    require(spec, inputs, target)
    if order.tolist() != list(Raster().ranks(target.shape)):
        raise ValueError("pixelcnn_pp follows raster order only; write ordering: raster, or use made")
    return PixelCNNppModule(spec, inputs, target, outputs)
