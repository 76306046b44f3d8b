"""Distributions on integer levels 0 .. L - 1 that are the bins of a logistic on [-1, 1]: one, or a mixture.

Level v stands for the bin of width 2 / (L - 1) around 2 v / (L - 1) - 1; the first and the last bin take the tails.
"""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from gendsl.schema.components.dist import Dist, LocationScale, from_zero
from gendsl.schema.facts import Density, Offers, Shape, Support
from gendsl.schema.fields import Count
from gendsl.schema.registry import component

Levels = Annotated[int, Field(ge=2, le=65536)]
LEVELS = "number of levels; inferred for a variable that is bound to data"


def unknown_levels(support: Support) -> str | None:
    """Why the bins are not known, or None."""
    return "the number of levels is not known: write `levels`" if support.count is None else None


@component("dist", "discretized_logistic", build="gendsl.nn.levels:build_discretized_logistic")
class DiscretizedLogistic(LocationScale):
    """Bins of a logistic, P(v) = s((v + 1/2 - loc) / scale) - s((v - 1/2 - loc) / scale), s the sigmoid.

    Kingma et al. 2016, appendix: loc and scale are in units in which the levels lie on [-1, 1]; the bins at both ends
    take the tails.

    Formula: log P(v) = log(s((c + h - loc) / scale) - s((c - h - loc) / scale)), c = 2 v / (L - 1) - 1 the
    middle of the bin, h = 1 / (L - 1) half its width, L the levels (Salimans et al. 2017, eq. 2).

    Fails: The number of levels must be known. Scales are floored at 1e-3 on [-1, 1]: far below one bin of 256
    levels, so no probability is lost. Labels without an order belong to categorical.
    """

    levels: Levels | None = Field(default=None, description=LEVELS)
    reparameterised = False
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({"levels": 9}, {"levels": 5, "scale": "shared"})

    def support(self, variable: Support | None) -> Support:
        return from_zero(self.levels, variable)

    def offers(self, support: Support) -> Offers:
        return Offers(density=Density.ANY, enumerate=True)

    def problem(self, shape: Shape, support: Support | None) -> str | None:
        return unknown_levels(self.support(support)) if support is None or support.integer else None


@component("dist", "mixture_of_logistics", build="gendsl.nn.levels:build_mixture_of_logistics")
class MixtureOfLogistics(Dist):
    """Mixture of discretized logistics, P(v) = sum_k w_k P_k(v) (Salimans et al. 2017, eq. 2), for each entry.

    With `coupled` one mixture for each pixel of three channels: the location of a component in a channel is also linear
    in the channels before it (eq. 3), mu_g + a r and mu_b + b r + c g, with |a|, |b|, |c| < 1. An autoregressive net
    lets the channels depend on each other by itself and takes it uncoupled.

    Formula: log P(v) = logsumexp_k (log w_k + log P_k(v)), P_k the discretized_logistic (Salimans et al.
    2017, eq. 2; coupled: eq. 3).

    Fails: `coupled` takes three channels [3, H, W] alone, and its entries have no marginals. Many components
    on few levels are not identified: weights drift without changing the fit.
    """

    components: Count = 10
    coupled: bool = Field(
        default=False, description="one mixture for each pixel of three channels, linear in earlier channels"
    )
    levels: Levels | None = Field(default=None, description=LEVELS)
    reparameterised = False
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"levels": 9, "components": 3},
        {"levels": 5, "components": 1},
        {"levels": 4, "components": 3, "coupled": True},
    )

    @property
    def factorises(self) -> bool:  # type: ignore[override]
        """Unless the channels are coupled."""
        return not self.coupled

    @property
    def marginals(self) -> bool:  # type: ignore[override]
        """Unless the channels are coupled."""
        return not self.coupled

    def support(self, variable: Support | None) -> Support:
        return from_zero(self.levels, variable)

    def raw(self, shape: Shape, support: Support) -> Shape:
        """K weights, locations and scales for each entry; coupled, ten numbers a component for each pixel."""
        return (10 * self.components, *shape[1:]) if self.coupled else (3 * self.components, *shape)

    def offers(self, support: Support) -> Offers:
        return Offers(density=Density.ANY, enumerate=True)

    def problem(self, shape: Shape, support: Support | None) -> str | None:
        if self.coupled and (len(shape) != 3 or shape[0] != 3):
            return f"`coupled` is for three channels [3, H, W], not {list(shape)}"
        return unknown_levels(self.support(support)) if support is None or support.integer else None
