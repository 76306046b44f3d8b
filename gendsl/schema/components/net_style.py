"""`style`: StyleGAN2's generator, from vectors to a grid, without torch."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from gendsl.schema.components.net import (
    Bill,
    Net,
    Size,
    Target,
    dense,
    describe,
    read_vector,
    readable,
    shape_of,
)
from gendsl.schema.components.net_planes import Plane, planes, pyramid, target_size, until_small, widths
from gendsl.schema.facts import Inputs, Shape, numel, vector_width
from gendsl.schema.registry import component


@component("net", "style", build="gendsl.nn.networks.style:build_style")
class Style(Net):
    """StyleGAN2 (Karras et al. 2020): a mapping network, then convolutions modulated and demodulated by its styles.

    The planes of every level are added up, upsampled (skips), and the factor's output layer reads the sum. Noise and
    style mixing make the output random given the parents: the factor has no density then.
    """

    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"width": 8, "style": 12, "mapping": 2},
        {"width": 6, "style": 10, "mapping": 1, "layers": 2, "noise": False, "mixing": 0.9},
    )

    styled = True

    width: Size = 32
    style: Size = Field(default=64, description="width of the styles w")
    mapping: Size = Field(default=4, description="dense layers from the parents to w")
    layers: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="how many doublings; by itself from a start no larger than 4 by 4"
    )
    noise: bool = Field(default=True, description="noise of learned strength after every convolution")
    mixing: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="share of rows whose later layers take another row's style, in training"
    )

    @property
    def random(self) -> bool:
        """Noise, or another row's style."""
        return self.noise or self.mixing > 0

    def problem(self, inputs: Inputs, target: Target) -> str | None:
        if target_size(target) is None:
            shape = shape_of(target)
            what = "a critic has no head" if shape is None else f"the head is {list(shape)}"
            return f"style makes grids [C, H, W] and {what}; use mlp"
        if not inputs or planes(inputs):
            return f"style reads vectors and labels, and {describe(inputs)}; use conv_up"
        return readable(inputs)

    def levels(self, inputs: Inputs, target: Target) -> tuple[tuple[Plane, int], ...]:
        """Size and channels of every level, smallest first. Raises ValueError where `problem` says why."""
        size = target_size(target)
        if size is None:
            raise ValueError(self.problem(inputs, target))
        steps = until_small(size) if self.layers is None else self.layers
        return tuple(reversed(tuple(zip(pyramid(size, steps), widths(self.width, steps), strict=True))))

    def features(self, inputs: Inputs, target: Target) -> Shape:
        size, _ = self.levels(inputs, target)[-1]
        return (self.width, *size)

    def bill(self, inputs: Inputs, target: Target, outputs: int = 0) -> Bill:
        total, width = read_vector(inputs), vector_width(inputs)
        for _ in range(self.mapping):
            total += dense(width, self.style) + Bill(activations=2 * self.style)
            width = self.style
        levels = self.levels(inputs, target)
        size, before = levels[0]
        total += Bill(before * numel(size))
        for i, (size, after) in enumerate(levels):
            total += self._convolution(before, after, 3, size) + Bill(activations=3 * after * numel(size))
            if i:
                total += self._convolution(after, after, 3, size) + Bill(activations=3 * after * numel(size))
            total += self._convolution(after, self.width, 1, size, demodulate=False)
            total += Bill(activations=2 * self.width * numel(size))
            before = after
        return total

    def _convolution(
        self, inputs: int, outputs: int, kernel: int, plane: Plane, *, demodulate: bool = True
    ) -> Bill:
        """A modulated convolution with its style, bias, and the strength of its noise where it is demodulated."""
        own = inputs * outputs * kernel * kernel
        strength = 1 if demodulate and self.noise else 0
        scaled = Bill(own + outputs + strength, 2 * own * numel(plane), inputs * numel(plane))
        return (
            dense(self.style, inputs) + scaled + (Bill(flops=2 * inputs * outputs) if demodulate else Bill())
        )
