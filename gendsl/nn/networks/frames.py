"""What is said at a token: the raw numbers of its entry, or of all the entries of its instant.

Token nets give a state for every token; `Frame` says the D entries of an instant from it, by an mlp (independent given
the state) or by a MADE that reads the instant itself. `FrameSteps` walks the entries: the net moves on once an instant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from gendsl.nn.building import build_net, builder
from gendsl.nn.head import Head
from gendsl.nn.networks.tokens import Shifted
from gendsl.nn.stepping import Stepper, walk
from gendsl.schema.components.net import Net
from gendsl.schema.components.net_tokens import STATE, TokenNet, frame_inputs
from gendsl.schema.facts import Input


class Frame(nn.Module):
    """States [B, T, W] and the sequence [B, T, D] -> raw parameters [B, outputs, T, D]."""

    turns: Tensor
    like: Tensor

    def __init__(self, spec: Net, target: Input, width: int, outputs: int) -> None:
        super().__init__()
        state, head = frame_inputs(target, width)
        self.size = head.shape[0]
        order = torch.arange(self.size)
        self.made: nn.Module | None = None
        self.body: nn.Module | None = None
        if spec.autoregressive:
            self.made = builder(spec)(spec, (state,), head, outputs, order)
        else:
            self.body = build_net(spec, (state,), head.shape)
            self.head = Head(spec.features((state,), head.shape), (outputs, *head.shape))
        self.register_buffer("turns", order, persistent=False)
        dtype = torch.int64 if head.support.integer else torch.get_default_dtype()
        self.register_buffer("like", torch.zeros(head.shape, dtype=dtype), persistent=False)

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        rows, tokens = h.shape[:2]
        frames = x.reshape(rows * tokens, *x.shape[2:])  # a relaxed label has weights behind its D entries
        raw = self.said({STATE: h.flatten(0, 1)}, frames)
        return raw.view(rows, tokens, *raw.shape[1:]).movedim(2, 1)

    def said(self, values: dict[str, Tensor], frame: Tensor) -> Tensor:
        """Raw numbers [N, outputs, D] of an instant."""
        if self.made is not None:
            found: Tensor = self.made(values, frame)
            return found
        assert self.body is not None
        out: Tensor = self.head(self.body(values))
        return out

    def walk(self, h: Tensor) -> Callable[[int, Tensor | None], Tensor]:
        """Raw numbers [B, outputs] of entry d of an instant, given its state [B, W] and the entry before."""
        values = {STATE: h}
        if self.made is None:
            raw = self.said(values, h)
            return lambda place, last: raw[:, :, place]
        inner = walk(self.made, values, h.shape[0], self.turns, self.like)
        return lambda place, last: inner.next(last)


class States(Protocol):
    """A walk through the tokens of a net."""

    differentiable: bool

    def state(self, last: Tensor | None) -> Tensor:
        """The state [B, W] at a token, given the entry or instant before it."""
        ...


class EntrySteps:
    """A token is an entry: a dense layer says it."""

    def __init__(self, steps: States, out: nn.Module) -> None:
        self.steps, self.out, self.differentiable = steps, out, steps.differentiable

    def next(self, last: Tensor | None) -> Tensor:
        raw: Tensor = self.out(self.steps.state(last))
        return raw


class FrameSteps:
    """A token is an instant."""

    def __init__(self, steps: States, frame: Frame) -> None:
        self.steps, self.frame, self.differentiable = steps, frame, steps.differentiable
        self.seen: list[Tensor] = []
        self.inside: Callable[[int, Tensor | None], Tensor] | None = None

    def next(self, last: Tensor | None) -> Tensor:
        if last is not None:
            self.seen.append(last)
        if self.inside is None or len(self.seen) == self.frame.size:
            instant = torch.stack(self.seen, 1) if self.seen else None
            self.seen, last = [], None
            self.inside = self.frame.walk(self.steps.state(instant))
        return self.inside(len(self.seen), last)


def entering(spec: TokenNet, target: Input, width: int, order: Tensor) -> Shifted:
    """The tokens that a net reads."""
    return Shifted(target, width, order, frames=spec.frame is not None)


def saying(spec: TokenNet, target: Input, width: int, outputs: int) -> nn.Module:
    """What says the entries of a token from its state."""
    return nn.Linear(width, outputs) if spec.frame is None else Frame(spec.frame, target, width, outputs)


def said(out: nn.Module, enter: Shifted, h: Tensor, x: Tensor) -> Tensor:
    """The raw numbers of every entry [B, outputs, *shape] from the states [B, T, W]."""
    raw: Tensor = out(h, x) if isinstance(out, Frame) else enter.replace(out(h))
    return raw


def stepping(steps: States, out: nn.Module) -> Stepper:
    """The walk through the entries."""
    return FrameSteps(steps, out) if isinstance(out, Frame) else EntrySteps(steps, out)
