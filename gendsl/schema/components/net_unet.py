"""`unet`: from the parents' grid to features of the same size, coarse to fine with skips (Ronneberger et al. 2015)."""

from typing import Any, ClassVar

from gendsl.schema.components.net import (
    Activation,
    Bill,
    Kernel,
    Net,
    Size,
    Target,
    describe,
    readable,
)
from gendsl.schema.components.net_grid import conv_film
from gendsl.schema.components.net_planes import (
    Plane,
    body_size,
    context_width,
    plane_channels,
    planes,
    pyramid,
    until_small,
    vectors,
    widths,
)
from gendsl.schema.facts import Inputs, Shape, embedding_parameters, numel
from gendsl.schema.registry import component


@component("net", "unet", build="gendsl.nn.networks.unet:build_unet")
class Unet(Net):
    """Halvings, then doublings that also read what was there before each halving (Ronneberger et al. 2015).

    For grids that are made from grids of the same size; parents that are no grids modulate every layer.
    """

    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"width": 6},
        {"width": 8, "layers": 2, "kernel": 5, "activation": "silu"},
    )

    layers: Size | None = None
    """Halvings; until no side is longer than 4 if not given."""
    width: Size = 32
    kernel: Kernel = 3
    activation: Activation = "relu"

    def problem(self, inputs: Inputs, target: Target) -> str | None:
        if not planes(inputs):
            return (
                f"unet reads a grid [C, H, W] among its parents, and {describe(inputs)}; use conv_up or mlp"
            )
        return readable(inputs)

    def levels(self, inputs: Inputs) -> tuple[tuple[Plane, int], ...]:
        """Size and channels of every level, largest first."""
        size = body_size(inputs)
        steps = until_small(size) if self.layers is None else self.layers
        return tuple(zip(pyramid(size, steps), widths(self.width, steps), strict=True))

    def features(self, inputs: Inputs, target: Target) -> Shape:
        return (self.width, *body_size(inputs))

    def bill(self, inputs: Inputs, target: Target, outputs: int = 0) -> Bill:
        levels, context = self.levels(inputs), context_width(vectors(inputs))
        before = plane_channels(inputs)
        total = Bill(embedding_parameters(inputs), 0, before * numel(levels[0][0]) + context)
        for size, width in levels:
            total += self._layer(before, width, size, context)
            before = width
        for size, width in reversed(levels[:-1]):
            total += Bill(activations=(before + width) * numel(size))
            total += self._layer(before + width, width, size, context)
            before = width
        return total

    def _layer(self, before: int, width: int, size: Plane, context: int) -> Bill:
        return conv_film(before, width, self.kernel, size, context=context, activation=self.activation)
