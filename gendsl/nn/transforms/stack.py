"""Transform, the contract of a flow layer, and Stack, a list of them.

Shapes: a value is [N, *shape], a context [N, C] or None, a log-determinant [N].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gendsl.kernels.derivatives import full_precision
from gendsl.nn.rows import as_vectors


class Transform(nn.Module):
    """y = f(x; context) from the base's side x to the variable's side y, with log |det df/dx|."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(y, log |det dy/dx|)."""
        raise TypeError(f"{type(self).__name__} cannot go from the base to the variable")

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(x, log |det dx/dy|)."""
        raise TypeError(
            f"{type(self).__name__} cannot go from the variable to the base: it has no closed-form inverse"
        )


class Divide(Transform):
    """A layer that sends a part of the value straight to the base of its stack; volume-preserving.

    By itself it is the bijection between the value and what is kept followed by what is sent, flat.
    """

    def __init__(self, kept: tuple[int, ...], sent: int) -> None:
        super().__init__()
        self.kept, self.sent = kept, sent

    def divide(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """(what the layers beneath see [N, *kept], what goes to the base [N, sent])."""
        raise TypeError(f"{type(self).__name__} is abstract")

    def join(self, kept: Tensor, sent: Tensor) -> Tensor:
        """The inverse of `divide`."""
        raise TypeError(f"{type(self).__name__} is abstract")

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        kept, sent = x[:, : -self.sent], x[:, -self.sent :]
        return self.join(kept.reshape(-1, *self.kept), sent), x.new_zeros(x.shape[0])

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        kept, sent = self.divide(y)
        return torch.cat([as_vectors(kept), sent], 1), y.new_zeros(y.shape[0])


class Stack(Transform):
    """Layers listed from the variable inwards to its base, computed in float32 at least, whatever autocast says.

    Where some of them are a Divide, the base is flat [N, D]: what went through all layers, whose shape is
    `core`, and then the parts that were sent, the innermost first.
    """

    def __init__(
        self,
        layers: Sequence[Transform],
        amortized: Sequence[bool],
        core: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.amortized = tuple(amortized)
        self.core = core
        self.parts = tuple(layer.sent for layer in reversed(layers) if isinstance(layer, Divide))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        with full_precision(x):
            return self._outwards(widened(x), None if context is None else widened(context))

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        with full_precision(y):
            return self._inwards(widened(y), None if context is None else widened(context))

    def _outwards(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(x.shape[0])
        parts: list[Tensor] = []
        if self.parts:
            assert self.core is not None
            first, *parts = torch.split(as_vectors(x), [x[0].numel() - sum(self.parts), *self.parts], 1)
            x = first.reshape(-1, *self.core)
        for layer, takes in zip(reversed(self.layers), reversed(self.amortized), strict=True):
            if isinstance(layer, Divide):
                x = layer.join(x, parts.pop(0))
                continue
            x, log_det = layer(x, context if takes else None)
            total = total + log_det
        return x, total

    def _inwards(self, y: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        total = y.new_zeros(y.shape[0])
        parts: list[Tensor] = []
        for layer, takes in zip(self.layers, self.amortized, strict=True):
            if isinstance(layer, Divide):
                y, sent = layer.divide(y)
                parts.insert(0, sent)
                continue
            assert isinstance(layer, Transform)
            y, log_det = layer.inverse(y, context if takes else None)
            total = total + log_det
        return (torch.cat([as_vectors(y), *parts], 1) if parts else y), total


def widened(value: Tensor) -> Tensor:
    """Half precision as float32; densities and flows are not computed in less."""
    return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value


def flat_sum(value: Tensor) -> Tensor:
    """The sum over everything but the rows, [N]."""
    return as_vectors(value).sum(1)
