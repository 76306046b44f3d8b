"""A linear layer with a matrix for each value of what is given: y = L(c) U(c) x + b(c), from one dense layer of c.

Rows with the same c, such as those of one label, share their matrix, and are moved together.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gendsl.nn.rows import as_vectors
from gendsl.nn.starting import Starting
from gendsl.nn.transforms.linear import LUMatrix, WhiteningMatrix, batch_root
from gendsl.nn.transforms.stack import Transform
from gendsl.schema.components.flow_linear import LULinear
from gendsl.schema.facts import Shape, numel

FEW = 64
"""Distinct contexts of a batch that are taken one after another; more are computed row by row."""


class GivenMatrix(Starting, Transform):
    """L has a unit diagonal, U the diagonal exp(s); the identity at first.

    With `whiten` the first batch in training sets the dense layer, so that the rows of each c come out with mean 0 and
    covariance I: exactly where there are at most as many c as the context has entries.
    """

    def __init__(self, size: int, context: int, whiten: bool) -> None:
        super().__init__()
        self.size, self.whiten = size, whiten
        self.numbers = nn.Linear(context, size * size + size)
        nn.init.zeros_(self.numbers.weight)
        nn.init.zeros_(self.numbers.bias)
        if whiten:
            self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        assert context is not None
        return self._move(x, context, inverse=False)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        assert context is not None
        return self._move(y, context, inverse=True)

    def _move(self, value: Tensor, context: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        flat = as_vectors(value)
        index = torch.unique(context.detach(), dim=0, return_inverse=True)[1]
        groups = int(index.max()) + 1
        if self.whiten and self.starts_now:
            self._start(flat, context, index, inverse)
        if groups > FEW:
            out, log_det = self._shared(flat[:, None], context, inverse)
            return out[:, 0].view_as(value), log_det
        found, sums = torch.empty_like(flat), flat.new_empty(len(flat))
        for group in range(groups):
            rows = (index == group).nonzero()[:, 0]
            out, log_det = self._shared(flat[rows][None], context[rows[:1]], inverse)
            found, sums = (
                found.index_copy(0, rows, out[0]),
                sums.index_copy(0, rows, log_det.expand(len(rows))),
            )
        return found.view_as(value), sums

    def _shared(self, value: Tensor, context: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        """Rows [G, N, D] of G contexts [G, C], and the log-determinant of each context, [G]."""
        lower, upper, bias, log_scale = self._parts(self.numbers(context))
        if not inverse:
            return value @ upper.mT @ lower.mT + bias[:, None], log_scale.sum(1)
        inner = torch.linalg.solve_triangular(
            lower, (value - bias[:, None]).mT, upper=False, unitriangular=True
        )
        return torch.linalg.solve_triangular(upper, inner, upper=True).mT, -log_scale.sum(1)

    def _parts(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """L, U [G, D, D], b and s [G, D] of raw numbers [G, D D + D]."""
        matrix = numbers[:, : -self.size].view(-1, self.size, self.size)
        log_scale = matrix.diagonal(dim1=1, dim2=2)
        unit = torch.eye(self.size, dtype=matrix.dtype, device=matrix.device)
        upper = matrix.triu(1) + torch.diag_embed(log_scale.exp())
        return matrix.tril(-1) + unit, upper, numbers[:, -self.size :], log_scale

    @torch.no_grad()
    def _start(self, flat: Tensor, context: Tensor, index: Tensor, inverse: bool) -> None:
        """Solve for the dense layer that gives each context the moments of its own rows."""
        told, wanted = [], []
        for group in range(int(index.max()) + 1):
            rows = flat[index == group]
            mean, root = batch_root(rows)
            if not inverse:
                root = torch.linalg.solve_triangular(root, torch.eye(self.size).to(root), upper=False)
                mean = -root @ mean
            scale = root.diagonal()
            numbers = (root / scale).tril(-1) + scale.log().diag()
            told.append(context[index == group][0].double())
            wanted.append(torch.cat([numbers.flatten(), mean]))
        contexts, targets = torch.stack(told), torch.stack(wanted)
        weight = torch.linalg.lstsq(contexts, targets, driver="gelsd").solution  # [C, D D + D]
        self.numbers.weight.copy_(weight.T)
        self.numbers.bias.zero_()
        self.started.fill_(True)


def build_lu_linear(spec: LULinear, shape: Shape, context: int, kernels: str) -> Transform:
    whiten = spec.start == "whiten"
    if spec.given and context:
        return GivenMatrix(numel(shape), context, whiten)
    return WhiteningMatrix(numel(shape)) if whiten else LUMatrix(numel(shape), bias=True)
