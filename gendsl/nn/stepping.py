"""Entries one after another: the protocol by which an autoregressive network does not repeat its work.

Entry t of p(x) = prod_t p(x_t | x_<t) needs raw numbers that depend on the entries before it. `Whole` runs the
whole network anew at every turn, D passes for D entries. A network with a method `stepper` keeps what it has
computed (keys and values, recurrent states, rows of feature maps, hidden units whose inputs are all known), and
does the arithmetic of one pass altogether.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from gendsl.nn.conditioning import Values


class Stepper(Protocol):
    """One walk through the entries of B rows."""

    differentiable: bool
    """Whether gradients may flow through a walk; where buffers are written in place they may not."""

    def next(self, last: Tensor | None) -> Tensor:
        """Raw numbers [B, P] of the entry whose turn it is, given the entry before it, [B]; None at the first."""
        ...


@runtime_checkable
class Stepping(Protocol):
    """A network that offers a stepper."""

    def stepper(self, values: Values, rows: int) -> Stepper:
        """A walk for these parents' values; `rows` counts where there are none."""
        ...


@runtime_checkable
class Framed(Protocol):
    """A network that may take the instants of a sequence [T, D] as tokens, and then fewer than all of them."""

    framed: bool


class Whole:
    """The walk of any network: a whole pass at every turn, entries to come read as zeros."""

    differentiable = True

    def __init__(self, net: nn.Module, values: Values, rows: int, turns: Tensor, like: Tensor) -> None:
        self.net, self.values, self.turns, self.turn = net, values, turns.tolist(), 0
        self.shape = like.shape
        self.value = like.new_zeros(rows, len(self.turns))

    def next(self, last: Tensor | None) -> Tensor:
        if last is not None:
            where = torch.zeros(self.value.shape[1], dtype=torch.bool, device=self.value.device)
            where[self.turns[self.turn - 1]] = True
            self.value = torch.where(where, last[:, None].to(self.value.dtype), self.value)
        raw = self.net(self.values, self.value.reshape(-1, *self.shape))
        self.turn += 1
        entry: Tensor = raw.reshape(*raw.shape[:2], -1)[:, :, self.turns[self.turn - 1]]
        return entry


def walk(
    net: nn.Module, values: Values, rows: int, turns: Tensor, like: Tensor, *, cached: bool = True
) -> Stepper:
    """The network's own stepper if it has one that serves, otherwise whole passes.

    `turns` [D] are the entries in their turn, `like` an empty row of the variable. With gradients only a
    differentiable stepper serves.
    """
    if cached and isinstance(net, Stepping):
        stepper = net.stepper(values, rows)
        if stepper.differentiable or not torch.is_grad_enabled():
            return stepper
    return Whole(net, values, rows, turns, like)
