"""The normal distribution: with independent entries, or with a full covariance, N(x; loc, L L^T); their divergences.

With q = N(m, L L^T), p = N(n, M M^T) over D entries, A = M^-1 L and d = M^-1 (m - n):
    KL(q || p) = sum_i log M_ii - sum_i log L_ii + (|A|^2 + |d|^2 - D) / 2.
A normal distribution with independent entries has the diagonal L.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.distributions as td
from torch import Tensor
from torch.distributions.kl import register_kl

from gendsl.nn.distributions import NEARBY, Family, LocationScaleFamily, positive
from gendsl.schema.components.dist import Normal
from gendsl.schema.facts import Shape, Support, numel


class FullNormal(td.Distribution):
    """loc [N, *shape] and lower triangular L [N, D, D] with a positive diagonal; log_prob is [N]."""

    has_rsample = True

    def __init__(self, loc: Tensor, tril: Tensor) -> None:
        super().__init__(loc.shape[:1], loc.shape[1:], validate_args=False)
        self.loc, self.tril = loc, tril

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def log_diagonal(self) -> Tensor:
        """sum_i log L_ii, [N]."""
        total: Tensor = self.tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return total

    def whitened(self, value: Tensor) -> Tensor:
        """L^-1 (value - loc), [N, D]."""
        off = (value - self.loc).reshape(*self.tril.shape[:-1], 1)
        found: Tensor = torch.linalg.solve_triangular(self.tril, off, upper=False)
        return found[..., 0]

    def log_prob(self, value: Tensor) -> Tensor:
        y = self.whitened(value)
        return -0.5 * (y.square().sum(-1) + y.shape[-1] * math.log(2 * math.pi)) - self.log_diagonal

    def rsample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Tensor:
        """One draw, [N, *shape]."""
        noise = torch.randn(*self.tril.shape[:-1], 1, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + (self.tril @ noise).view_as(self.loc)


class FullNormalFamily(Family):
    """Raw [N, D + D (D + 1) / 2]: loc, the diagonal of L, what is below it row by row."""

    joint = True

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, self.size = shape, numel(shape)

    def forward(self, raw: Tensor, temperature: float = 1.0) -> FullNormal:
        size = self.size
        tril = torch.diag_embed(positive(raw[:, size : 2 * size]))
        row, column = torch.tril_indices(size, size, -1, device=raw.device)
        tril = tril.index_put(
            (torch.arange(len(raw), device=raw.device)[:, None], row, column), raw[:, 2 * size :]
        )
        return FullNormal(raw[:, :size].view(-1, *self.shape), tril * temperature)

    def apart(self, noise: Tensor) -> Tensor:
        """Locations apart, covariances I: a random L of many entries has a far larger one."""
        return torch.cat([noise[:, : self.size], torch.zeros_like(noise[:, self.size :])], 1)

    def around(self, raw: Tensor, value: Tensor) -> Tensor:
        """Locations near the values, covariances I."""
        near = value.reshape(len(value), -1) + NEARBY * raw[:, : self.size]
        return torch.cat([near, torch.zeros_like(raw[:, self.size :])], 1)

    def marginal(self, raw: Tensor, value: Tensor) -> Tensor:
        found = self.forward(raw)
        scale = found.tril.norm(dim=-1).view_as(found.loc)
        y = (value - found.loc) / scale
        log_p: Tensor = -0.5 * (y.square() + math.log(2 * math.pi)) - scale.log()
        return log_p


def _full(normal: td.Normal | FullNormal) -> FullNormal:
    """A normal with independent entries [N, *shape] as one with a matrix."""
    if isinstance(normal, FullNormal):
        return normal
    scale = normal.scale.expand_as(normal.loc)
    return FullNormal(normal.loc, torch.diag_embed(scale.reshape(len(scale), -1)))


def divergence(q: td.Normal | FullNormal, p: td.Normal | FullNormal) -> Tensor:
    """KL(q || p), [N]."""
    a, b = _full(q), _full(p)
    square: Tensor = torch.linalg.solve_triangular(b.tril, a.tril, upper=False).square().sum((-2, -1))
    distance = b.whitened(a.loc).square().sum(-1)
    return b.log_diagonal - a.log_diagonal + 0.5 * (square + distance - a.tril.shape[-1])


for pair in ((FullNormal, FullNormal), (td.Normal, FullNormal), (FullNormal, td.Normal)):
    register_kl(*pair)(divergence)  # type: ignore[no-untyped-call]  # torch gives it no types


def build_normal(spec: Normal, shape: Shape, support: Support) -> Family:
    if spec.scale == "full":
        return FullNormalFamily(shape)
    return LocationScaleFamily(spec, shape, lambda loc, scale: td.Normal(loc, scale, validate_args=False))
