"""Orderings as tensors: the ranks that autoregressive networks take, and the turns of their entries."""

from __future__ import annotations

import torch
from torch import Tensor

from gendsl.schema.components.ordering import Ordering
from gendsl.schema.facts import Shape


def rank_tensor(spec: Ordering, shape: Shape) -> Tensor:
    """The rank of every flattened entry, int64 [D]. Raises ValueError if the shape has no such order."""
    why = spec.problem(shape)
    if why is not None:
        raise ValueError(why)
    return torch.tensor(spec.ranks(shape), dtype=torch.int64)


def turns(ranks: Tensor) -> Tensor:
    """The flattened entries in the turn in which they come, int64 [D]: the inverse of the ranks."""
    return torch.argsort(ranks)
