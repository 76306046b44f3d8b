"""An encoder relative to its prior (Vahdat and Kautz 2020, eq. 2): location mu_p + d, scale sigma_p * s.

mu_p and sigma_p are the prior's at the same values of its parents, d and s what the encoder's network gives.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gendsl.nn.distributions import Drawn, Family, LocationScaleFamily
from gendsl.nn.factor import Conditioned, Direct, FactorModule, Plain, Values


class RelativeFamily(Family):
    """raw [N, P + Q, *shape]: P numbers of the encoder's own family, then Q of the prior's."""

    def __init__(self, own: LocationScaleFamily, prior: LocationScaleFamily) -> None:
        super().__init__()
        self.own, self.prior = own, prior
        self.numbers = 2 if own.rule == "learned" else 1

    def forward(self, raw: Tensor, temperature: float = 1.0) -> Drawn:
        own, prior = raw[:, : self.numbers], raw[:, self.numbers :]
        scale = self.prior.scale(prior) * self.own.scale(own)
        return self.own.make(self.mean(raw), scale * temperature)

    def mean(self, raw: Tensor) -> Tensor:
        return self.prior.mean(raw[:, self.numbers :]) + self.own.mean(raw[:, : self.numbers])


class Relative(Direct):
    """A direct encoder whose location and scale are relative to those of the prior, which it does not own."""

    def __init__(self, own: Direct, prior: FactorModule) -> None:
        super().__init__(own.body, own.head, own.family, own.stack, own.density, own.parents, own.noise)
        assert isinstance(own.family, LocationScaleFamily)
        assert isinstance(prior.family, LocationScaleFamily)
        self._not_owned = (prior, RelativeFamily(own.family, prior.family))

    def parts(self, values: Values, rows: int) -> tuple[Conditioned, Tensor | None]:
        module, family = self._not_owned
        base, context = super().parts(values, rows)
        assert isinstance(base, Plain)
        prior = module.parts(values, base.raw.shape[0])[0]
        assert isinstance(prior, Plain)
        return Plain(family, torch.cat([base.raw, prior.raw], 1), self.density), context
