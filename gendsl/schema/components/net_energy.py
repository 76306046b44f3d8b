"""Networks that are energies themselves: restricted Boltzmann machines."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from gendsl.schema.components.net import Bill, Net, Target
from gendsl.schema.facts import Inputs, numel
from gendsl.schema.registry import component

EXACT = 25
"""Units of the smaller layer whose states are all summed for log Z."""


@component("net", "rbm", build="gendsl.nn.machine:build_rbm")
class Rbm(Net):
    """Restricted Boltzmann machine, only as an energy: F(v) = -b'v - sum_j softplus(c_j + (v'W)_j).

    Smolensky 1986; Hinton 2002. log Z is exact with at most 25 units in the smaller layer, else it is estimated by
    annealed importance sampling (Salakhutdinov and Murray 2008).
    """

    energy: ClassVar[bool] = True
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({"hidden": 8}, {"hidden": 3})

    hidden: Annotated[int, Field(ge=1)] = Field(default=25, description="binary hidden units")

    def problem(self, inputs: Inputs, target: Target) -> str | None:
        return (
            "rbm is an energy, not a network of features: write energy: {x: {net: {type: rbm, hidden: 25}}}"
        )

    def bill(self, inputs: Inputs, target: Target, outputs: int = 0) -> Bill:
        visible = numel(inputs[0].shape)
        return Bill(
            visible * self.hidden + visible + self.hidden, 2 * visible * (self.hidden + 1), 2 * self.hidden
        )

    def sums_exactly(self, visible: int) -> bool:
        return min(visible, self.hidden) <= EXACT
