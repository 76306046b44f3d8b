"""Flow layers: which direction is cheap, which shapes they take, how many parameters they have.

A layer is a bijection between the variable's side and the base's side. `forward` goes from the base to the
variable (sampling), `inverse` from the variable to the base (density). The maths is in
`gendsl.nn.transforms`.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from gendsl.schema.components.net import Bill, Mlp, Net, Ref, dense, head_bill
from gendsl.schema.facts import REAL, Cost, Input, Shape, Support, numel
from gendsl.schema.fields import Count, Positive
from gendsl.schema.registry import Component, Slot, component

Mask = Literal["half", "checkerboard", "channel"]
EntryTransform = Literal["affine", "additive", "rq_spline"]
BINS = 8
SHOWN: tuple[Shape, ...] = ((4,), (2, 4, 4))
"""Shapes of a variable at which a page shows a layer."""
DIRECTIONS = {Cost.CHEAP: "one pass", Cost.SEQUENTIAL: "many passes", Cost.NONE: "no way"}


class FlowLayer(Component):
    """A bijection with a tractable log-determinant in at least one direction."""

    forward_cost: ClassVar[Cost] = Cost.CHEAP
    inverse_cost: ClassVar[Cost] = Cost.CHEAP
    op: ClassVar[str | None] = None
    """The fused operation that computes it, for the placement pass."""
    amortized: bool = Field(default=True, description="whether the parents condition the layer")

    @property
    def acts_on(self) -> str:
        """Where its values lie, for messages."""
        return "the reals"

    @property
    def ordered(self) -> bool:
        """Whether the layer follows an order of the entries."""
        return False

    def estimated(self, shape: Shape) -> bool:
        """Whether the log-determinant at this shape is an unbiased estimate instead of the number."""
        return False

    @property
    def error(self) -> float:
        """The relative error of a numeric solution at moderate parameters, beyond rounding; 0 of a formula."""
        return 0.0

    def base_shape(self, shape: Shape) -> Shape:
        """Shape on the base's side for one on the variable's side, without what a `split` sends."""
        return shape

    def base_support(self, support: Support) -> Support | None:
        """Support on the base's side for one on the variable's side; None where the layer cannot take it."""
        return REAL if support == REAL else None

    def support(self, base: Support) -> Support | None:
        """Support on the variable's side for one on the base's side; None where the layer cannot take it."""
        return REAL if base == REAL else None

    def problem(self, shape: Shape) -> str | None:
        """Why the layer cannot act on this shape, or None."""
        return None

    @classmethod
    def told(cls) -> dict[str, str]:
        """The shapes on both sides, and what each direction costs, at the first of the examples."""
        layer = cls.model_validate(cls.examples[0], strict=False)
        shape = next(s for s in SHOWN if layer.problem(s) is None)
        supports = {str(s) for s in (REAL,) if layer.base_support(s) is not None}
        on = f"values in {supports.pop()}" if supports else f"values in {layer.acts_on}"
        return {
            "Shapes": f"Variable {list(shape)}, base {list(base_of([layer], shape))}; one log-determinant a row.",
            "Offers": f"{DIRECTIONS[layer.inverse_cost]} to the base (density of given points), "
            f"{DIRECTIONS[layer.forward_cost]} from it (samples, and the density of own ones); {on}.",
        }

    def bill(self, shape: Shape, context: int) -> Bill:
        """Cost of one row of `shape` with a context of width `context` (0: none), the cheap way."""
        return Bill(activations=4 * numel(shape))


def base_of(layers: Sequence[FlowLayer], shape: Shape) -> Shape:
    """The shape at the base of a list of layers; flat where a `split` sent a part there."""
    sent = 0
    for layer in layers:
        inner = layer.base_shape(shape)
        sent += numel(shape) - numel(inner)
        shape = inner
    return (numel(shape) + sent,) if sent else shape


def estimates(layers: Sequence[FlowLayer], shape: Shape) -> tuple[FlowLayer, ...]:
    """The layers of a list whose log-determinant is an estimate."""
    found = []
    for layer in layers:
        if layer.estimated(shape):
            found.append(layer)
        shape = layer.base_shape(shape)
    return tuple(found)


Between = Literal["reverse", "shuffle", "lu_linear"]


def between_bill(how: Between | None, size: int) -> Bill:
    """What stands between two layers on `size` entries: an order of them, or an LU matrix and a shift."""
    if how is None:
        return Bill()
    return Bill(size * (size + 1) if how == "lu_linear" else 0, 0, size)


class EntryLayer(FlowLayer):
    """Base of the layers that move each entry by a scalar bijection whose raw numbers a conditioner gives.

    `affine` is x exp(s) + t, `additive` x + t, `rq_spline` a monotonic rational-quadratic spline on [-bound,
    bound] with the identity outside (Durkan et al. 2019).
    """

    transform: EntryTransform = "affine"
    bins: Annotated[int, Field(ge=2, le=128)] | None = Field(
        default=None, description=f"pieces of an rq_spline; {BINS} if not written"
    )
    bound: Positive | None = Field(
        default=None, description="an rq_spline acts on [-bound, bound]; 5 if not written"
    )

    def pieces(self) -> int:
        """Pieces of the spline."""
        return BINS if self.bins is None else self.bins

    def edge(self) -> float:
        """Where the spline's linear tails begin."""
        return 5.0 if self.bound is None else self.bound

    def numbers(self) -> int:
        """Raw numbers for each entry: shift, and log-scale if any; widths, heights and slopes."""
        return {"additive": 1, "affine": 2, "rq_spline": 3 * self.pieces() - 1}[self.transform]

    def problem(self, shape: Shape) -> str | None:
        """See FlowLayer: here, keys of a spline without a spline."""
        for key in ("bins", "bound"):
            if self.transform != "rq_spline" and getattr(self, key) is not None:
                return f"`{key}` belongs to transform: rq_spline, not {self.transform}"
        return None

    def entry_bill(self, size: int) -> Bill:
        """The scalar bijections of `size` entries; an affine one learns the bound of its log-scale."""
        numbers = self.numbers()
        return Bill(size if self.transform == "affine" else 0, 10 * numbers * size, (6 + numbers) * size)


@component("flow", "planar", build="gendsl.nn.transforms.planar:build_planar")
class Planar(FlowLayer):
    """Planar flow z + u tanh(w.z + b) (Rezende and Mohamed 2015, eq. 10), invertible by u's constraint.

    Cheap from base to variable, so densities of its own samples only; the inverse has no closed form. Fine
    inside an encoder, refused where a density at given points is needed. `repeat` layers run as one fused
    stack.

    Formula: x = z + u' tanh(w.z + b), log |det| = log |1 + tanh'(w.z + b) w.u'| (Rezende and Mohamed 2015,
    eq. 10 to 12), u' = u + (m(w.u) - w.u) w / |w|^2 with m(a) = softplus(a) - 1, so that w.u' > -1 (appendix
    A.1).

    Fails: Refused in a prior or under observed data: the inverse has no closed form. One layer bends along
    one direction only, so many are needed in many dimensions.
    """

    repeat: Count = 1
    inverse_cost = Cost.NONE
    op = "planar_stack"
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"repeat": 5})

    def bill(self, shape: Shape, context: int) -> Bill:
        size = numel(shape)
        numbers = self.repeat * (2 * size + 1)
        own = dense(context, numbers) if context else Bill(parameters=numbers)
        return own + Bill(flops=8 * self.repeat * size, activations=self.repeat * (5 * size + 3))


@component("flow", "coupling", build="gendsl.nn.transforms.coupling:build_coupling")
class Coupling(EntryLayer):
    """Coupling layer: one part passes through and sets the transform of the other (NICE; RealNVP, eq. 7-8).

    `repeat` layers alternate which part passes through. Cheap in both directions.

    Formula: x_a = z_a, x_b = z_b exp(s(z_a)) + t(z_a), log |det| = sum s (Dinh et al. 2017, eq. 7 and 8);
    additive: s = 0 (Dinh et al. 2015, eq. 8); rq_spline: Durkan et al. 2019, eq. 4. s is bounded by a learned
    tanh.

    Fails: One layer leaves half of the entries as they are: at least two, with alternating parts, are needed.
    checkerboard and channel need a grid, channel two channels. Distant modes stay joined by thin bridges.
    """

    mask: Mask = "half"
    repeat: Count = 1
    between: Between | None = Field(
        default=None, description="what stands between two of the `repeat` layers; nothing if not written"
    )
    net: Annotated[Net, Slot("net")] | None = Field(
        default=None, description="conditioner; an mlp if not written"
    )
    hidden: Annotated[tuple[Count, ...], Field(strict=False)] | None = Field(
        default=None, description="hidden widths of an mlp conditioner, instead of `net`"
    )
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"hidden": [16]},
        {"repeat": 3, "hidden": [16]},
        {"transform": "additive", "repeat": 2, "hidden": [16]},
        {"mask": "checkerboard", "repeat": 2, "hidden": [16]},
        {"transform": "rq_spline", "repeat": 2, "bins": 4, "bound": 3.0, "hidden": [16]},
        {"repeat": 2, "between": "shuffle", "hidden": [16]},
        {"repeat": 2, "between": "lu_linear", "hidden": [16]},
    )

    def conditioner(self) -> Net:
        """The network that reads the part that passes through."""
        if self.net is not None:
            return self.net
        return Mlp(hidden=self.hidden if self.hidden is not None else (128, 128), activation="relu")

    def inputs(self, shape: Shape, context: int) -> tuple[Input, ...]:
        """What the conditioner reads."""
        own = Input("value", shape if len(shape) == 3 else (numel(shape),))
        return (own, Input("context", (context,))) if context else (own,)

    def problem(self, shape: Shape) -> str | None:
        if self.mask != "half" and len(shape) != 3:
            return f"mask: {self.mask} needs a grid [C, H, W], not {list(shape)}; use mask: half"
        if self.mask == "channel" and shape[0] < 2:
            return (
                "mask: channel needs two channels or more; put a squeeze before it, or use mask: checkerboard"
            )
        if numel(shape) < 2:
            return "a coupling needs two dimensions or more: one part passes through and sets the other"
        if self.net is not None and self.hidden is not None:
            return "write `net` or `hidden`, not both"
        net = self.conditioner()
        if isinstance(net, Ref):
            return "a coupling's net is its own and cannot be shared: write it out"
        if net.autoregressive:
            return f"{net.tag} is autoregressive; a coupling's net reads the part that passes through"
        return super().problem(shape) or net.problem(self.inputs(shape, 0), shape)

    def bill(self, shape: Shape, context: int) -> Bill:
        net, inputs, size = self.conditioner(), self.inputs(shape, context), numel(shape)
        head = head_bill(net.features(inputs, shape), (self.numbers(), *shape))
        layers = (net.bill(inputs, shape) + head + self.entry_bill(size)) * self.repeat
        return layers + between_bill(self.between, size) * (self.repeat - 1)


@component("flow", "permute", build="gendsl.nn.transforms.permute:build_permute")
class Permute(FlowLayer):
    """A fixed permutation of the flattened entries: reversed, or shuffled by a seed. Volume-preserving.

    Formula: x_i = z_pi(i), log |det| = 0 (Kingma and Dhariwal 2018, section 3.2, of which it is the fixed
    case).

    Fails: It learns nothing, and two reversals in a row undo each other: put it between couplings or
    autoregressive layers.
    """

    how: Literal["reverse", "shuffle"] = "reverse"
    seed: Annotated[int, Field(ge=0)] = 0
    primary = "how"
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"how": "shuffle"})

    def base_support(self, support: Support) -> Support | None:
        return support

    def support(self, base: Support) -> Support | None:
        return base
