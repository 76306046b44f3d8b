"""Draws of categorical variables among their most probable values only: top-k and nucleus sampling.

With probabilities in falling order, q_1 >= q_2 >= ..., and r the cut,

    top_k (Fan et al. 2018):          r = k
    top_p (Holtzman et al. 2020):     r the least number with q_1 + ... + q_r >= p

and the draw is from q_i / (q_1 + ... + q_r), i <= r. The temperature comes first, then top_k, then top_p of the rest.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.distributions as td
from torch import Tensor

from gendsl.nn.any_order import AnyOrder
from gendsl.nn.distributions import CategoricalFamily, Family
from gendsl.nn.factor import Conditioned, Plain, Sequential


@dataclass(frozen=True)
class Cut:
    """Which values a categorical draw is left; None leaves all."""

    top_k: int | None = None
    top_p: float | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        """Logits [..., K] with -inf at the values that are left out; of equal ones at the cut the first stay."""
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            logits = _keep(logits, _falling(logits)[..., : self.top_k])
        if self.top_p is not None:
            order = _falling(logits)
            q = torch.softmax(logits, -1).gather(-1, order)
            before = q.cumsum(-1) - q
            kept = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before < self.top_p)
            logits = logits.masked_fill(~kept, -torch.inf)
        return logits

    def of(self, conditioned: Conditioned) -> Conditioned:
        """The distribution whose draws are cut, where it is categorical; any other as it is."""
        if not isinstance(conditioned, Plain | Sequential | AnyOrder):
            return conditioned
        if not isinstance(conditioned.family, CategoricalFamily):
            return conditioned
        found = copy.copy(conditioned)
        found.family = CutCategorical(self)
        return found


class CutCategorical(Family):
    """The categorical family with a cut."""

    reparameterised = False

    def __init__(self, cut: Cut) -> None:
        super().__init__()
        self.cut = cut

    def forward(self, raw: Tensor, temperature: float = 1.0) -> td.Categorical:
        return td.Categorical(logits=self.cut(raw.movedim(1, -1) / temperature), validate_args=False)


def _falling(logits: Tensor) -> Tensor:
    """Places of the values, the most probable first."""
    return logits.argsort(dim=-1, descending=True, stable=True)


def _keep(logits: Tensor, places: Tensor) -> Tensor:
    kept = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, places, torch.ones_like(places).bool())
    return logits.masked_fill(~kept, -torch.inf)
