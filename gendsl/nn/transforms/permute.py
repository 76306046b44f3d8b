"""Permutation of the flattened entries; its log-determinant is zero."""

from __future__ import annotations

import torch
from torch import Tensor

from gendsl.nn.rows import as_vectors
from gendsl.nn.transforms.stack import Transform
from gendsl.schema.components.flow import Permute
from gendsl.schema.facts import Shape, numel


class Permutation(Transform):
    """y = x[order]; `order` and its inverse are buffers that follow from the spec."""

    order: Tensor
    back: Tensor

    def __init__(self, order: Tensor) -> None:
        super().__init__()
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("back", torch.argsort(order), persistent=False)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return as_vectors(x)[:, self.order].view_as(x), x.new_zeros(x.shape[0])

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return as_vectors(y)[:, self.back].view_as(y), y.new_zeros(y.shape[0])


def build_permute(spec: Permute, shape: Shape, context: int, kernels: str) -> Permutation:
    size = numel(shape)
    if spec.how == "reverse":
        return Permutation(torch.arange(size - 1, -1, -1))
    return Permutation(torch.randperm(size, generator=torch.Generator().manual_seed(spec.seed)))
