"""Linear layers: a diagonal one started from data (actnorm), LU-parametrised matrices, reflections.

actnorm         y = x exp(s) + b, s and b per channel               (Kingma and Dhariwal 2018, section 3.1)
lu, 1x1 conv    y = P L (U + diag(sign exp(s))) x + b,  log |det| = sum s    (eq. 10-11 there)
                a whitening one starts at the Cholesky factor of the first batch's covariance
householder     y = x - 2 v (v.x) / |v|^2                                    (Tomczak and Welling 2016, eq. 7)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gendsl.nn.rows import as_vectors
from gendsl.nn.starting import Starting
from gendsl.nn.transforms.stack import Transform
from gendsl.schema.components.flow_linear import ActNorm, Householder, Inv1x1Conv, channels
from gendsl.schema.facts import Shape, numel


class ActNormTransform(Starting, Transform):
    """Shift and scale per channel; the first batch in training sets them and comes out standardised."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.log_scale = nn.Parameter(torch.zeros(size))
        self.shift = nn.Parameter(torch.zeros(size))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        value = x.reshape(x.shape[0], self.size, -1)  # [N, C, positions]
        if self.starts_now:
            mean, log_std = self._moments(value)
            self._start(-log_std, -mean * torch.exp(-log_std))
        value = value * torch.exp(self.log_scale)[:, None] + self.shift[:, None]
        return value.view_as(x), self._log_det(x)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        value = y.reshape(y.shape[0], self.size, -1)
        if self.starts_now:
            mean, log_std = self._moments(value)
            self._start(log_std, mean)
        value = (value - self.shift[:, None]) * torch.exp(-self.log_scale)[:, None]
        return value.view_as(y), -self._log_det(y)

    def _log_det(self, value: Tensor) -> Tensor:
        positions = numel(tuple(value.shape[1:])) // self.size
        return (positions * self.log_scale.sum()).expand(value.shape[0])

    @torch.no_grad()
    def _moments(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation per channel; a channel that does not vary keeps its scale."""
        variance, mean = torch.var_mean(value.detach().to(self.shift.dtype), dim=(0, 2), correction=0)
        return mean, 0.5 * torch.log(torch.where(variance > 1e-10, variance, torch.ones_like(variance)))

    @torch.no_grad()
    def _start(self, log_scale: Tensor, shift: Tensor) -> None:
        self.log_scale.copy_(log_scale)
        self.shift.copy_(shift)
        self.started.fill_(True)


class LUMatrix(Transform):
    """A square matrix P L (U + diag), |diag| = exp(log_scale), over the first axis of [N, size, positions].

    `rotation` begins at a random rotation, whose permutation and signs are kept in persistent buffers; else
    at the identity.
    """

    order: Tensor
    back: Tensor
    sign: Tensor

    def __init__(self, size: int, bias: bool, rotation: bool = False) -> None:
        super().__init__()
        self.size = size
        matrix = torch.linalg.qr(torch.randn(size, size))[0] if rotation else torch.eye(size)
        permutation, lower, upper = torch.linalg.lu(matrix)
        diagonal = upper.diagonal()
        self.lower = nn.Parameter(_entries(lower))
        self.upper = nn.Parameter(_entries(upper.T))
        self.log_scale = nn.Parameter(diagonal.abs().log())
        self.bias = nn.Parameter(torch.zeros(size)) if bias else None
        order = permutation.argmax(1)
        self.register_buffer("order", order, persistent=rotation)
        self.register_buffer("back", torch.argsort(order), persistent=rotation)
        self.register_buffer("sign", diagonal.sign(), persistent=rotation)

    def _factors(self) -> tuple[Tensor, Tensor]:
        """L with a unit diagonal, and U with its own."""
        row, column = torch.tril_indices(self.size, self.size, -1, device=self.lower.device)
        empty = self.lower.new_zeros(self.size, self.size)
        lower = empty.index_put((row, column), self.lower) + torch.eye(
            self.size, dtype=empty.dtype, device=empty.device
        )
        upper = empty.index_put((column, row), self.upper) + torch.diag(self.sign * torch.exp(self.log_scale))
        return lower, upper

    def _log_det(self, value: Tensor) -> Tensor:
        positions = numel(tuple(value.shape[1:])) // self.size
        return (positions * self.log_scale.sum()).expand(value.shape[0])

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        lower, upper = self._factors()
        value = (lower @ (upper @ x.reshape(x.shape[0], self.size, -1)))[:, self.order]
        if self.bias is not None:
            value = value + self.bias[:, None]
        return value.reshape(x.shape), self._log_det(x)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        lower, upper = self._factors()
        value = y.reshape(y.shape[0], self.size, -1)
        if self.bias is not None:
            value = value - self.bias[:, None]
        value = value[:, self.back].movedim(0, 1).flatten(1)  # [size, N * positions]
        value = torch.linalg.solve_triangular(lower, value, upper=False, unitriangular=True)
        value = torch.linalg.solve_triangular(upper, value, upper=True)
        value = value.view(self.size, y.shape[0], -1).movedim(1, 0)
        return value.reshape(y.shape), -self._log_det(y)


class WhiteningMatrix(Starting, LUMatrix):
    """An LUMatrix that the first batch in training sets: what comes out then has mean 0 and covariance I.

    With the batch's covariance C = A A^T, A lower triangular, the inverse starts at A^-1 (y - mean), forward at
    A^-1 (x - mean). With no more rows than entries, or a singular C, A is the diagonal of standard deviations.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size, bias=True)
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.starts_now:
            mean, root = batch_root(x)
            inverse = torch.linalg.solve_triangular(root, torch.eye(len(root)).to(root), upper=False)
            self._start(inverse, -inverse @ mean)
        return super().forward(x, context)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.starts_now:
            mean, root = batch_root(y)
            self._start(root, mean)
        return super().inverse(y, context)

    @torch.no_grad()
    def _start(self, matrix: Tensor, bias: Tensor) -> None:
        """Begin at y = matrix x + bias, the matrix lower triangular with a positive diagonal."""
        assert self.bias is not None
        self.lower.copy_(_entries(matrix / matrix.diagonal()))
        self.upper.zero_()
        self.log_scale.copy_(matrix.diagonal().log())
        self.bias.copy_(bias)
        self.started.fill_(True)


@torch.no_grad()
def batch_root(value: Tensor) -> tuple[Tensor, Tensor]:
    """The mean [D], and a root A [D, D] of the covariance of rows; an entry that does not vary keeps its scale."""
    rows = as_vectors(value.detach()).double()  # [N, D]
    mean = rows.mean(0)
    covariance = (rows - mean).T @ (rows - mean) / len(rows)
    root, singular = torch.linalg.cholesky_ex(covariance)
    if len(rows) <= len(mean) or bool(singular):
        variance = covariance.diagonal()
        root = torch.where(variance > 1e-10, variance, torch.ones_like(variance)).sqrt().diag()
    return mean, root


def _entries(matrix: Tensor) -> Tensor:
    """The entries below the diagonal, row by row."""
    row, column = torch.tril_indices(matrix.shape[0], matrix.shape[0], -1)
    return matrix[row, column].clone()


class HouseholderTransform(Transform):
    """`repeat` reflections in turn; their vectors are shared, or computed from the context for each row."""

    def __init__(self, size: int, repeat: int, context: int) -> None:
        super().__init__()
        self.size, self.repeat = size, repeat
        start = torch.randn(repeat * size)
        self.amortize = nn.Linear(context, repeat * size) if context else None
        if self.amortize is None:
            self.vectors = nn.Parameter(start)
        else:
            with torch.no_grad():
                self.amortize.bias.copy_(start)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._reflect(x, context, list(range(self.repeat)))

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._reflect(y, context, list(reversed(range(self.repeat))))

    def _reflect(self, value: Tensor, context: Tensor | None, turns: list[int]) -> tuple[Tensor, Tensor]:
        numbers = self.vectors if self.amortize is None else self.amortize(context)
        vectors = numbers.view(*numbers.shape[:-1], self.repeat, self.size)
        flat = as_vectors(value)
        for turn in turns:
            flat = reflect(flat, vectors[..., turn, :])
        return flat.view_as(value), value.new_zeros(value.shape[0])


def reflect(x: Tensor, v: Tensor) -> Tensor:
    """x - 2 v (v.x) / |v|^2 over the last axis; v = 0 leaves x."""
    unit = v / torch.linalg.vector_norm(v, dim=-1, keepdim=True).clamp_min(torch.finfo(v.dtype).tiny ** 0.5)
    image: Tensor = x - 2.0 * unit * (unit * x).sum(-1, keepdim=True)
    return image


def build_actnorm(spec: ActNorm, shape: Shape, context: int, kernels: str) -> ActNormTransform:
    return ActNormTransform(channels(shape))


def build_inv_1x1_conv(spec: Inv1x1Conv, shape: Shape, context: int, kernels: str) -> LUMatrix:
    return LUMatrix(channels(shape), bias=False, rotation=True)


def build_householder(spec: Householder, shape: Shape, context: int, kernels: str) -> HouseholderTransform:
    return HouseholderTransform(numel(shape), spec.repeat, context)
