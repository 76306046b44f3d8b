"""Autoregressive flow layers: which direction is one pass and which takes the entries in turn.

Entry i moves by a scalar bijection whose raw numbers a `made` network reads from the entries before it: those
of the variable (`masked_ar`, density in one pass) or those of the base (`inverse_ar`, own samples in one
pass).
"""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from gendsl.schema.components.flow import Between, EntryLayer, between_bill
from gendsl.schema.components.net import Bill
from gendsl.schema.components.net_ar import Made
from gendsl.schema.facts import Cost, Input, Inputs, Shape, numel
from gendsl.schema.fields import Count
from gendsl.schema.registry import component


class AutoregressiveLayer(EntryLayer):
    """Base of the two: `repeat` masked networks with a permutation or a linear map between them."""

    repeat: Count = 1
    hidden: Annotated[tuple[Count, ...], Field(strict=False)] = Field(
        default=(128, 128), description="hidden widths of each masked network"
    )
    between: Between = Field(default="reverse", description="what stands between two of the `repeat` layers")
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"hidden": [16]},
        {"hidden": [16, 16], "repeat": 3},
        {"hidden": [16], "repeat": 2, "transform": "additive", "between": "shuffle"},
        {"hidden": [16], "repeat": 2, "transform": "rq_spline", "bins": 4, "between": "lu_linear"},
    )

    @property
    def ordered(self) -> bool:
        """Yes."""
        return True

    def conditioner(self) -> Made:
        """The masked network; earlier entries also reach the outputs directly, whatever its widths."""
        return Made(hidden=self.hidden, direct=True)

    def inputs(self, context: int) -> Inputs:
        """What the masked network reads beside the entries."""
        return (Input("context", (context,)),) if context else ()

    def problem(self, shape: Shape) -> str | None:
        if numel(shape) < 2:
            return f"{self.tag} needs two entries or more; use {{type: elementwise, how: affine}} for one"
        return super().problem(shape)

    def bill(self, shape: Shape, context: int) -> Bill:
        size = numel(shape)
        net = self.conditioner().bill(self.inputs(context), (size,), self.numbers())
        layers = (net + self.entry_bill(size)) * self.repeat
        return layers + between_bill(self.between, size) * (self.repeat - 1)


@component("flow", "masked_ar", build="gendsl.nn.transforms.autoregressive:build_masked_ar")
class MaskedAR(AutoregressiveLayer):
    """Masked autoregressive flow, x_i from u_i and x_<i (Papamakarios et al. 2017): densities in one pass.

    Samples take the entries in turn, with the arithmetic of about one pass.

    Formula: x_i = u_i exp(a_i) + m_i with m_i, a_i functions of x_<i, log |det| = sum a_i (Papamakarios et
    al. 2017, eq. 3 to 5).

    Fails: Samples take one step for each entry: slow in many dimensions. One layer depends on the order; put
    `between: reverse` between layers. Errors of a sample add up along the order.
    """

    forward_cost = Cost.SEQUENTIAL


@component("flow", "inverse_ar", build="gendsl.nn.transforms.autoregressive:build_inverse_ar")
class InverseAR(AutoregressiveLayer):
    """Inverse autoregressive flow, z_i from e_i and e_<i (Kingma et al. 2016): own samples in one pass.

    Densities at given points take the entries in turn, with the arithmetic of about one pass.

    Formula: z_i = e_i exp(a_i) + m_i with m_i, a_i functions of e_<i, log |det| = sum a_i (Kingma et al.
    2016, eq. 9 to 11).

    Fails: Densities at given points take one step for each entry: in a prior or under data it is slow, and
    masked_ar is meant there. One entry alone has nothing before it.
    """

    inverse_cost = Cost.SEQUENTIAL
