"""The optimisers of the players, with clipping and schedules, and the average of the parameters.

    g <- g min(1, clip / |g|)                  |g| the norm over all parameters of the player
    theta <- update(theta, g; lr factor(t, T)) the rule of `torch.optim`, fused where the device has it
    avg <- avg + (1 - d_t) (theta - avg)       d_t = min(decay, (1 + t) / (10 + t))

All state is made at the start and saved as tensors, so a checkpoint's list of tensors follows from the model
alone, and an optimiser that was restored goes on bit for bit.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim.swa_utils import get_ema_multi_avg_fn

from gendsl.errors import RunError
from gendsl.schema.components.optim import SGD, Adam, AdamW, OptimSpec, RMSprop, Schedule

Builder = Callable[[OptimSpec, list[nn.Parameter]], torch.optim.Optimizer]


def build_schedule(spec: Schedule, total_steps: int) -> Callable[[int], float]:
    """The factor on the learning rate as a function of the step."""
    return lambda step: spec.factor(step, total_steps)


def build_adam(spec: Adam, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """torch.optim.Adam with its state at zero."""
    optimiser = torch.optim.Adam(
        parameters,
        lr=spec.lr,
        betas=spec.betas,
        eps=spec.eps,
        weight_decay=spec.weight_decay,
        fused=can_fuse(parameters),
    )
    return _at_zero(optimiser, ("exp_avg", "exp_avg_sq"), counter=True)


def build_adamw(spec: AdamW, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """torch.optim.AdamW with its state at zero."""
    optimiser = torch.optim.AdamW(
        parameters,
        lr=spec.lr,
        betas=spec.betas,
        eps=spec.eps,
        weight_decay=spec.weight_decay,
        fused=can_fuse(parameters),
    )
    return _at_zero(optimiser, ("exp_avg", "exp_avg_sq"), counter=True)


def build_sgd(spec: SGD, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """torch.optim.SGD with its momentum, where it has one, at zero."""
    optimiser = torch.optim.SGD(
        parameters,
        lr=spec.lr,
        momentum=spec.momentum,
        nesterov=spec.nesterov,
        weight_decay=spec.weight_decay,
        fused=can_fuse(parameters),
    )
    return _at_zero(optimiser, ("momentum_buffer",) if spec.momentum else (), counter=False)


def build_rmsprop(spec: RMSprop, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """torch.optim.RMSprop with its state at zero."""
    optimiser = torch.optim.RMSprop(
        parameters,
        lr=spec.lr,
        alpha=spec.alpha,
        eps=spec.eps,
        weight_decay=spec.weight_decay,
        momentum=spec.momentum,
    )
    return _at_zero(
        optimiser, ("square_avg", "momentum_buffer") if spec.momentum else ("square_avg",), counter=True
    )


def can_fuse(parameters: Sequence[Tensor]) -> bool:
    """Whether torch has a fused update for these (five times as fast): dense floats on CPU or CUDA."""
    return all(
        p.is_floating_point()
        and p.device.type in ("cpu", "cuda")
        and torch.empty_like(p).stride() == p.stride()
        for p in parameters
    )


def _at_zero(
    optimiser: torch.optim.Optimizer, names: tuple[str, ...], counter: bool
) -> torch.optim.Optimizer:
    """Make the state that torch would make in the first step."""
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            state = optimiser.state[parameter]
            if counter:
                device = parameter.device if group.get("fused") else torch.device("cpu")
                state["step"] = torch.zeros((), dtype=torch.float32, device=device)
            for name in names:
                state[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    return optimiser


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
        module, _, function = spec.build.partition(":")
        builder = cast(Builder, getattr(importlib.import_module(module), function))
        self._torch = builder(spec, self.parameters)
        self._factor = build_schedule(spec.schedule, total_steps)

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
        for parameter, gradient in zip(self.parameters, given, strict=True):
            parameter.grad = None if gradient is None else _laid_out_as(parameter, gradient)
        present = [p.grad for p in self.parameters if p.grad is not None]
        norm = get_total_norm(present) if present else torch.zeros(())
        if not (skip_bad and not bool(torch.isfinite(norm))):
            if self.spec.clip is not None:
                clip_grads_with_norm_(self.parameters, self.spec.clip, norm)
            for group in self._torch.param_groups:
                group["lr"] = self.learning_rate(step)
            self._torch.step()
        self._torch.zero_grad(set_to_none=True)
        return norm

    def learning_rate(self, step: int) -> float:
        """The learning rate of step number `step`."""
        return self.spec.lr * self._factor(step)

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """The state by name, `PREFIX/PARAMETER/WHAT`: the live tensors, not copies."""
        return {
            f"{prefix}/{name}/{what}": value
            for name, parameter in self.named.items()
            for what, value in sorted(self._torch.state[parameter].items())
        }

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
