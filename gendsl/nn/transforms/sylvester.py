"""Sylvester flow: y = x + Q R tanh(S Q^T x + b) (van den Berg et al. 2018, eq. 8).

Q [D, M] has orthonormal columns, the first M of a product of Householder reflections (their section 4.2); R
and S are upper triangular. It is invertible if r_ii s_ii > -1 (their theorem 2, as 0 < tanh' <= 1); here both
diagonals are INSIDE tanh of raw numbers, so |r_ii s_ii| < 1 for every value of them.
log |det| = sum_i log(1 + tanh'(.)_i r_ii s_ii).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gendsl.nn.rows import as_vectors
from gendsl.nn.transforms.linear import reflect
from gendsl.nn.transforms.stack import Transform
from gendsl.schema.components.flow_residual import Sylvester
from gendsl.schema.facts import Shape, numel

INSIDE = 1.0 - 1e-4
"""Keeps the determinant from 0 where tanh rounds to 1."""


class SylvesterFlow(Transform):
    """`repeat` layers; parameters are shared, or computed from the context for each row."""

    def __init__(self, spec: Sylvester, shape: Shape, context: int) -> None:
        super().__init__()
        self.size, self.units = numel(shape), spec.width(shape)
        self.repeat, self.reflections = spec.repeat, spec.reflections
        self.each = spec.numbers(shape)
        start = torch.randn(self.repeat, self.each)
        start[:, self.reflections * self.size :] *= 0.1 / math.sqrt(self.units)
        self.amortize = nn.Linear(context, self.repeat * self.each) if context else None
        if self.amortize is None:
            self.numbers = nn.Parameter(start.flatten())
        else:
            with torch.no_grad():
                self.amortize.weight.mul_(0.1)
                self.amortize.bias.copy_(start.flatten())

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        flat, total = as_vectors(x), x.new_zeros(x.shape[0])
        numbers = self.numbers[None] if self.amortize is None else self.amortize(context)
        triangle = self.units * (self.units + 1) // 2
        sizes = [self.reflections * self.size, triangle, triangle, self.units]
        for each in numbers.view(numbers.shape[0], self.repeat, self.each).unbind(1):
            vectors, r, s, bias = torch.split(each, sizes, 1)
            turns = vectors.view(-1, self.reflections, self.size).unbind(1)
            outer, inner = self._triangle(r), self._triangle(s)
            seen = flat
            for v in turns:
                seen = reflect(seen, v)
            h = torch.tanh((inner @ seen[:, : self.units, None]).squeeze(-1) + bias)  # [N, M]
            diagonals = outer.diagonal(dim1=-2, dim2=-1) * inner.diagonal(dim1=-2, dim2=-1)
            total = total + torch.log1p((1.0 - h * h) * diagonals).sum(1)
            move = (outer @ h[:, :, None]).squeeze(-1)
            step = torch.cat([move, move.new_zeros(move.shape[0], self.size - self.units)], 1)
            for v in reversed(turns):
                step = reflect(step, v)
            flat = flat + step
        return flat.view_as(x), total

    def _triangle(self, numbers: Tensor) -> Tensor:
        """[N, M (M + 1) / 2] -> upper triangular [N, M, M], its diagonal in (-1, 1)."""
        row, column = torch.triu_indices(self.units, self.units, device=numbers.device)
        values = torch.where(row == column, INSIDE * torch.tanh(numbers), numbers)
        square = numbers.new_zeros(self.units * self.units, numbers.shape[0])
        filled = square.index_put((row * self.units + column,), values.T)
        return filled.T.reshape(-1, self.units, self.units)


def build_sylvester(spec: Sylvester, shape: Shape, context: int, kernels: str) -> SylvesterFlow:
    return SylvesterFlow(spec, shape, context)
