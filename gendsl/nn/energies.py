"""Energies: a variable's value [N, *shape] -> E [N]. Fixed formulas, and networks with one output, which may read
conditions too.

Rezende and Mohamed 2015, table 1, with w1 = sin(pi z1 / 2), w2 = 3 exp(-1/2 ((z1 - 1)/0.6)^2),
w3 = 3 sigmoid((z1 - 1)/0.3); U2 to U4 get a wall at |z1| = 4, because exp(-U) has no finite integral without one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gendsl.nn.machine import Machine
from gendsl.nn.rows import as_vectors
from gendsl.nn.transforms.stack import widened
from gendsl.schema.components.energy import U1, U2, U3, U4

WALL, SLOPE = 4.0, 0.1


class Ring(nn.Module):
    """U1."""

    def forward(self, z: Tensor) -> Tensor:
        radius = z.norm(dim=1)
        right, left = _well(z[:, 0] - 2, 0.6), _well(z[:, 0] + 2, 0.6)
        return -_well(radius - 2, 0.4) - torch.logaddexp(right, left)


class Waves(nn.Module):
    """U2, U3 and U4: -log of a sum of wells around curves z2 = f(z1), and a wall at both ends of z1."""

    def __init__(self, kind: int) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, z: Tensor) -> Tensor:
        first, second = z[:, 0], z[:, 1]
        away = second - torch.sin(math.pi * first / 2)
        wall = -_well(F.relu(first.abs() - WALL), SLOPE)
        if self.kind == 2:
            return wall - _well(away, 0.4)
        if self.kind == 3:
            other = away + 3 * torch.exp(_well(first - 1, 0.6))
            return wall - torch.logaddexp(_well(away, 0.35), _well(other, 0.35))
        other = away + 3 * torch.sigmoid((first - 1) / 0.3)
        return wall - torch.logaddexp(_well(away, 0.4), _well(other, 0.35))


def _well(x: Tensor, width: float) -> Tensor:
    return -0.5 * (x / width).square()


class NetEnergy(nn.Module):
    """A network's features through one linear layer; its constant shifts log Z."""

    def __init__(self, name: str, body: nn.Module, features: int) -> None:
        super().__init__()
        self.body, self.head, self.name = body, nn.Linear(features, 1), name

    def forward(self, value: Tensor, given: Mapping[str, Tensor] = MappingProxyType({})) -> Tensor:
        return widened(self.head(as_vectors(self.body({self.name: value, **given}))).squeeze(1))


class EnergyModule(nn.Module):
    """E of a variable, and the chains [C, *shape] that go on between training steps (none if C is 0).

    The chains, and beside each what its density is given, are part of the state that a checkpoint holds; `started`
    says whether they have been filled. `parents`: what E reads beside the variable. `given`: every condition of the
    density, with its shape and dtype.
    """

    chains: Tensor
    started: Tensor

    def __init__(
        self,
        energy: nn.Module,
        shape: tuple[int, ...],
        chains: int,
        parents: tuple[str, ...] = (),
        given: Mapping[str, tuple[tuple[int, ...], torch.dtype]] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.energy, self.parents, self.conditions = energy, parents, tuple(given)
        self.known: tuple[tuple[object, ...], dict[tuple[float, ...], Tensor]] | None = None
        """log Z for each value of the conditions, with the versions of the parameters that it was computed at."""
        if chains:
            self.register_buffer("chains", torch.zeros(chains, *shape))
            self.register_buffer("started", torch.zeros((), dtype=torch.int64))
            for name, (of, dtype) in given.items():
                self.register_buffer(f"chains_{name}", torch.zeros(chains, *of, dtype=dtype))

    @property
    def keeps(self) -> bool:
        """Whether chains go on between training steps."""
        return "chains" in self._buffers

    @property
    def machine(self) -> Machine:
        """The restricted Boltzmann machine that the energy is. Raises TypeError where it is none."""
        if not isinstance(self.energy, Machine):
            raise TypeError("this energy is no restricted Boltzmann machine")
        return self.energy

    def kept(self, rows: Tensor | slice) -> tuple[Tensor, dict[str, Tensor]]:
        """Some of the chains, and what each is given."""
        return self.chains[rows], {n: self.get_buffer(f"chains_{n}")[rows] for n in self.conditions}

    def keep(self, rows: Tensor | slice, chains: Tensor, given: Mapping[str, Tensor]) -> None:
        """Puts chains, and what each is given, in the place of some."""
        self.chains[rows] = chains.to(self.chains.dtype)
        for name in self.conditions:
            buffer = self.get_buffer(f"chains_{name}")
            buffer[rows] = given[name].to(buffer.dtype)

    def forward(self, value: Tensor, given: Mapping[str, Tensor] = MappingProxyType({})) -> Tensor:
        beside = ({n: given[n] for n in self.parents},) if self.parents else ()
        energy: Tensor = self.energy(value, *beside)
        return energy


def build_u1(spec: U1) -> nn.Module:
    return Ring()


def build_u2(spec: U2) -> nn.Module:
    return Waves(2)


def build_u3(spec: U3) -> nn.Module:
    return Waves(3)


def build_u4(spec: U4) -> nn.Module:
    return Waves(4)
