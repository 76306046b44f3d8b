"""How networks read the parents of a factor: one rule, used by every net.

Each value first becomes numbers:
- a label (`Input.labels`) is embedded, `Input.embedding` wide; a relaxed label, floating point with one more
  dimension of `classes` weights, is read as that mixture of embeddings;
- an integer of two values is read as 0 or 1, one of more between low and high is scaled to [-1, 1], weights of its
  values to the mean of that; an unbounded count is read as log(1 + n);
- real values are read as they are.

Then it enters the net by its shape:
- an mlp, and anything else that reads vectors, concatenates all parents, flattened in row-major order;
- a convolution reads a grid [C, H, W] or [H, W] as channels, at the size of the first grid among the parents:
  a grid of another size is resized to it by area;
- every other parent of a convolution or an autoregressive convolution joins a context vector, in which a
  row of labels is averaged over its length, and modulates the features (FiLM): h <- (1 + s) h + t with (s,
  t) = W c + b and W = b = 0 at the beginning, so that an untrained net does not depend on it (Perez et al.
  2018, equation 2).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gendsl.schema.components.net_planes import Plane, context_width
from gendsl.schema.facts import Input, Inputs, vector_width

Values = dict[str, Tensor]


class Read(nn.Module):
    """One parent as numbers: [B, *shape] -> [B, *shape], and [B, *shape, E] for a label."""

    like: Tensor

    def __init__(self, item: Input) -> None:
        super().__init__()
        self.item = item
        self.table = nn.Embedding(item.classes, item.embedding) if item.labels else None
        low, high = item.support.low, item.support.high
        self.low = low
        self.finite = item.support.integer and math.isfinite(high - low)
        self.count = item.support.integer and math.isfinite(low) and high == math.inf
        levels = high - low if self.finite else 0.0
        self.gain, self.start = (2.0 / levels, -1.0) if levels > 1 else (1.0, 0.0)
        self.register_buffer("like", torch.empty(0), persistent=False)

    def forward(self, value: Tensor) -> Tensor:
        weights = value.is_floating_point() and value.dim() == len(self.item.shape) + 2
        if self.table is not None:
            if weights:
                return value.to(self.table.weight.dtype) @ self.table.weight
            embedded: Tensor = self.table(value.long())
            return embedded
        value = value.to(self.like.dtype)
        if self.finite and weights:
            levels = torch.arange(self.item.classes, dtype=value.dtype, device=value.device)
            return value @ (levels * self.gain + self.start)
        if self.finite:
            return (value - self.low) * self.gain + self.start
        if self.count:
            return torch.log1p(value - self.low)
        return value


class Vector(nn.Module):
    """All parents concatenated: values -> [B, width], `width` = facts.vector_width."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        self.names = tuple(i.name for i in inputs)
        self.readers = nn.ModuleList(Read(i) for i in inputs)
        self.widths = tuple(i.width for i in inputs)
        self.width = vector_width(inputs)

    def forward(self, values: Values) -> Tensor:
        parts = []
        for name, read, width in zip(self.names, self.readers, self.widths, strict=True):
            number = read(values[name])
            parts.append(number.reshape(number.shape[0], width))
        return torch.cat(parts, dim=1)


class Context(nn.Module):
    """All parents as a context vector: values -> [B, width]; a row of labels is averaged over its length."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        self.names = tuple(i.name for i in inputs)
        self.readers = nn.ModuleList(Read(i) for i in inputs)
        self.widths = tuple(0 if i.labels and len(i.shape) == 1 else i.width for i in inputs)
        self.width = context_width(inputs)

    def forward(self, values: Values) -> Tensor:
        parts = []
        for name, read, width in zip(self.names, self.readers, self.widths, strict=True):
            number = read(values[name])
            parts.append(number.reshape(number.shape[0], width) if width else number.mean(1))
        return torch.cat(parts, dim=1)


class Planes(nn.Module):
    """Grids as channels of one size: values -> [B, channels, h, w]."""

    def __init__(self, inputs: Inputs, size: Plane) -> None:
        super().__init__()
        self.inputs = inputs
        self.readers = nn.ModuleList(Read(i) for i in inputs)
        self.size = size

    def forward(self, values: Values) -> Tensor:
        pairs = zip(self.inputs, self.readers, strict=True)
        parts = [as_channels(read(values[item.name]), item) for item, read in pairs]
        parts = [p if p.shape[-2:] == self.size else F.interpolate(p, self.size, mode="area") for p in parts]
        return torch.cat(parts, dim=1).contiguous(memory_format=torch.channels_last)


class Film(nn.Module):
    """Feature-wise modulation, the identity at first: (1 + s) h + t, with s and t from a context [B, K].

    h is [B, W], [B, W, h, w], or tokens [B, T, W].
    """

    def __init__(self, context: int, width: int) -> None:
        super().__init__()
        self.affine = nn.Linear(context, 2 * width)
        nn.init.zeros_(self.affine.weight)
        nn.init.zeros_(self.affine.bias)

    def forward(self, h: Tensor, context: Tensor) -> Tensor:
        scale, shift = self.affine(context).chunk(2, dim=1)  # [B, W] each
        if h.dim() == 4:
            scale, shift = scale[:, :, None, None], shift[:, :, None, None]
        elif h.dim() == 3:
            scale, shift = scale[:, None], shift[:, None]
        out: Tensor = (1 + scale) * h + shift
        return out


def as_channels(number: Tensor, item: Input) -> Tensor:
    """A grid that `Read` made numbers of, as channels [B, C * E, H, W], the E of one channel together."""
    if len(item.shape) == 2:
        number = number.unsqueeze(1)
    if item.labels:
        number = number.movedim(-1, 2).flatten(1, 2)  # [B, C, E, H, W] -> [B, C * E, H, W]
    return number
