"""Transform, the contract of a flow layer, and Stack, a list of them.

Shapes: a value is [N, *shape], a context [N, C] or None, a log-determinant [N].
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class Transform(nn.Module):
    """y = f(x; context) from the base's side x to the variable's side y, with log |det df/dx|."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(y, log |det dy/dx|)."""
        raise TypeError(f"{type(self).__name__} cannot go from the base to the variable")

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(x, log |det dx/dy|)."""
        raise TypeError(f"{type(self).__name__} cannot go from the variable to the base: it has no closed-form inverse")


class Stack(Transform):
    """Layers listed from the variable inwards to its base."""

    def __init__(self, layers: Sequence[Transform], amortized: Sequence[bool]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.amortized = tuple(amortized)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(x.shape[0])
        for layer, takes in zip(reversed(self.layers), reversed(self.amortized), strict=True):
            x, log_det = layer(x, context if takes else None)
            total = total + log_det
        return x, total

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = y.new_zeros(y.shape[0])
        for layer, takes in zip(self.layers, self.amortized, strict=True):
            assert isinstance(layer, Transform)
            y, log_det = layer.inverse(y, context if takes else None)
            total = total + log_det
        return y, total


def flat_sum(value: Tensor) -> Tensor:
    """The sum over everything but the rows, [N]."""
    return value.flatten(1).sum(1) if value.dim() > 1 else value


