"""Linear flow layers: actnorm, lu_linear, inv_1x1_conv, householder. All are cheap in both directions."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from gendsl.schema.components.flow import FlowLayer
from gendsl.schema.components.net import Bill, dense
from gendsl.schema.facts import Shape, numel
from gendsl.schema.fields import Count
from gendsl.schema.registry import component


def channels(shape: Shape) -> int:
    """What a per-channel layer has one number for: the channels of a grid, the entries of anything else."""
    return shape[0] if len(shape) == 3 else numel(shape)


def matrix_bill(size: int, positions: int, bias: bool) -> Bill:
    """A matrix as its LU factors, applied at each of `positions`."""
    return Bill(size * size + (size if bias else 0), 2 * size * size * positions, 2 * size * positions)


@component("flow", "actnorm", build="gendsl.nn.transforms.linear:build_actnorm")
class ActNorm(FlowLayer):
    """A learned shift and scale per channel, or per entry of a vector (Kingma and Dhariwal 2018).

    The first training batch leaves it with mean 0 and variance 1. Parents do not condition it.

    Formula: x = (z - b) / s per channel, log |det| = -H W sum log |s| (Kingma and Dhariwal 2018, section
    3.1).

    Fails: It depends on the first batch: a small or odd one starts it badly. A channel that never varies gets
    the scale of the floor.
    """

    def bill(self, shape: Shape, context: int) -> Bill:
        return Bill(2 * channels(shape), 2 * numel(shape), 2 * numel(shape))


@component("flow", "lu_linear", build="gendsl.nn.transforms.linear_given:build_lu_linear")
class LULinear(FlowLayer):
    """y = L U x + b on the flattened entries, the identity at first. Parents condition it only with `given: true`.

    With `start: whiten` the first training batch leaves it with mean 0 and covariance I, if it has more rows than
    entries, else with variances 1. Over a normal base that is the normal distribution of the batch's moments; with
    `given` too, one for each value of a label.

    Formula: y = L U x + b, log |det| = sum log |U_ii| (Kingma and Dhariwal 2018, eq. 11; Durkan et al. 2019,
    section 3.2).

    Fails: D^2 parameters for D entries: not for large images. Without a permutation beside it some matrices
    are out of reach.
    """

    start: Literal["identity", "whiten"] = Field(
        default="identity", description="what it begins at: the identity, or what whitens the first batch"
    )
    given: bool = Field(
        default=False, description="whether what is given, such as a label, has matrices of its own"
    )
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"start": "whiten"},
        {"given": True},
        {"given": True, "start": "whiten"},
    )

    def bill(self, shape: Shape, context: int) -> Bill:
        plain = matrix_bill(numel(shape), 1, bias=True)
        if not (self.given and context):
            return plain
        return Bill(dense(context, plain.parameters).parameters, plain.flops, plain.activations)


@component("flow", "inv_1x1_conv", build="gendsl.nn.transforms.linear:build_inv_1x1_conv")
class Inv1x1Conv(FlowLayer):
    """One matrix P L U over the channels at every position (Kingma and Dhariwal 2018, eq. 10).

    It begins at a random rotation. On a vector it mixes all entries. Parents do not condition it.

    Formula: x_hw = W z_hw, log |det| = H W log |det W|, W = P L (U + diag(s)) (Kingma and Dhariwal 2018, eq.
    9 to 11).

    Fails: P stays what it was at the start. One channel is mixed with nothing: squeeze first.
    """

    def bill(self, shape: Shape, context: int) -> Bill:
        size = channels(shape)
        return matrix_bill(size, numel(shape) // size, bias=False)


@component("flow", "householder", build="gendsl.nn.transforms.linear:build_householder")
class Householder(FlowLayer):
    """`repeat` reflections x - 2 v (v.x) / |v|^2 (Tomczak and Welling 2016); volume-preserving.

    Formula: x = (I - 2 v v^T / |v|^2) z, log |det| = 0 (Tomczak and Welling 2016, eq. 7).

    Fails: A rotation alone makes no normal base less normal: put it between other layers. Single numbers are
    refused.
    """

    repeat: Count = 1
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"repeat": 4})

    def problem(self, shape: Shape) -> str | None:
        if numel(shape) < 2:
            return "of a single number every reflection is a change of sign, whatever its vector"
        return None

    def bill(self, shape: Shape, context: int) -> Bill:
        size, numbers = numel(shape), self.repeat * numel(shape)
        own = dense(context, numbers) if context else Bill(parameters=numbers)
        return own + Bill(flops=6 * numbers, activations=3 * self.repeat * size)
