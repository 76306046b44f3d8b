"""The optimisers of the players, with clipping and schedules, and the average of the parameters.

    g <- g min(1, clip / |g|)                  |g| the norm over all parameters of the player
    theta <- update(theta, g; lr factor(t, T)) the rule of `torch.optim`, fused where the device has it
    avg <- avg + (1 - d_t) (theta - avg)       d_t = min(decay, (1 + t) / (10 + t))

All state is made at the start and saved as tensors, so a checkpoint's list of tensors follows from the model
alone, and an optimiser that was restored goes on bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd
from torch.optim.swa_utils import get_ema_multi_avg_fn

from gendsl.errors import RunError
from gendsl.schema.components.optim import SGD, Adam, AdamW, OptimSpec, RMSprop, Schedule
from gendsl.schema.registry import builder

Tensors = list[Tensor]


@dataclass(frozen=True)
class Rule:
    """An update by torch's functional optimisers, which touch nothing but the tensors they are given.

    `slots` name the tensors that each parameter has, of its own shape; `counter` says that it counts its steps;
    `update` takes parameters, gradients, the tensors of each slot, the counters, and the learning rate.
    """

    slots: tuple[str, ...]
    counter: bool
    fused: bool
    update: Callable[[Tensors, Tensors, list[Tensors], Tensors, float], None]


def build_schedule(spec: Schedule, total_steps: int) -> Callable[[int], float]:
    """The factor on the learning rate as a function of the step."""
    return lambda step: spec.factor(step, total_steps)


def build_adam(spec: Adam, parameters: Sequence[Tensor]) -> Rule:
    """Adam (Kingma & Ba 2015)."""
    return _adam(spec, adam, can_fuse(parameters))


def build_adamw(spec: AdamW, parameters: Sequence[Tensor]) -> Rule:
    """Adam with the decay of the weights apart from the gradient (Loshchilov & Hutter 2019)."""
    return _adam(spec, adamw, can_fuse(parameters))


def _adam(spec: Adam | AdamW, function: Callable[..., None], fused: bool) -> Rule:
    def update(
        parameters: Tensors, gradients: Tensors, slots: list[Tensors], counters: Tensors, lr: float
    ) -> None:
        function(
            parameters,
            gradients,
            *slots,
            [],
            counters,
            fused=fused,
            amsgrad=False,
            beta1=spec.betas[0],
            beta2=spec.betas[1],
            lr=lr,
            weight_decay=spec.weight_decay,
            eps=spec.eps,
            maximize=False,
        )

    return Rule(("exp_avg", "exp_avg_sq"), True, fused, update)


def build_sgd(spec: SGD, parameters: Sequence[Tensor]) -> Rule:
    """Stochastic gradient descent, with momentum where it has one."""
    fused = can_fuse(parameters)

    def update(
        parameters: Tensors, gradients: Tensors, slots: list[Tensors], counters: Tensors, lr: float
    ) -> None:
        sgd(
            parameters,
            gradients,
            list(slots[0]) if slots else [None] * len(parameters),
            fused=fused,
            weight_decay=spec.weight_decay,
            momentum=spec.momentum,
            lr=lr,
            dampening=0.0,
            nesterov=spec.nesterov,
            maximize=False,
        )

    return Rule(("momentum_buffer",) if spec.momentum else (), False, fused, update)


def build_rmsprop(spec: RMSprop, parameters: Sequence[Tensor]) -> Rule:
    """RMSprop (Tieleman & Hinton 2012)."""

    def update(
        parameters: Tensors, gradients: Tensors, slots: list[Tensors], counters: Tensors, lr: float
    ) -> None:
        rmsprop(
            parameters,
            gradients,
            slots[0],
            [],
            slots[1] if spec.momentum else [],
            counters,
            lr=lr,
            alpha=spec.alpha,
            eps=spec.eps,
            weight_decay=spec.weight_decay,
            momentum=spec.momentum,
            centered=False,
        )

    return Rule(("square_avg", "momentum_buffer") if spec.momentum else ("square_avg",), True, False, update)


def can_fuse(parameters: Sequence[Tensor]) -> bool:
    """Whether torch has a fused update for these (five times as fast): dense floats on CPU or CUDA."""
    return all(
        p.is_floating_point()
        and p.device.type in ("cpu", "cuda")
        and torch.empty_like(p).stride() == p.stride()
        for p in parameters
    )


class Optimiser:
    """The optimiser of one player: clipping, the schedule, and state that can be saved.

    Args:
        named: the player's parameters by name, each once.
        spec: which optimiser.
        total_steps: T, the number of steps that the schedule is stretched over.

    Raises ValueError where there is no parameter or one appears twice.
    """

    def __init__(self, named: Iterable[tuple[str, nn.Parameter]], spec: OptimSpec, total_steps: int) -> None:
        self.named = dict(named)
        self.spec = spec
        self.parameters = list(self.named.values())
        if not self.parameters or len({id(p) for p in self.parameters}) < len(self.parameters):
            raise ValueError("an optimiser needs at least one parameter, and each of them once")
        self._rule: Rule = builder(spec)(spec, self.parameters)
        self._slots = {
            name: [torch.zeros_like(p, memory_format=torch.preserve_format) for p in self.parameters]
            for name in self._rule.slots
        }
        self._counters = [self._counter(p) for p in self.parameters] if self._rule.counter else []
        self._factor = build_schedule(spec.schedule, total_steps)

    def _counter(self, parameter: Tensor) -> Tensor:
        return torch.zeros((), dtype=torch.float32, device=parameter.device if self._rule.fused else "cpu")

    def step(
        self, step: int, gradients: Sequence[Tensor | None] | None = None, skip_bad: bool = False
    ) -> Tensor:
        """Take one step; returns the norm of the gradient before clipping, a 0-dimensional tensor.

        Args:
            step: the number of the step, from 0, for the schedule.
            gradients: one for each parameter, in order, None where it has none; they are used up (clipping
                scales them in place). Without it the parameters' `.grad` are used. Either way `.grad` is None
                afterwards.
            skip_bad: leave parameters and state alone if the norm is NaN or infinite; costs one wait for the
                device.
        """
        given = [p.grad for p in self.parameters] if gradients is None else gradients
        used = [i for i, gradient in enumerate(given) if gradient is not None]
        present = [_laid_out_as(self.parameters[i], cast(Tensor, given[i]).detach()) for i in used]
        norm = get_total_norm(present) if present else torch.zeros(())
        if present and not (skip_bad and not bool(torch.isfinite(norm))):
            if self.spec.clip is not None:
                scale = torch.clamp(self.spec.clip / (norm + 1e-6), max=1.0)
                torch._foreach_mul_(present, scale)
            self._update(used, present, self.learning_rate(step))
        for parameter in self.parameters:
            parameter.grad = None
        return norm

    @torch.no_grad()
    def _update(self, used: list[int], gradients: Tensors, lr: float) -> None:
        slots = [[tensors[i] for i in used] for tensors in self._slots.values()]
        counters = [self._counters[i] for i in used] if self._counters else []
        self._rule.update([self.parameters[i] for i in used], gradients, slots, counters, lr)

    def learning_rate(self, step: int) -> float:
        """The learning rate of step number `step`."""
        return self.spec.lr * self._factor(step)

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """The state by name, `PREFIX/PARAMETER/WHAT`: the live tensors, not copies."""
        found = {}
        for i, name in enumerate(self.named):
            for slot, tensors in self._slots.items():
                found[f"{prefix}/{name}/{slot}"] = tensors[i]
            if self._counters:
                found[f"{prefix}/{name}/step"] = self._counters[i]
        return found

    def restore(self, prefix: str, tensors: Mapping[str, Tensor]) -> None:
        """Take over the state that `tensors(prefix)` gave; raises RunError where they differ in kind."""
        _take_over(self.tensors(prefix), prefix, tensors)


class Average:
    """An exponential moving average of parameters (Polyak & Juditsky 1992; Tarvainen & Valpola 2017).

    The decay climbs to its value as (1 + t) / (10 + t), t the number of updates so far, so that the first
    values are soon forgotten. Buffers are not averaged.

    Args:
        named: the parameters by name, as `model.named_parameters()` gives them.
        decay: in [0, 1).
    """

    def __init__(self, named: Iterable[tuple[str, nn.Parameter]], decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"the decay of an average is in [0, 1), not {decay}")
        self.named = dict(named)
        self.decay = decay
        self.values = {name: parameter.detach().clone() for name, parameter in self.named.items()}
        self._updates = torch.zeros((), dtype=torch.int64)

    def update(self) -> None:
        """Move the average towards the parameters as they are now."""
        t = int(self._updates)
        move = get_ema_multi_avg_fn(min(self.decay, (1 + t) / (10 + t)))  # type: ignore[no-untyped-call]
        move(list(self.values.values()), [p.detach() for p in self.named.values()], None)
        self._updates += 1

    @contextmanager
    def swapped(self, model: nn.Module) -> Iterator[None]:
        """Inside the block `model` has the averaged parameters; its own come back, also after an error."""
        pairs = [(p, self.values[name]) for name, p in model.named_parameters() if name in self.values]
        own = [parameter.detach().clone() for parameter, _ in pairs]
        try:
            with torch.no_grad():
                for parameter, value in pairs:
                    parameter.copy_(value)
            yield
        finally:
            with torch.no_grad():
                for (parameter, _), value in zip(pairs, own, strict=True):
                    parameter.copy_(value)

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """The average and its number of updates, `PREFIX/PARAMETER` and `PREFIX/updates/count`."""
        return {f"{prefix}/{name}": v for name, v in self.values.items()} | {
            f"{prefix}/updates/count": self._updates
        }

    def restore(self, prefix: str, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors(prefix)` gave; raises RunError where they differ in kind."""
        _take_over(self.tensors(prefix), prefix, tensors)


def _laid_out_as(parameter: Tensor, gradient: Tensor) -> Tensor:
    """The gradient with the parameter's strides. Fused updates walk through both memories side by side and do
    not look at strides: those of a transposed gradient would be wrong, of an expanded one out of bounds.
    """
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


def _take_over(own: Mapping[str, Tensor], prefix: str, tensors: Mapping[str, Tensor]) -> None:
    given = {name: tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}/")}
    wrong = sorted(own.keys() ^ given.keys()) or sorted(
        n for n in own if (own[n].shape, own[n].dtype) != (given[n].shape, given[n].dtype)
    )
    if wrong:
        raise RunError(
            f"the saved state does not fit this model: {', '.join(wrong[:3])} ({len(wrong)} in all)"
        )
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(given[name])
