"""A sequence that ends: after the end symbol nothing but that symbol, with certainty.

    p(x_t = end | x_<t) = 1 where one of x_<t is the end, so that

    log p(x) = sum of log p(x_t | x_<t) over the entries up to and including the first end,

and the padding behind it costs nothing. All rows of one length still sum to 1: a row without an end is one that was
cut.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gendsl.nn.conditioning import Values
from gendsl.nn.stepping import Stepper, walk


class Ended(nn.Module):
    """A net of categorical logits over a row [T], taken from its first entry on: values, x [B, T] -> [B, K, T]."""

    certain: Tensor
    turns: Tensor
    like: Tensor

    def __init__(self, net: nn.Module, end: int, classes: int, turns: Tensor, like: Tensor) -> None:
        super().__init__()
        self.net, self.end = net, end
        certain = torch.full((classes,), -torch.inf)
        certain[end] = 0.0
        self.register_buffer("certain", certain, persistent=False)
        self.register_buffer("turns", turns, persistent=False)
        self.register_buffer("like", like, persistent=False)

    def forward(self, values: Values, x: Tensor) -> Tensor:
        raw: Tensor = self.net(values, x)
        ends = x == self.end
        over = ends.cumsum(1) > ends.long()  # an end before this entry
        return torch.where(over[:, None], self.certain[:, None].to(raw.dtype), raw)

    def stepper(self, values: Values, rows: int) -> EndedSteps:
        return EndedSteps(self, walk(self.net, values, rows, self.turns, self.like))


class EndedSteps:
    """The net's own walk, and which rows are over."""

    def __init__(self, net: Ended, inner: Stepper) -> None:
        self.net, self.inner = net, inner
        self.over: Tensor | None = None

    @property
    def differentiable(self) -> bool:
        return self.inner.differentiable

    def next(self, last: Tensor | None) -> Tensor:
        raw = self.inner.next(last)
        if last is not None:
            ends = last == self.net.end
            self.over = ends if self.over is None else self.over | ends
        if self.over is None:
            return raw
        return torch.where(self.over[:, None], self.net.certain.to(raw.dtype), raw)
