"""Optimisers, and the schedules of their learning rates.

The learning rate of step t = 0, 1, ... of T is lr * factor(t, T): over the first `warmup` steps the factor
climbs as (t + 1) / warmup, so that no step is wasted at zero; after that it is `after(s, u)`, with s = t -
warmup steps gone and u = s / (T - warmup) the part of the way behind, in [0, 1].
"""

import math
from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gendsl.schema.fields import NonNegative, Positive
from gendsl.schema.registry import Component, Slot, component

Decay = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Part = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class Schedule(Component):
    """A factor on the learning rate as a function of the step."""

    warmup: Annotated[int, Field(ge=0)] = 0
    """Steps over which the factor climbs from near 0 to 1."""

    def factor(self, step: int, total: int) -> float:
        """The factor of step `step` = 0, 1, ... of `total`; beyond `total` it stays as at the end."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        gone = step - self.warmup
        return self.after(gone, min(1.0, gone / max(1, total - self.warmup)))

    @abstractmethod
    def after(self, gone: int, part: float) -> float:
        """The factor `gone` steps after the warm-up, with `part` of the remaining way behind."""


@component("schedule", "constant", build="gendsl.runtime.optimisers:build_schedule")
class Constant(Schedule):
    """The same learning rate throughout."""

    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"warmup": 10})

    def after(self, gone: int, part: float) -> float:
        return 1.0


@component("schedule", "cosine", build="gendsl.runtime.optimisers:build_schedule")
class Cosine(Schedule):
    """Falls along half a cosine to `floor` (Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5)."""

    floor: Part = 0.0
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"warmup": 10, "floor": 0.1})

    def after(self, gone: int, part: float) -> float:
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * part))


@component("schedule", "linear", build="gendsl.runtime.optimisers:build_schedule")
class Linear(Schedule):
    """Falls in a straight line to `floor`."""

    floor: Part = 0.0
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"warmup": 10, "floor": 0.1})

    def after(self, gone: int, part: float) -> float:
        return 1 - (1 - self.floor) * part


@component("schedule", "step", build="gendsl.runtime.optimisers:build_schedule")
class Step(Schedule):
    """Multiplied by `gamma` after every `every` steps."""

    every: Annotated[int, Field(ge=1)]
    gamma: Rate = 0.1
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({"every": 5}, {"every": 3, "gamma": 0.5, "warmup": 4})

    def after(self, gone: int, part: float) -> float:
        return float(self.gamma ** (gone // self.every))


@component("schedule", "exponential", build="gendsl.runtime.optimisers:build_schedule")
class Exponential(Schedule):
    """Falls by the same ratio in every step, to `floor` at the end."""

    floor: Rate = 0.01
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"warmup": 10, "floor": 0.1})

    def after(self, gone: int, part: float) -> float:
        return float(self.floor**part)


@component("schedule", "inverse_sqrt", build="gendsl.runtime.optimisers:build_schedule")
class InverseSqrt(Schedule):
    """Falls as 1 / sqrt(step) once warmed up (Vaswani et al. 2017, arXiv:1706.03762, eq. 3)."""

    warmup: Annotated[int, Field(ge=1)] = 100
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"warmup": 10})

    def after(self, gone: int, part: float) -> float:
        return math.sqrt(self.warmup / (self.warmup + gone))


class OptimSpec(Component):
    """What every optimiser has: a learning rate with a schedule, weight decay, clipping of the gradient.

    `clip` bounds the Euclidean norm of the gradient of all of a player's parameters together (Pascanu et al.
    2013). Weight decay applies to every parameter.
    """

    lr: Positive = 1e-3
    weight_decay: NonNegative = 0.0
    clip: Positive | None = None
    schedule: Annotated[Schedule, Slot("schedule")] = Constant()

    @abstractmethod
    def state_copies(self) -> int:
        """How many numbers of state it keeps for each parameter."""


@component("optim", "adam", build="gendsl.runtime.optimisers:build_adam")
class Adam(OptimSpec):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1); weight decay as an L2 term of the gradient."""

    betas: Annotated[tuple[Decay, Decay], Field(strict=False)] = (0.9, 0.999)
    eps: Positive = 1e-8
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {
            "lr": 1e-2,
            "betas": [0, 0.9],
            "clip": 1.0,
            "weight_decay": 1e-2,
            "schedule": {"type": "cosine", "warmup": 2},
        },
    )

    def state_copies(self) -> int:
        return 2


@component("optim", "adamw", build="gendsl.runtime.optimisers:build_adamw")
class AdamW(OptimSpec):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2)."""

    weight_decay: NonNegative = 1e-2
    betas: Annotated[tuple[Decay, Decay], Field(strict=False)] = (0.9, 0.999)
    eps: Positive = 1e-8
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"lr": 1e-2, "clip": 0.1, "schedule": "linear"})

    def state_copies(self) -> int:
        return 2


@component("optim", "sgd", build="gendsl.runtime.optimisers:build_sgd")
class SGD(OptimSpec):
    """Gradient descent, with momentum where asked for (Sutskever et al. 2013, in PyTorch's form)."""

    lr: Positive = 1e-2
    momentum: Decay = 0.0
    nesterov: bool = False
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"momentum": 0.9, "weight_decay": 1e-2},
        {"momentum": 0.9, "nesterov": True, "clip": 0.5, "schedule": {"type": "step", "every": 3}},
    )

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise PydanticCustomError("nesterov", "nesterov needs a momentum above 0")
        return self

    def state_copies(self) -> int:
        return 1 if self.momentum else 0


@component("optim", "rmsprop", build="gendsl.runtime.optimisers:build_rmsprop")
class RMSprop(OptimSpec):
    """RMSprop (Tieleman & Hinton 2012, lecture 6.5), the optimiser of the original Wasserstein GAN."""

    alpha: Decay = 0.99
    eps: Positive = 1e-8
    momentum: Decay = 0.0
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"lr": 5e-5, "momentum": 0.9, "clip": 1.0})

    def state_copies(self) -> int:
        return 2 if self.momentum else 1
