"""Entries or instants as tokens: what token nets read, and how their output is put back in place."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gendsl.nn.conditioning import Read
from gendsl.schema.facts import Input, numel


class Tokens(nn.Module):
    """Every entry, or instant, as a vector, in row-major order: [B, *shape] -> [B, D, width]."""

    def __init__(self, item: Input, width: int, tokens: int | None = None) -> None:
        super().__init__()
        self.read = Read(item)
        self.entries = numel(item.shape) if tokens is None else tokens
        self.framed = len(item.shape) == 2 and self.entries < numel(item.shape)
        self.each = item.width // self.entries
        self.enter = nn.Linear(self.each, width)

    def forward(self, value: Tensor) -> Tensor:
        numbers = self.read(value)
        tokens = value.shape[1] if self.framed else self.entries  # the first instants alone may be asked for
        out: Tensor = self.enter(numbers.reshape(numbers.shape[0], tokens, self.each))
        return out

    def one(self, entry: Tensor) -> Tensor:
        """One entry alone, [B], or one instant [B, D] -> [B, width]."""
        out: Tensor = self.enter(self.read(entry).reshape(entry.shape[0], self.each))
        return out


class Shifted(nn.Module):
    """Tokens in the turn of an ordering, one step late: [B, *shape] -> [B, D, width].

    With `frames` a token is an instant of [T, D], and these come in their own turn.
    """

    ranks: Tensor
    turns: Tensor

    def __init__(self, target: Input, width: int, order: Tensor, *, frames: bool = False) -> None:
        super().__init__()
        if frames:
            order = torch.arange(target.shape[0])
        self.tokens = Tokens(target, width, len(order))
        self.first = nn.Parameter(torch.randn(width) * width**-0.5)
        self.shape = target.shape
        self.register_buffer("ranks", order.clone(), persistent=False)
        self.register_buffer("turns", torch.argsort(order), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.tokens(x)
        tokens = tokens[:, self.turns[: tokens.shape[1] - 1]]
        return torch.cat([self.first.expand(x.shape[0], 1, -1), tokens], dim=1)

    def one(self, last: Tensor | None, rows: int) -> Tensor:
        """The token [B, width] at which an entry is said, made of the entry or instant before it; None at the first."""
        return self.first.expand(rows, -1) if last is None else self.tokens.one(last)

    def replace(self, raw: Tensor) -> Tensor:
        """What was said at each turn, at its entry: [B, D, outputs] -> [B, outputs, *shape]."""
        placed = raw[:, self.ranks].transpose(1, 2)
        return placed.reshape(raw.shape[0], raw.shape[2], *self.shape)
