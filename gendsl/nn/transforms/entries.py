"""Scalar bijections of single entries, given the raw numbers of a conditioner.

    additive    y = x + t                                        (Dinh et al. 2015, eq. 7)
    affine      y = x exp(s) + t,  s = bound * tanh(raw) with a learned bound    (Dinh et al. 2017, eq. 7-8)
    rq_spline   see `gendsl.nn.transforms.spline`

Each begins as the identity where its raw numbers are zero. Raw numbers are [N, numbers, *shape], values [N,
*shape].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gendsl.nn.transforms.spline import rational_quadratic
from gendsl.schema.components.flow import EntryLayer
from gendsl.schema.facts import Shape


class Entries(nn.Module):
    """The scalar bijection that an EntryLayer names, at every entry."""

    def __init__(self, spec: EntryLayer, shape: Shape) -> None:
        super().__init__()
        self.transform, self.pieces, self.edge = spec.transform, spec.pieces(), spec.edge()
        self.bound = nn.Parameter(torch.ones(shape)) if spec.transform == "affine" else None

    def forward(
        self, value: Tensor, raw: Tensor, inverse: bool = False, only: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """(image, log |derivative|) of each entry, [N, *shape]; from the base outwards unless `inverse`.

        `only` one flattened entry: value [N], raw [N, numbers].
        """
        if self.transform == "rq_spline":
            return rational_quadratic(value, raw.movedim(1, -1), self.edge, inverse=inverse)
        shift = raw[:, 0]
        if self.bound is None:
            return (value - shift if inverse else value + shift), torch.zeros_like(value)
        bound = self.bound if only is None else self.bound.flatten()[only]
        log_scale = bound * torch.tanh(raw[:, 1])
        if inverse:
            return (value - shift) * torch.exp(-log_scale), -log_scale
        return value * torch.exp(log_scale) + shift, log_scale
