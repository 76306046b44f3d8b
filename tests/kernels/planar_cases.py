"""Inputs of the planar stack that tests share, and how two results are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Stack = Callable[..., tuple[Tensor, Tensor]]
Inputs = tuple[Tensor, Tensor, Tensor, Tensor]

SIZES = ((1, 1, 1), (3, 2, 17), (17, 5, 3), (65, 3, 1), (17, 16, 16))  # (B, K, D)
LAYOUTS = ("shared", "per_sample")


def inputs(B: int, K: int, D: int, layout: str, dtype: torch.dtype = torch.float64, seed: int = 0) -> Inputs:
    """z, u, w, b of leaves that want a gradient; no layer is near the identity."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    rows = () if layout == "shared" else (B,)
    z, u, w, b = draw(B, D), draw(*rows, K, D), draw(*rows, K, D), draw(*rows, K)
    u, w = u / D**0.5, w / D**0.5
    inner = (u * w).sum(-1, keepdim=True)
    wanted = 0.6 + inner.abs()  # of u . w; every third layer contracts instead
    wanted[..., 2::3, :] = -0.7
    u = u + (wanted - inner) * w / (w * w).sum(-1, keepdim=True)
    return tuple(x.to(dtype).requires_grad_() for x in (z, u, w, b))


def gradients(stack: Stack, values: Sequence[Tensor], seed: int = 1) -> list[Tensor]:
    """Output, log-determinant, and the gradients on z, u, w, b of a drawn linear function of both."""
    out, log_det = stack(*values)
    generator = torch.Generator().manual_seed(seed)
    weights = [
        torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.dtype) for x in (out, log_det)
    ]
    found = torch.autograd.grad((out, log_det), list(values), weights)
    return [x.detach() for x in (out, log_det, *found)]


def in_float64(values: Sequence[Tensor]) -> list[Tensor]:
    return [x.detach().double().requires_grad_() for x in values]


def error(found: Tensor, expected: Tensor) -> float:
    """The norm of the difference over the norm of what is expected; 1 if all of `found` is 0."""
    assert found.shape == expected.shape
    difference = (found.detach().double() - expected.detach().double()).norm()
    return float(difference / expected.detach().double().norm().clamp_min(1e-30))


def close(found: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float) -> None:
    names = ("out", "log_det", "grad z", "grad u", "grad w", "grad b")
    assert len(found) == len(expected)
    for name, x, y in zip(names, found, expected, strict=False):
        assert error(x, y) <= tolerance, f"{name}: relative error {error(x, y):.2e} over {tolerance:.0e}"
