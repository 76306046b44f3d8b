"""The planar stack in plain PyTorch: its definition, and the entry that takes the faster form on a CPU.

Layer k maps z to z + u_k tanh(w_k . z + b_k), with log |det| = log |1 + (u_k . w_k) (1 - tanh^2)|
(Rezende & Mohamed 2015, equations 10 to 12). Letters: B rows, K layers, D features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gendsl.kernels.derivatives import transformed
from gendsl.kernels.planar_cpu import log_det, per_sample, shared

Pair = tuple[Tensor, Tensor]


def layers(z: Tensor, u: Tensor, w: Tensor, b: Tensor) -> Pair:
    """The definition, layer after layer; every derivative is PyTorch's own. Shapes as in `reference`."""
    activations = []
    for u_k, w_k, b_k in zip(u.unbind(-2), w.unbind(-2), b.unbind(-1), strict=True):
        t_k = torch.tanh((z * w_k).sum(-1) + b_k)
        z = torch.addcmul(z, u_k, t_k.unsqueeze(-1))
        activations.append(t_k)
    return z, log_det((u * w).sum(-1), torch.stack(activations, -1))


def reference(z: Tensor, u: Tensor, w: Tensor, b: Tensor) -> Pair:
    """The stack's output [B, D] and log |det| [B], for inputs of one float dtype.

    z: [B, D]. Shared parameters: u, w: [K, D], b: [K]; per sample: u, w: [B, K, D], b: [B, K]. On a CPU the
    first derivative is written out (`gendsl.kernels.planar_cpu`); second derivatives, forward mode,
    torch.func and torch.compile go through `layers`.
    """
    if z.device.type != "cpu" or torch.compiler.is_compiling() or transformed():
        return layers(z, u, w, b)
    if u.dim() == 2:
        return shared(z, u, w, b, layers)
    return per_sample(z, u, w, b, layers)
