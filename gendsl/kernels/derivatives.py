"""How a hand-written derivative stays correct where it does not apply.

A backward formula of ours serves one first-order reverse pass. Forward mode and the torch.func transforms
would drop such an operator's tangent without a word, and a second derivative needs a formula that can be
differentiated again: both take the reference, in plain PyTorch operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

Function = Callable[..., tuple[Tensor, ...]]


def transformed() -> bool:
    """Whether a torch.func transform (vmap, grad, jacrev, ...) or forward-mode differentiation is active."""
    if torch.compiler.is_compiling():
        return False
    return torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0


def needs_second_derivative() -> bool:
    """Within a backward: whether its result will be differentiated again (`create_graph=True`)."""
    return torch.is_grad_enabled() and not torch.compiler.is_compiling()


def differentiable_vjp(
    function: Function, inputs: Sequence[Tensor], needed: Sequence[bool], grads: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """The vector-Jacobian product of `function` at `inputs`, itself differentiable.

    `needed` says which inputs get a gradient; the others get None.
    """
    wanted = [x for x, need in zip(inputs, needed, strict=True) if need]
    with torch.enable_grad():
        outputs = function(*inputs)
    found = torch.autograd.grad(outputs, wanted, grads, create_graph=True, materialize_grads=True)
    remaining = iter(found)
    return tuple(next(remaining) if need else None for need in needed)


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """A context in which autocast leaves the operations on x's device alone."""
    if torch.is_autocast_enabled(x.device.type):
        return torch.autocast(x.device.type, enabled=False)
    return nullcontext()
