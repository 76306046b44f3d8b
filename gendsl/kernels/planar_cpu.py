"""First derivatives of the planar stack, written out in PyTorch operations for each layout of parameters.

Notation: t_k = tanh(w_k . z_{k-1} + b_k), h_k = 1 - t_k^2, c_k = u_k . w_k. With g the gradient on z_k and l
that on the log-determinant, a layer's argument receives

    ga_k = h_k (g . u_k - 2 c_k t_k l / (1 + c_k h_k)),

u_k receives g t_k + gc_k w_k and w_k receives ga_k z_{k-1} + gc_k u_k, where gc_k = l h_k / (1 + c_k h_k);
then g <- g + ga_k w_k. `per_sample` does this layer by layer.

`shared` first forms G = u w^T, [K, K], and s = w . z_0 + b. The activations solve t_k = tanh(s_k + sum_{j<k}
t_j G_jk), so the layers run on [B, K] alone, and the ga solve the transposed triangular system ga_j = h_j
(gt_j + sum_{k>j} G_jk ga_k); everything else is a matrix product over the whole batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gendsl.kernels.derivatives import Function, differentiable_vjp, full_precision, needs_second_derivative

Gradients = tuple[Tensor | None, ...]


def log_det(c: Tensor, t: Tensor) -> Tensor:
    """sum_k log |1 + c_k (1 - t_k^2)| over the last dimension; c: [..., K], t: [B, K].

    |1 + x| is 1 + max(x, -2 - x), which keeps log1p's accuracy near x = 0.
    """
    x = c * (1 - t * t)
    return torch.log1p(torch.maximum(x, -2 - x)).sum(-1)


def per_sample(z: Tensor, u: Tensor, w: Tensor, b: Tensor, definition: Function) -> tuple[Tensor, Tensor]:
    """Output [B, D] and log |det| [B] for z: [B, D], u, w: [B, K, D], b: [B, K].

    `definition` computes the same in differentiable operations; second derivatives are taken through it.
    """
    out, total = _PerSample.apply(z, u, w, b, definition)  # type: ignore[no-untyped-call]  # torch gives it no types
    return out, total


def shared(z: Tensor, u: Tensor, w: Tensor, b: Tensor, definition: Function) -> tuple[Tensor, Tensor]:
    """Output [B, D] and log |det| [B] for z: [B, D], u, w: [K, D], b: [K]; see `per_sample`."""
    out, total = _Shared.apply(z, u, w, b, definition)  # type: ignore[no-untyped-call]  # torch gives it no types
    return out, total


class _PerSample(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, z: Tensor, u: Tensor, w: Tensor, b: Tensor, definition: Function
    ) -> tuple[Tensor, Tensor]:
        inputs = [z]  # z_{k-1} of every layer
        activations = []
        for u_k, w_k, b_k in zip(u.unbind(1), w.unbind(1), b.unsqueeze(-1).unbind(1), strict=True):
            t_k = (z * w_k).sum(-1, keepdim=True).add_(b_k).tanh_()
            z = torch.addcmul(z, u_k, t_k)
            activations.append(t_k)
            inputs.append(z)
        t = torch.cat(activations, 1)
        c = (u * w).sum(-1)
        ctx.definition = definition
        ctx.save_for_backward(u, w, b, c, t, *inputs[:-1])
        return z, log_det(c, t)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, grad_log_det: Tensor) -> Gradients:
        u, w, b, c, t, *inputs = ctx.saved_tensors
        if needs_second_derivative():
            return _again(ctx, (inputs[0], u, w, b), (grad, grad_log_det))
        h = 1 - t * t
        gc = grad_log_det.unsqueeze(-1) * h / (1 + c * h)
        through_det = (c * t * gc).mul_(-2)
        gu, gw = gc.unsqueeze(-1) * w, gc.unsqueeze(-1) * u
        ga = torch.empty_like(t)
        matrices = (x.unbind(1) for x in (u, w, gu, gw))
        vectors = (x.unsqueeze(-1).unbind(1) for x in (t, h, through_det, ga))
        backwards = reversed(list(zip(inputs, *matrices, *vectors, strict=True)))
        for z, u_k, w_k, gu_k, gw_k, t_k, h_k, det_k, ga_k in backwards:
            torch.addcmul(det_k, (grad * u_k).sum(-1, keepdim=True), h_k, out=ga_k)
            gu_k.addcmul_(grad, t_k)
            gw_k.addcmul_(z, ga_k)
            grad = torch.addcmul(grad, ga_k, w_k)
        return grad, gu, gw, ga, None


class _Shared(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, z: Tensor, u: Tensor, w: Tensor, b: Tensor, definition: Function
    ) -> tuple[Tensor, Tensor]:
        with full_precision(z):
            inner = u @ w.mT  # G
            s = torch.addmm(b, z, w.mT)
            t = torch.empty_like(s)
            columns = (x.unsqueeze(-1).unbind(1) for x in (s, t))
            for row, s_k, t_k in zip(inner.unbind(0), *columns, strict=True):
                torch.tanh(s_k, out=t_k)
                s.addcmul_(row, t_k)
            ctx.definition = definition
            ctx.save_for_backward(z, u, w, b, inner, t)
            return torch.addmm(z, t, u), log_det(inner.diagonal(), t)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, grad_log_det: Tensor) -> Gradients:
        z, u, w, b, inner, t = ctx.saved_tensors
        if needs_second_derivative():
            return _again(ctx, (z, u, w, b), (grad, grad_log_det))
        with full_precision(z):
            c = inner.diagonal()
            h = 1 - t * t
            gc = grad_log_det.unsqueeze(-1) * h / (1 + c * h)
            right = torch.addcmul((c * t * gc).mul_(-2), h, grad @ u.mT)
            system = h.neg().unsqueeze(-1) * inner  # [B, K, K]; what is not above the diagonal is not read
            ga = torch.linalg.solve_triangular(system, right.unsqueeze(-1), upper=True, unitriangular=True)
            ga = ga.squeeze(-1)
            g_inner = torch.triu(t.mT @ ga, 1)
            g_inner.diagonal().copy_(gc.sum(0))
            gu = torch.addmm(t.mT @ grad, g_inner, w)
            gw = torch.addmm(ga.mT @ z, g_inner.mT, u)
            return torch.addmm(grad, ga, w), gu, gw, ga.sum(0), None


def _again(ctx: Any, inputs: tuple[Tensor, ...], grads: tuple[Tensor, ...]) -> Gradients:
    return (*differentiable_vjp(ctx.definition, inputs, ctx.needs_input_grad[:4], grads), None)
