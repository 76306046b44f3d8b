"""Attention as one operator: `attention`, which picks the implementation.

    attention(q, k, v)_t = sum_s softmax_s(q_t . k_s / sqrt(E)) v_s      causal: s <= t alone

(Vaswani et al. 2017, "Attention is all you need", equation 1). Torch's scaled_dot_product_attention serves on every
device; its fused forms have no second derivative and no forward mode, and there the definition does.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from gendsl.kernels.chooser import choose
from gendsl.kernels.table import ATTENTION, Policy


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    twice: bool = False,
    kernels: Policy = "auto",
) -> Tensor:
    """Queries [B, H, T, E], keys and values [B, H, S, E] -> [B, H, T, E].

    `causal`: query t sees the keys up to t. `twice`: second derivatives will be taken.

    Raises ValueError for an unknown policy, KernelError for `kernels="triton"`.
    """
    if choose(ATTENTION, q, (), kernels).implementation == "reference" or twice:
        return reference(q, k, v, causal=causal)
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal)


def reference(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False) -> Tensor:
    """The definition; every derivative is PyTorch's own. Shapes as in `attention`."""
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # [B, H, T, S]
    if causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(later, -torch.inf)
    return torch.softmax(scores, -1) @ v
