"""Where a token is: learned vectors that are added to tokens, or rotations of queries and keys.

    learned:  h_t + P[t]
    axes:     h_t + sum over axes a of P_a[i_a], i the place in the variable's shape of the entry said at turn t
    rope:     <R_t q, R_s k>, R_t the rotation of the pairs (2j, 2j + 1) by the angles t 10000^(-2j / d)

rope is Su et al. 2021 (arXiv 2104.09864, eq. 34): the product depends on t - s only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gendsl.schema.facts import Shape

BASE = 10_000.0


class Positions(nn.Module):
    """What is added to the tokens [.., T, W]: a vector for each, or for each place on each axis; or nothing."""

    places: Tensor

    def __init__(self, axes: Shape, turns: Tensor, width: int, scale: float) -> None:
        super().__init__()
        self.tables = nn.ParameterList(nn.Parameter(torch.randn(size, width) * scale) for size in axes)
        whole = torch.stack(torch.unravel_index(turns, axes)) if axes else turns.new_zeros(0, len(turns))
        self.register_buffer("places", whole, persistent=False)  # [axes, T]

    def forward(self, h: Tensor) -> Tensor:
        for table, place in zip(self.tables, self.places, strict=True):
            h = h + table[place[: h.shape[1]]]
        return h

    def one(self, h: Tensor, turn: int) -> Tensor:
        """The same for the token [B, W] of one turn."""
        for table, place in zip(self.tables, self.places, strict=True):
            h = h + table[place[turn]]
        return h


def rotated(h: Tensor, start: int) -> Tensor:
    """Queries or keys [B, heads, T, d], the first of them that of turn `start`."""
    size = h.shape[-1]
    turn = torch.arange(start, start + h.shape[2], device=h.device, dtype=torch.float64)
    rate = BASE ** (-torch.arange(0, size, 2, device=h.device, dtype=torch.float64) / size)
    angle = turn[:, None] * rate  # [T, d / 2]
    cos, sin = angle.cos().to(h.dtype), angle.sin().to(h.dtype)
    even, odd = h[..., 0::2], h[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)
