"""The planar stack as one operator: `planar_stack`, which picks the implementation.

z_k = z_{k-1} + u_k tanh(w_k . z_{k-1} + b_k) for k = 1 .. K, with the log-determinant of the whole map
(Rezende & Mohamed 2015, "Variational inference with normalizing flows", equations 10 to 12).

The Triton implementation is a registered operator, `gendsl::planar_stack`, whose backward is another one:
both have fake versions, so eager mode, torch.compile and torch.export treat them alike.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gendsl.kernels.chooser import choose
from gendsl.kernels.derivatives import differentiable_vjp, needs_second_derivative
from gendsl.kernels.planar_reference import layers, reference
from gendsl.kernels.table import PLANAR_STACK, Policy

__all__ = ["planar_stack", "reference"]


def planar_stack(
    z: Tensor, u: Tensor, w: Tensor, b: Tensor, *, kernels: Policy = "auto"
) -> tuple[Tensor, Tensor]:
    """K planar layers in one call: the output [B, D] and log |det dz_K/dz_0| [B], in nats.

    z: [B, D]. Parameters shared by the batch, u, w: [K, D] and b: [K], or one set for each row, u, w: [B, K,
    D] and b: [B, K]. The map is invertible where u_k . w_k >= -1 for every k, which is the caller's to
    ensure; the log-determinant holds without. Results are float64 if an input is, and float32 otherwise:
    lower precisions and autocast are raised to float32.

    Raises ValueError for shapes that do not fit and for an unknown policy, KernelError where
    `kernels="triton"` cannot be done.
    """
    _check(z, u, w, b)
    dtype = torch.float64 if torch.float64 in (z.dtype, u.dtype, w.dtype, b.dtype) else torch.float32
    z, u, w, b = z.to(dtype), u.to(dtype), w.to(dtype), b.to(dtype)
    sizes = (("D", z.shape[1]), ("K", b.shape[-1]))
    if choose(PLANAR_STACK, z, sizes, kernels).implementation == "reference":
        return reference(z, u, w, b)
    out, log_det, _ = _operator(z, u, w, b)
    return out, log_det


def _check(z: Tensor, u: Tensor, w: Tensor, b: Tensor) -> None:
    if z.dim() == 2 and b.dim() in (1, 2) and b.shape[-1] > 0 and z.shape[1] > 0:
        batch = z.shape[:1] if b.dim() == 2 else ()
        expected = (*batch, b.shape[-1], z.shape[1])
        if u.shape == expected and w.shape == expected and b.shape == expected[:-1]:
            return
    shapes = ", ".join(f"{name} {list(x.shape)}" for name, x in (("z", z), ("u", u), ("w", w), ("b", b)))
    raise ValueError(f"planar_stack needs {PLANAR_STACK.sizes} with D, K >= 1; found {shapes}")


@torch.library.custom_op("gendsl::planar_stack", mutates_args=())
def _operator(z: Tensor, u: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    from gendsl.kernels import planar_launch

    return planar_launch.forward(z, u, w, b)


@torch.library.custom_op("gendsl::planar_stack_backward", mutates_args=())
def _backward_operator(
    out: Tensor, a: Tensor, u: Tensor, w: Tensor, grad: Tensor, grad_log_det: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from gendsl.kernels import planar_launch

    return planar_launch.backward(out, a, u, w, grad, grad_log_det)


@_operator.register_fake
def _(z: Tensor, u: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return z.new_empty(z.shape), z.new_empty(z.shape[0]), z.new_empty(b.shape[-1], z.shape[0])


@_backward_operator.register_fake
def _(
    out: Tensor, a: Tensor, u: Tensor, w: Tensor, grad: Tensor, grad_log_det: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        out.new_empty(out.shape),
        out.new_empty(u.shape),
        out.new_empty(u.shape),
        out.new_empty(u.shape[:-1]),
    )


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    out, _, a = output
    ctx.mark_non_differentiable(a)
    ctx.save_for_backward(*inputs, out, a)


def _backward(ctx: Any, grad: Tensor, grad_log_det: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    z, u, w, b, out, a = ctx.saved_tensors
    if needs_second_derivative():
        return differentiable_vjp(layers, (z, u, w, b), ctx.needs_input_grad, (grad, grad_log_det))
    gradients: tuple[Tensor, ...] = _backward_operator(out, a, u, w, grad, grad_log_det)
    return gradients


_operator.register_autograd(_backward, setup_context=_save)
for _device in ("cpu", "cuda"):
    _operator.register_autocast(_device, torch.float32)
