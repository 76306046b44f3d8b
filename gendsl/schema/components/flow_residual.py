"""Flow layers z + g(z) that are invertible by a constraint on their numbers: radial and sylvester."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from gendsl.schema.components.flow import FlowLayer
from gendsl.schema.components.net import Bill, dense
from gendsl.schema.facts import Cost, Shape, numel
from gendsl.schema.fields import Count
from gendsl.schema.registry import component


@component("flow", "radial", build="gendsl.nn.transforms.radial:build_radial")
class Radial(FlowLayer):
    """Radial flow z + beta (z - z0) / (alpha + |z - z0|) (Rezende and Mohamed 2015, eq. 14).

    Cheap in both directions: the inverse solves a quadratic for the radius.

    Formula: x = z + b h(a, r) (z - z0), h = 1 / (a + r), r = |z - z0|, b >= -a (Rezende and Mohamed 2015, eq.
    14; appendix A.2).

    Fails: It moves mass towards or from one centre alone: many layers are needed. In many dimensions its
    effect at typical distances is small.
    """

    repeat: Count = 1
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"repeat": 4})

    def bill(self, shape: Shape, context: int) -> Bill:
        size = numel(shape)
        numbers = self.repeat * (size + 2)
        own = dense(context, numbers) if context else Bill(parameters=numbers)
        return own + Bill(flops=10 * self.repeat * size, activations=self.repeat * (4 * size + 8))


@component("flow", "sylvester", build="gendsl.nn.transforms.sylvester:build_sylvester")
class Sylvester(FlowLayer):
    """Householder Sylvester flow z + Q R tanh(S Q^T z + b) (van den Berg et al. 2018, eq. 8).

    Q is orthogonal, a product of `reflections`; R and S are upper triangular of width `units`. Cheap from
    base to variable; the inverse has no closed form.

    Formula: x = z + Q R tanh(S Q^T z + b), log |det| = sum_i log |1 + tanh'_i R_ii S_ii| (van den Berg et al.
    2018, eq. 8 and 9 with 13), R_ii S_ii > -1.

    Fails: Refused in a prior or under observed data: the inverse has no closed form. `units` of at most the
    number of entries.
    """

    repeat: Count = 1
    units: Count | None = Field(
        default=None, description="width of the bottleneck; at most the entries, 8 if not written"
    )
    reflections: Annotated[int, Field(ge=1)] = 4
    inverse_cost = Cost.NONE
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"repeat": 3, "units": 2, "reflections": 2})

    def width(self, shape: Shape) -> int:
        """The width of the bottleneck."""
        return min(8, numel(shape)) if self.units is None else self.units

    def numbers(self, shape: Shape) -> int:
        """Raw numbers of one of the `repeat` layers: reflections, two triangles, a bias."""
        units = self.width(shape)
        return self.reflections * numel(shape) + units * (units + 1) + units

    def problem(self, shape: Shape) -> str | None:
        if self.width(shape) > numel(shape):
            return f"`units` is {self.units}, more than the {numel(shape)} entries"
        return None

    def bill(self, shape: Shape, context: int) -> Bill:
        numbers, units = self.repeat * self.numbers(shape), self.width(shape)
        own = dense(context, numbers) if context else Bill(parameters=numbers)
        work = self.repeat * (8 * self.reflections * numel(shape) + 4 * units * units)
        return own + Bill(
            flops=work, activations=self.repeat * (6 * self.reflections * numel(shape) + 6 * units)
        )
