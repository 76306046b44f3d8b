"""Regularisers that compare codes with the prior's samples."""

from __future__ import annotations

import torch
from torch import Tensor

from gendsl.compiler.graph import Term
from gendsl.nn.objective.evaluation import Evaluation, Value


def mmd(e: Evaluation, term: Term) -> Value:
    """Unbiased squared MMD with k(a, b) = C / (C + |a - b|^2), C = 2 D scale^2 (Tolstikhin et al. 2018)."""
    codes = e.trace.values[term.subject].flatten(1)
    prior = e.fake[term.subject].flatten(1).to(codes.dtype)
    codes = codes[: len(e.batch)]
    scale = term.options.get("scale", 1.0)
    c = 2.0 * codes.shape[1] * scale**2

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        distance: Tensor = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
        ratio: Tensor = c / (c + distance.square())
        return ratio

    n = codes.shape[0]
    off = 1.0 - torch.eye(n, dtype=codes.dtype, device=codes.device)
    within = ((kernel(codes, codes) + kernel(prior, prior)) * off).sum() / (n * (n - 1))
    value = within - 2 * kernel(codes, prior).mean()
    return Value(value, value)


# -- adversaries ------------------------------------------------------------------------------------------------------
