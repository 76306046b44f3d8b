"""An encoder relative to its prior (Vahdat and Kautz 2020, eq. 2): location mu_p + d, scale sigma_p * s.

mu_p and sigma_p are the prior's at the same values of its parents, d and s what the encoder's network gives.
"""

from __future__ import annotations

from torch import Tensor

from gendsl.nn.distributions import Drawn, LocationScaleFamily
from gendsl.nn.factor import Conditioned, Direct, FactorModule, Plain, Values, tile


class Shifted(Plain):
    """The encoder's raw numbers, read against the prior's."""

    def __init__(self, own: Plain, prior: Plain) -> None:
        super().__init__(own.family, own.raw, own.density)
        self.prior = prior

    def distribution(self, temperature: float = 1.0) -> Drawn:
        own, prior = self.family, self.prior.family
        assert isinstance(own, LocationScaleFamily)
        assert isinstance(prior, LocationScaleFamily)
        return own.make(self.mean(), prior.scale(self.prior.raw) * own.scale(self.raw) * temperature)

    def mean(self) -> Tensor:
        return self.prior.mean() + self.family.mean(self.raw)

    def repeat(self, times: int) -> Shifted:
        own = Plain(self.family, tile(self.raw, times), self.density)
        return Shifted(own, self.prior.repeat(times))


class Relative(Direct):
    """A direct encoder whose location and scale are relative to those of the prior, which it does not own."""

    def __init__(self, own: Direct, prior: FactorModule) -> None:
        super().__init__(own.body, own.head, own.family, own.stack, own.density, own.parents, own.noise)
        self._prior = (prior,)

    def parts(self, values: Values, rows: int) -> tuple[Conditioned, Tensor | None]:
        base, context = super().parts(values, rows)
        assert isinstance(base, Plain)
        prior = self._prior[0].parts(values, base.raw.shape[0])[0]
        assert isinstance(prior, Plain)
        return Shifted(base, prior), context
