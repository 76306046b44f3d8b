"""Networks on grids: `conv_down`, `conv_up` and `resnet` (the last one on vectors too).

Sizes and channels of their levels: `net_planes`.
"""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from gendsl.schema.components.net import (
    Activation,
    Bill,
    Kernel,
    Net,
    Size,
    Target,
    activated,
    dense,
    describe,
    film,
    kept,
    readable,
    shape_of,
)
from gendsl.schema.components.net_planes import (
    Plane,
    body_size,
    context_width,
    halvings,
    plane_channels,
    planes,
    pyramid,
    target_size,
    until_small,
    vectors,
    widths,
)
from gendsl.schema.facts import Inputs, Shape, conv, embedding_parameters, numel, vector_width
from gendsl.schema.registry import component


def convolution(inputs: int, outputs: int, kernel: int, plane: Plane) -> Bill:
    """A convolution with a square kernel and as many output positions as `plane` has."""
    return Bill(conv(inputs, outputs, kernel), 2 * inputs * outputs * kernel * kernel * numel(plane))


def conv_film(
    inputs: int, outputs: int, kernel: int, plane: Plane, *, context: int, activation: Activation
) -> Bill:
    """Convolution, modulation by the context, activation."""
    return (
        convolution(inputs, outputs, kernel, plane)
        + film(context, outputs, numel(plane))
        + activated(outputs * numel(plane), activation)
    )


@component("net", "conv_down", build="gendsl.nn.networks.conv_down:build_conv_down")
class ConvDown(Net):
    """Strided convolutions from grids to a vector, or to a smaller grid where the head is one they reach."""

    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"width": 8},
        {"width": 6, "layers": 2, "activation": "leaky_relu", "kernel": 5},
    )

    width: Size = 32
    layers: Annotated[int, Field(ge=0)] | None = None
    """How many strides of two; by itself until the head's grid, or else until no side is longer than 4."""
    kernel: Kernel = 3
    activation: Activation = "silu"

    def problem(self, inputs: Inputs, target: Target) -> str | None:
        if not planes(inputs):
            return f"conv_down needs a grid [C, H, W] among its parents; {describe(inputs)}; use mlp"
        return readable(inputs)

    def steps(self, inputs: Inputs, target: Target) -> int:
        """The number of strides of two."""
        if self.layers is not None:
            return self.layers
        size, end = body_size(inputs), target_size(target)
        reached = halvings(size, end) if end is not None else None
        return until_small(size) if reached is None else reached

    def features(self, inputs: Inputs, target: Target) -> Shape:
        steps = self.steps(inputs, target)
        size, width = pyramid(body_size(inputs), steps)[-1], widths(self.width, steps)[-1]
        return (width, *size) if size == target_size(target) else (width * numel(size),)

    def bill(self, inputs: Inputs, target: Target, outputs: int = 0) -> Bill:
        steps, context = self.steps(inputs, target), context_width(vectors(inputs))
        before = plane_channels(inputs)
        total = Bill(embedding_parameters(inputs), 0, before * numel(body_size(inputs)) + context)
        levels = zip(pyramid(body_size(inputs), steps), widths(self.width, steps), strict=True)
        for size, width in levels:
            total += conv_film(before, width, self.kernel, size, context=context, activation=self.activation)
            before = width
        return total


@component("net", "conv_up", build="gendsl.nn.networks.conv_up:build_conv_up")
class ConvUp(Net):
    """Nearest-neighbour upsampling and convolutions from vectors, or a smaller grid, to the head's grid."""

    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"width": 8},
        {"width": 6, "layers": 2, "activation": "relu", "kernel": 5},
    )

    width: Size = 32
    layers: Annotated[int, Field(ge=0)] | None = None
    """How many doublings; by itself from the parents' grid, or else from a start no larger than 4 by 4."""
    kernel: Kernel = 3
    activation: Activation = "silu"

    def problem(self, inputs: Inputs, target: Target) -> str | None:
        size = target_size(target)
        if size is None:
            shape = shape_of(target)
            what = "a critic has no head" if shape is None else f"the head is {list(shape)}"
            instead = "conv_down or mlp" if planes(inputs) else "mlp"
            return f"conv_up makes grids [C, H, W] and {what}; use {instead}"
        if not inputs:
            return "conv_up has nothing to read; name parents with `given`"
        if planes(inputs):
            start = body_size(inputs)
            reached = halvings(size, start)
            way = ", ".join(f"{h}x{w}" for h, w in pyramid(size, until_small(size) + 2))
            if reached is None:
                here = f"{size[0]}x{size[1]} from {start[0]}x{start[1]}"
                return f"conv_up cannot reach {here}; start from one of {way}, or use resnet"
            if self.layers is not None and self.layers != reached:
                return (
                    f"conv_up needs {reached} doublings from {start[0]}x{start[1]} to {size[0]}x{size[1]}, "
                    f"and `layers` says {self.layers}; leave `layers` out"
                )
        return readable(inputs)

    def steps(self, inputs: Inputs, target: Target) -> int:
        """The number of doublings. Raises ValueError where `problem` says why."""
        size = target_size(target)
        if size is None:
            raise ValueError(self.problem(inputs, target))
        if planes(inputs):
            reached = halvings(size, body_size(inputs))
            if reached is None:
                raise ValueError(self.problem(inputs, target))
            return reached
        return until_small(size) if self.layers is None else self.layers

    def levels(self, inputs: Inputs, target: Target) -> tuple[tuple[Plane, int], ...]:
        """Size and channels of every level, smallest first."""
        steps, size = self.steps(inputs, target), target_size(target)
        assert size is not None
        pairs = zip(pyramid(size, steps), widths(self.width, steps), strict=True)
        return tuple(reversed(tuple(pairs)))

    def features(self, inputs: Inputs, target: Target) -> Shape:
        size, width = self.levels(inputs, target)[-1]
        return (width, *size)

    def bill(self, inputs: Inputs, target: Target, outputs: int = 0) -> Bill:
        levels = self.levels(inputs, target)
        size, before = levels[0]
        total = Bill(embedding_parameters(inputs))
        context = context_width(vectors(inputs)) if planes(inputs) else 0
        if planes(inputs):
            total += Bill(activations=plane_channels(inputs) * numel(size) + context)
            total += conv_film(
                plane_channels(inputs), before, self.kernel, size, context=context, activation=self.activation
            )
        else:
            width = vector_width(inputs)
            total += Bill(activations=width) + dense(width, before * numel(size))
            total += activated(before * numel(size), self.activation)
        for size, width in levels[1:] or levels:
            total += Bill(activations=before * numel(size))
            total += conv_film(before, width, self.kernel, size, context=context, activation=self.activation)
            before = width
        return total


@component("net", "resnet", build="gendsl.nn.networks.resnet:build_resnet")
class Resnet(Net):
    """Residual blocks of one size: on the parents' grid where there is one, else on their vector."""

    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"blocks": 2, "width": 8},
        {"blocks": 1, "width": 6, "activation": "silu"},
    )

    blocks: Size = 2
    width: Size = 64
    kernel: Kernel = 3
    activation: Activation = "relu"

    def problem(self, inputs: Inputs, target: Target) -> str | None:
        if not inputs:
            return "resnet has nothing to read; name parents with `given`, or leave the net out"
        return readable(inputs)

    def features(self, inputs: Inputs, target: Target) -> Shape:
        return (self.width, *body_size(inputs)) if planes(inputs) else (self.width,)

    def bill(self, inputs: Inputs, target: Target, outputs: int = 0) -> Bill:
        on_grid = bool(planes(inputs))
        size, kernel = (body_size(inputs), self.kernel) if on_grid else ((1, 1), 1)
        before = plane_channels(inputs) if on_grid else vector_width(inputs)
        context = context_width(vectors(inputs)) if on_grid else 0
        units = self.width * numel(size)
        block = convolution(self.width, self.width, kernel, size) * 2
        block += film(context, self.width, numel(size))
        block += activated(units, self.activation) * 2
        total = Bill(embedding_parameters(inputs), 0, before * numel(size) + context)
        total += convolution(before, self.width, kernel, size) + block * self.blocks
        return total + Bill(activations=units * kept(self.activation))
