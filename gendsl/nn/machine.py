"""Restricted Boltzmann machine: free energy, block Gibbs steps, log Z.

    E(v, h) = -b'v - c'h - v'Wh,      F(v) = -b'v - sum_j softplus(c_j + (v'W)_j),
    p(h | v) = sigmoid(c + v'W),      p(v | h) = sigmoid(b + Wh).

log Z is a sum over all states of the smaller layer, or by annealed importance sampling (Salakhutdinov and Murray
2008) through p_t(v) proportional to exp(b'v) prod_j (1 + exp(t (c_j + (v'W)_j))), t from 0 to 1, whose first one
factorises.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gendsl.nn.rows import as_vectors
from gendsl.schema.components.net_energy import Rbm
from gendsl.schema.facts import Inputs, Shape, numel

CHUNK = 1 << 16
RUNS, TEMPERATURES = 512, 2_000
"""Annealed runs, and steps of each."""


class Machine(nn.Module):
    """Binary v [N, *shape] -> F(v) [N]."""

    def __init__(self, shape: Shape, hidden: int, *, exact: bool) -> None:
        super().__init__()
        visible = numel(shape)
        self.shape, self.exact = shape, exact
        self.weight = nn.Parameter(0.01 * torch.randn(visible, hidden))
        self.visible = nn.Parameter(torch.zeros(visible))
        self.hidden = nn.Parameter(torch.zeros(hidden))

    def forward(self, value: Tensor) -> Tensor:
        v = as_vectors(value).to(self.weight.dtype)
        return -v @ self.visible - F.softplus(self.hidden + v @ self.weight).sum(1)

    @torch.no_grad()
    def gibbs(self, start: Tensor, steps: int) -> Tensor:
        """The ends of chains of block Gibbs steps, [N, *shape]."""
        v = as_vectors(start).to(self.weight.dtype)
        for _ in range(steps):
            v = self._step(v, 1.0)
        return v.view(-1, *self.shape)

    def _step(self, v: Tensor, t: float) -> Tensor:
        h = torch.bernoulli(torch.sigmoid(t * (self.hidden + v @ self.weight)))
        return torch.bernoulli(torch.sigmoid(self.visible + t * (h @ self.weight.T)))

    @torch.no_grad()
    def log_normaliser(self) -> Tensor:
        """log Z: exact where the smaller layer is small, else an estimate."""
        return self.summed() if self.exact else self.annealed()

    @torch.no_grad()
    def summed(self) -> Tensor:
        """log of the sum over all states of the smaller layer."""
        few: Tensor = self.hidden
        many: Tensor = self.visible
        weight: Tensor = self.weight
        if len(self.visible) < len(self.hidden):
            few, many, weight = self.visible, self.hidden, self.weight.T
        bits = torch.arange(len(few), device=few.device)
        parts = []
        for first in range(0, 1 << len(few), CHUNK):
            index = torch.arange(first, min(first + CHUNK, 1 << len(few)), device=few.device)
            state = ((index[:, None] >> bits) & 1).to(few.dtype)
            parts.append(torch.logsumexp(state @ few + F.softplus(many + state @ weight.T).sum(1), 0))
        return torch.logsumexp(torch.stack(parts), 0)

    @torch.no_grad()
    def annealed(self) -> Tensor:
        """log of the mean of the annealed importance weights."""
        v = torch.bernoulli(torch.sigmoid(self.visible).expand(RUNS, -1))
        log_w = torch.zeros(RUNS, dtype=v.dtype, device=v.device)
        for i in range(1, TEMPERATURES + 1):
            before, now = (i - 1) / TEMPERATURES, i / TEMPERATURES
            raw = self.hidden + v @ self.weight
            log_w = log_w + (F.softplus(now * raw) - F.softplus(before * raw)).sum(1)
            v = self._step(v, now)
        start = F.softplus(self.visible).sum() + len(self.hidden) * math.log(2)
        return start + torch.logsumexp(log_w, 0) - math.log(RUNS)


def build_rbm(spec: Rbm, inputs: Inputs, target: Shape | None) -> Machine:
    shape = inputs[0].shape
    return Machine(shape, spec.hidden, exact=spec.sums_exactly(numel(shape)))
