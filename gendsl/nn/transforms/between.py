"""What stands between two of the layers that a `repeat` makes: the same entries in another order, or mixed."""

from __future__ import annotations

import torch

from gendsl.nn.transforms.linear import LUMatrix
from gendsl.nn.transforms.permute import Permutation
from gendsl.schema.components.flow import Between


def between(how: Between, size: int, index: int) -> LUMatrix | Permutation:
    """The bijection of `size` entries before the layer of an index, 1 or more; a shuffle is another for each."""
    if how == "lu_linear":
        return LUMatrix(size, bias=True)
    order = torch.arange(size - 1, -1, -1)
    if how == "shuffle":
        drawn = torch.randperm(size, generator=torch.Generator().manual_seed(index))
        order = order if torch.equal(drawn, torch.arange(size)) else drawn
    return Permutation(order)
