"""Continuous flow: dx/dt = f(x, t; context), d log |det| / dt = tr df/dx (Chen et al. 2018; Grathwohl et al. 2019).

f is an mlp with tanh in which every layer also reads the time. Its Jacobian is the product of the weights and
the slopes 1 - tanh^2, written out: the trace is exact, or v^T J v with one draw of random signs v for the whole
path (Hutchinson).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from gendsl.nn.rows import as_vectors
from gendsl.nn.transforms.stack import Transform
from gendsl.schema.components.flow_iterative import Continuous
from gendsl.schema.facts import Shape, numel

State = tuple[Tensor, Tensor]
"""x [N, D] and log |det| so far [N]."""
Velocity = Callable[[Tensor, State], State]


class Field(nn.Module):
    """f(x, t; context) and the trace of its Jacobian."""

    def __init__(self, spec: Continuous, size: int, context: int) -> None:
        super().__init__()
        widths = spec.widths((size,))
        self.layers = nn.ModuleList(nn.Linear(i + 1, o) for i, o in pairwise(widths))
        self.context = nn.Linear(context, widths[1], bias=False) if context else None
        with torch.no_grad():
            for parameter in self.layers[-1].parameters():
                parameter.mul_(0.01)

    def forward(self, t: Tensor, x: Tensor, context: Tensor | None, signs: Tensor | None) -> State:
        """(dx/dt, trace); `signs` [N, D] of an estimate, None for the exact one."""
        dense = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        slopes: list[Tensor] = []
        for i, layer in enumerate(dense):
            x = layer(torch.cat([x, t.expand(x.shape[0], 1)], 1))
            if i == 0 and self.context is not None:
                x = x + self.context(context)
            if i + 1 < len(dense):
                x = torch.tanh(x)
                slopes.append(1 - x * x)
        weights = [layer.weight[:, :-1] for layer in dense]
        if signs is None:
            product = slopes[0][..., None] * weights[0]  # [N, H, D]
            for slope, weight in zip(slopes[1:], weights[1:-1], strict=True):
                product = slope[..., None] * (weight @ product)
            return x, torch.einsum("dh,nhd->n", weights[-1], product)
        v = signs
        for slope, weight in zip(slopes, weights, strict=False):
            v = (v @ weight.mT) * slope
        return x, ((v @ weights[-1].mT) * signs).sum(1)


class ContinuousFlow(Transform):
    """The flow of one field; both directions integrate the same equation."""

    def __init__(self, spec: Continuous, shape: Shape, context: int) -> None:
        super().__init__()
        self.spec, self.estimated = spec, spec.estimated(shape)
        self.field = Field(spec, numel(shape), context)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._integrate(x, context, 0.0, self.spec.time)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._integrate(y, context, self.spec.time, 0.0)

    def _integrate(
        self, x: Tensor, context: Tensor | None, start: float, end: float
    ) -> tuple[Tensor, Tensor]:
        flat = as_vectors(x)
        signs = torch.randint_like(flat, 2) * 2 - 1 if self.estimated else None

        def velocity(t: Tensor, state: State) -> State:
            moved: State = self.field(t, state[0], context, signs)
            return moved

        times = torch.linspace(start, end, self.spec.steps + 1, dtype=x.dtype, device=x.device)
        begin = (flat, flat.new_zeros(flat.shape[0]))
        if self.spec.solver == "rk4":
            y, log_det = runge_kutta(velocity, begin, times)
        else:
            y, log_det = adaptive(velocity, begin, times[[0, -1]], self.spec.tolerance)
        return y.view_as(x), log_det


def runge_kutta(velocity: Velocity, state: State, times: Tensor) -> State:
    """The classical method of fourth order, one step from each time to the next."""
    for now, after in pairwise(times):
        step = after - now
        one = velocity(now, state)
        two = velocity(now + step / 2, _along(state, one, step / 2))
        three = velocity(now + step / 2, _along(state, two, step / 2))
        four = velocity(after, _along(state, three, step))
        mean = [(a + 2 * b + 2 * c + d) / 6 for a, b, c, d in zip(one, two, three, four, strict=True)]
        state = _along(state, (mean[0], mean[1]), step)
    return state


def _along(state: State, velocity: State, step: Tensor) -> State:
    return state[0] + step * velocity[0], state[1] + step * velocity[1]


def adaptive(velocity: Velocity, state: State, times: Tensor, tolerance: float) -> State:
    """torchdiffeq's dopri5; gradients go through the steps that it takes."""
    odeint = importlib.import_module("torchdiffeq").odeint
    x, log_det = odeint(velocity, state, times, rtol=tolerance, atol=tolerance, method="dopri5")
    return x[-1], log_det[-1]


def build_continuous(spec: Continuous, shape: Shape, context: int, kernels: str) -> ContinuousFlow:
    return ContinuousFlow(spec, shape, context)
