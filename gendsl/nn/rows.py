"""Rows as vectors: [N, *shape] -> [N, D], a scalar being a vector of one entry."""

from __future__ import annotations

from torch import Tensor


def as_vectors(value: Tensor) -> Tensor:
    """[N, *shape] -> [N, D] with D the product of the shape; [N] -> [N, 1]."""
    return value.flatten(1) if value.dim() > 1 else value[:, None]
