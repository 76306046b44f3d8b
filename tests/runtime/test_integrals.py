"""Integrals over a plane of densities that are known to be normalised, however sharp."""

from __future__ import annotations

import math

import pytest
import torch
import torch.distributions as td
from torch import Tensor

from gendsl.runtime.verify.densities import BOUND, DRAWS, POWER
from gendsl.runtime.verify.integrals import integral
from gendsl.schema.facts import Support


def ring(width: float) -> tuple[Tensor, td.Laplace]:
    """Draws [DRAWS, 1, 2] about a circle, and the distribution of their radii."""
    torch.manual_seed(0)
    radius = td.Laplace(torch.tensor(1.0, dtype=torch.float64), width)
    angle = 2 * math.pi * torch.rand(DRAWS, dtype=torch.float64)
    directions = torch.stack([angle.cos(), angle.sin()], -1)
    return (radius.sample((DRAWS, 1)) * directions)[:, None], radius


@pytest.mark.parametrize("width", [0.1, 0.03, 0.01, 0.005])
@pytest.mark.parametrize("factor", [1.0, 1 + POWER])
def test_a_thin_ring(width: float, factor: float) -> None:
    draws, radius = ring(width)

    def log_prob(x: Tensor) -> Tensor:
        r = x.norm(dim=-1)
        return radius.log_prob(r) - torch.log(2 * math.pi * r) + math.log(factor)

    total = integral(log_prob, draws, (2,), Support(), grid=True)
    assert abs(float(total) - factor) < 0.2 * BOUND
