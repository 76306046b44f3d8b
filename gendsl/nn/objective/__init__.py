"""The objective's terms, evaluated: each derived Term becomes numbers, and a player's loss is their weighted sum.

A term's `value` is the quantity it is named after; its `cost` is what enters the loss, which differs only where free
bits or a capacity change how a KL counts. Both are means over the batch's rows.

Importance-weighted bounds: with log w of each draw and w^ the normalised w^s,
    (1/s) log mean w^s = sum_j w^_j log w_j - KL(w^ || uniform) / s,
so the weighted terms and `bound.*` add up to minus the bound exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gendsl.compiler.graph import Term
from gendsl.nn.objective.adversarial import adversary, classified, classify, critic, penalty
from gendsl.nn.objective.discrepancies import mmd, total_correlation
from gendsl.nn.objective.energies import energy
from gendsl.nn.objective.evaluation import Evaluation, Value, weight_at
from gendsl.nn.objective.likelihoods import (
    classification,
    codebook,
    dequantization,
    information,
    kl,
    prior,
    score,
    weighting,
)
from gendsl.nn.objective.paths import path_length
from gendsl.schema.components.bound import Bound


@dataclass(frozen=True)
class Loss:
    """What one player minimises on one batch: `total` = sum over terms of sign * weight * cost."""

    total: Tensor
    terms: dict[str, Tensor]
    seen: dict[str, Tensor] = field(default_factory=dict)
    """Diagnostics by name; those of gradients are filled in by the backward pass."""


def bound(spec: Bound) -> Bound:
    """A bound is its own facts: number of samples and power of the weights."""
    return spec


def loss(e: Evaluation, terms: Iterable[Term]) -> Loss:
    """The weighted sum of the terms."""
    total = torch.zeros((), dtype=e.model.dtype, device=e.model.device)
    values: dict[str, Tensor] = {}
    for term in terms:
        found = EVALUATORS[term.family if term.family in EVALUATORS else "penalty"](e, term)
        values[term.name] = found.value.detach()
        weight = weight_at(term, e.step)
        if term.family in ("adversary", "classified") and e.step < e.graph.critics[term.subject].spec.start:
            weight = 0.0
        if weight:
            total = total + weight * found.cost
    return Loss(total, values, e.seen)


EVALUATORS: dict[str, Callable[[Evaluation, Term], Value]] = {
    "likelihood": score,
    "reconstruction": score,
    "kl": kl,
    "bound": weighting,
    "prior": prior,
    "mutual_information": information,
    "classification": classification,
    "codebook": codebook,
    "dequantization": dequantization,
    "mmd": mmd,
    "energy": energy,
    "path_length": path_length,
    "total_correlation": total_correlation,
    "adversary": adversary,
    "critic": critic,
    "classify": classify,
    "classified": classified,
    "penalty": penalty,
}
"""Family of terms -> its value."""
