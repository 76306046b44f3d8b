"""Flow layers: which direction is cheap, which shapes they take, how many parameters they have.

A layer is a bijection between the variable's side and the base's side. `forward` goes from the base to the variable
(sampling), `inverse` from the variable to the base (density). The maths is in `gendsl.nn.transforms`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from gendsl.schema.components.net import Bill, Mlp, Net, Ref, dense, head_bill
from gendsl.schema.facts import REAL, Cost, Input, Shape, Support, numel
from gendsl.schema.fields import Count
from gendsl.schema.registry import Component, Slot, component

Mask = Literal["half", "checkerboard", "channel"]


class FlowLayer(Component):
    """A bijection with a tractable log-determinant in at least one direction."""

    forward_cost: ClassVar[Cost] = Cost.CHEAP
    inverse_cost: ClassVar[Cost] = Cost.CHEAP
    op: ClassVar[str | None] = None
    """The fused operation that computes it, for the placement pass."""
    amortized: bool = Field(default=True, description="whether the parents condition the layer")

    def base_shape(self, shape: Shape) -> Shape:
        """Shape on the base's side for a shape on the variable's side."""
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

    def bill(self, shape: Shape, context: int) -> Bill:
        """Cost for one row of `shape`, with a context vector of width `context` (0: none), in the cheap direction."""
        return Bill(activations=4 * numel(shape))


@component("flow", "planar", build="gendsl.nn.transforms.planar:build_planar")
class Planar(FlowLayer):
    """Planar flow z + u tanh(w.z + b) (Rezende and Mohamed 2015, eq. 10), invertible by u's constraint.

    Cheap from base to variable, so densities of its own samples only; the inverse has no closed form. Fine inside an
    encoder, refused where a density at given points is needed. `repeat` layers run as one fused stack.
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
class Coupling(FlowLayer):
    """Coupling layer: one part passes through and sets the transform of the other (NICE; RealNVP, eq. 7-8).

    `repeat` layers alternate which part passes through. Cheap in both directions.
    """

    transform: Literal["affine", "additive"] = "affine"
    mask: Mask = "half"
    repeat: Count = 1
    net: Annotated[Net, Slot("net")] | None = Field(default=None, description="conditioner; an mlp if not written")
    hidden: Annotated[tuple[Count, ...], Field(strict=False)] | None = Field(
        default=None, description="hidden widths of an mlp conditioner, instead of `net`"
    )
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"hidden": [16]},
        {"repeat": 3, "hidden": [16]},
        {"transform": "additive", "repeat": 2, "hidden": [16]},
        {"mask": "checkerboard", "repeat": 2, "hidden": [16]},
    )

    def conditioner(self) -> Net:
        """The network that reads the part that passes through."""
        if self.net is not None:
            return self.net
        return Mlp(hidden=self.hidden if self.hidden is not None else (128, 128), activation="relu")

    def numbers(self) -> int:
        """Raw numbers for each entry: shift, and log-scale where there is one."""
        return 1 if self.transform == "additive" else 2

    def inputs(self, shape: Shape, context: int) -> tuple[Input, ...]:
        """What the conditioner reads."""
        own = Input("value", shape if len(shape) == 3 else (numel(shape),))
        return (own, Input("context", (context,))) if context else (own,)

    def problem(self, shape: Shape) -> str | None:
        if self.mask != "half" and len(shape) != 3:
            return f"mask: {self.mask} needs a grid [C, H, W], not {list(shape)}; use mask: half"
        if self.mask == "channel" and shape[0] < 2:
            return "mask: channel needs two channels or more; put a squeeze before it, or use mask: checkerboard"
        if numel(shape) < 2:
            return "a coupling needs two dimensions or more: one part passes through and sets the other"
        if self.net is not None and self.hidden is not None:
            return "write `net` or `hidden`, not both"
        net = self.conditioner()
        if isinstance(net, Ref):
            return "a coupling's net is its own and cannot be shared: write it out"
        if net.autoregressive:
            return f"{net.tag} is autoregressive; a coupling's net reads the part that passes through"
        return net.problem(self.inputs(shape, 0), shape)

    def bill(self, shape: Shape, context: int) -> Bill:
        net, inputs, size = self.conditioner(), self.inputs(shape, context), numel(shape)
        head = head_bill(net.features(inputs, shape), (self.numbers(), *shape))
        scale = size if self.transform == "affine" else 0
        own = Bill(parameters=scale, flops=10 * size, activations=8 * size)
        return (net.bill(inputs, shape) + head + own) * self.repeat


@component("flow", "permute", build="gendsl.nn.transforms.permute:build_permute")
class Permute(FlowLayer):
    """A fixed permutation of the flattened entries: reversed, or shuffled by a seed. Volume-preserving."""

    how: Literal["reverse", "shuffle"] = "reverse"
    seed: Annotated[int, Field(ge=0)] = 0
    primary = "how"
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"how": "shuffle"})

    def base_support(self, support: Support) -> Support | None:
        return support

    def support(self, base: Support) -> Support | None:
        return base
