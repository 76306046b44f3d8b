"""Residual flow: base = x + g(x), Lip(g) < 1 (Behrmann et al. 2019, theorem 1; Chen et al. 2019).

g is an mlp with LipSwish a(t) = t s(b t) / 1.1, whose slope is at most 1, and weights W min(1, c / |W|_2), so that
Lip(g) <= c^layers. Its Jacobian is the product of the weights and the slopes, written out. Then

    log |det (I + J)| = sum_k (-1)^(k+1) tr(J^k) / k,

computed exactly from J, or estimated without bias with v ~ N(0, I) and n terms, P(n >= k) = p_k:
    sum_{k <= n} (-1)^(k+1) v^T J^k v / (k p_k).

The other direction iterates x <- base - g(x); gradients pass through the fixed point by the implicit function
theorem, v = grad - J^T v.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gendsl.nn.rows import as_vectors
from gendsl.nn.transforms.stack import Stack, Transform
from gendsl.schema.components.flow_iterative import Residual
from gendsl.schema.facts import Shape, numel

SLOPE = 1.1
"""Above the largest slope of t s(t), 1.0998..."""
SHARPNESS = math.log(math.expm1(0.5))
"""softplus of this is 1/2, where Chen et al. begin."""
GOES_ON = 0.5
"""The probability of one more term of the roulette."""
MOST = 2000
"""Iterations at most: 0.99^2000 is below the rounding of float64's half."""


def bounded(weight: Tensor, most: float) -> Tensor:
    """The weight, scaled down to a spectral norm of at most `most`."""
    with torch.no_grad():
        small = weight if weight.shape[0] >= weight.shape[1] else weight.mT
        right = torch.linalg.eigh(small.mT @ small)[1][:, -1]
        left = small @ right
        left = left / left.norm().clamp_min(torch.finfo(weight.dtype).tiny)
    norm = torch.dot(left, small @ right)
    return weight * (most / torch.clamp(norm * (1 + 1e-6), min=most))


class Contraction(nn.Module):
    """g(x; context) with its slopes; `weights` are bounded once for a pass."""

    def __init__(self, spec: Residual, size: int, context: int) -> None:
        super().__init__()
        widths = spec.widths((size,))
        pairs = list(pairwise(widths))
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in pairs)
        self.context = nn.Linear(context, widths[1], bias=False) if context else None
        self.sharpness = nn.Parameter(torch.full((len(spec.hidden),), SHARPNESS))
        self.most = spec.lipschitz ** (1.0 / len(pairs))
        with torch.no_grad():
            self.dense()[-1].weight.mul_(0.1)

    def dense(self) -> list[nn.Linear]:
        """The layers, the weights not yet bounded."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def weights(self) -> list[Tensor]:
        """The bounded weights."""
        return [bounded(layer.weight, self.most) for layer in self.dense()]

    def forward(
        self, x: Tensor, context: Tensor | None, weights: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """(g(x), the slopes of each hidden layer), x [N, D]."""
        slopes = []
        for i, (layer, weight) in enumerate(zip(self.dense(), weights, strict=True)):
            x = F.linear(x, weight, layer.bias)
            if i == 0 and self.context is not None:
                x = x + self.context(context)
            if i + 1 < len(weights):
                sharp = F.softplus(self.sharpness[i])
                gate = torch.sigmoid(sharp * x)
                slopes.append(gate * (1 + sharp * x * (1 - gate)) / SLOPE)
                x = x * gate / SLOPE
        return x, slopes

    def jacobian(self, slopes: list[Tensor], weights: list[Tensor]) -> Tensor:
        """J [N, D, D]."""
        product = weights[0].expand(slopes[0].shape[0], -1, -1)
        for slope, weight in zip(slopes, weights[1:], strict=True):
            product = weight @ (slope[..., None] * product)
        return product


def transposed(v: Tensor, slopes: list[Tensor], weights: list[Tensor]) -> Tensor:
    """J^T v of each row."""
    for slope, weight in zip(reversed(slopes), reversed(weights[1:]), strict=True):
        v = (v @ weight) * slope
    return v @ weights[0]


class ResidualFlow(Transform):
    """One residual layer; `inverse`, from the variable to the base, is the cheap direction."""

    def __init__(self, spec: Residual, shape: Shape, context: int) -> None:
        super().__init__()
        self.estimated, self.terms = spec.estimated(shape), spec.terms
        self.g = Contraction(spec, numel(shape), context)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        weights = self.g.weights()
        flat = as_vectors(y)
        moved, slopes = self.g(flat, context, weights)
        return (flat + moved).view_as(y), self._log_det(slopes, weights)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        weights = self.g.weights()
        base = as_vectors(x)
        with torch.no_grad():
            y = self._solve(base, context, weights)
        if torch.is_grad_enabled():
            y = self._implicit(base, y, context, weights)
        slopes = self.g(y, context, weights)[1]
        return y.view_as(x), -self._log_det(slopes, weights)

    def _solve(self, base: Tensor, context: Tensor | None, weights: list[Tensor]) -> Tensor:
        y, enough = base, torch.finfo(base.dtype).eps
        for _ in range(MOST):
            fresh = base - self.g(y, context, weights)[0]
            done = bool(((fresh - y).abs().amax() <= enough * (1 + fresh.abs().amax())).item())
            y = fresh
            if done:
                break
        return y

    def _implicit(self, base: Tensor, y: Tensor, context: Tensor | None, weights: list[Tensor]) -> Tensor:
        """The fixed point with its gradient: of base - g(y) with y held, and (I + J^T)^-1 in front."""
        moved, slopes = self.g(y, context, weights)
        found: Tensor = base - moved
        if not found.requires_grad:
            return found
        held, kept = [s.detach() for s in slopes], [w.detach() for w in weights]
        enough = torch.finfo(y.dtype).eps

        def through(gradient: Tensor) -> Tensor:
            v = gradient
            for _ in range(MOST):
                fresh = gradient - transposed(v, held, kept)
                done = bool(((fresh - v).abs().amax() <= enough * fresh.abs().amax()).item())
                v = fresh
                if done:
                    break
            return v

        found.register_hook(through)  # type: ignore[no-untyped-call]  # torch gives it no types
        return found

    def _log_det(self, slopes: list[Tensor], weights: list[Tensor]) -> Tensor:
        """log |det (I + J)|, [N]."""
        if not self.estimated:
            jacobian = self.g.jacobian(slopes, weights)
            one = torch.eye(jacobian.shape[-1], dtype=jacobian.dtype, device=jacobian.device)
            log_det: Tensor = torch.linalg.slogdet(one + jacobian)[1]
            return log_det
        rows, size = slopes[0].shape[0], weights[0].shape[1]
        noise = torch.randn(rows, size, dtype=weights[0].dtype, device=weights[0].device)
        extra = int(torch.empty(()).geometric_(1 - GOES_ON)) - 1
        v, total = noise, torch.zeros_like(noise[:, 0])
        for k in range(1, self.terms + extra + 1):
            v = transposed(v, slopes, weights)
            alive = GOES_ON ** max(0, k - self.terms)
            total = total + (-1) ** (k + 1) * (v * noise).sum(1) / (k * alive)
        return total


def build_residual(spec: Residual, shape: Shape, context: int, kernels: str) -> Transform:
    layers = [ResidualFlow(spec, shape, context) for _ in range(spec.repeat)]
    return layers[0] if len(layers) == 1 else Stack(layers, [True] * len(layers))
