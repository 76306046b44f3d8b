"""Langevin chains: x <- x - (eps/2) grad U(x) + sqrt(eps T) noise, reflected at the ends of the support.

Without reflection their stationary law is exp(-U/T) up to an error of order eps (Roberts and Tweedie 1996): for
U = x^2 / (2 s^2) the variance is T s^2 / (1 - eps / (4 s^2)).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from gendsl.schema.components.negatives import Negatives
from gendsl.schema.facts import Support

Potential = Callable[[Tensor], Tensor]
"""Values [N, *shape] -> U [N], or a constant less."""


class Moves(Protocol):
    """How a chain moves."""

    @property
    def steps(self) -> int: ...
    @property
    def step_size(self) -> float: ...
    @property
    def temperature(self) -> float: ...


def spec_of(spec: Negatives) -> Negatives:
    """Chains are their own facts: steps, step size, temperature."""
    return spec


def langevin(potential: Potential, start: Tensor, spec: Moves, support: Support) -> Tensor:
    """The ends of chains of `spec.steps` steps, without gradients; [N, *shape]."""
    x, eps = start.detach(), spec.step_size
    for _ in range(spec.steps):
        x = x - 0.5 * eps * slope(potential, x) + math.sqrt(eps * spec.temperature) * torch.randn_like(x)
        x = reflected(x, support)
    return x


def slope(potential: Potential, x: Tensor) -> Tensor:
    """grad U at each row, cut."""
    with torch.enable_grad():
        at = x.detach().requires_grad_(True)
        (found,) = torch.autograd.grad(potential(at).sum(), at)
    return found


def reflected(x: Tensor, support: Support) -> Tensor:
    """Folded back into the support at its ends, as a path that bounces off them."""
    low, high = support.low, support.high
    if math.isinf(low) and math.isinf(high):
        return x
    if math.isinf(high):
        return low + (x - low).abs()
    if math.isinf(low):
        return high - (high - x).abs()
    width = high - low
    return low + width - (torch.remainder(x - low, 2 * width) - width).abs()
