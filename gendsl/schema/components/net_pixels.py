"""`pixelcnn_pp`: the network of PixelCNN++ (Salimans et al. 2017, arXiv 1701.05517, section 2).

Two streams as in the gated form, one of whole rows and one of the row at hand, made of gated residual blocks at several
resolutions: downwards by strides of two, upwards with a connection to every block of the way down. The likelihood of
the paper is `dist: mixture_of_logistics`; any density of single entries serves.
"""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from gendsl.schema.components.net import Bill, Size, Target, as_input, dense, shape_of
from gendsl.schema.components.net_ar import AutoregressiveNet, entry_bill
from gendsl.schema.components.net_planes import (
    channels,
    context_width,
    half,
    plane_channels,
    planes,
    vectors,
)
from gendsl.schema.facts import Inputs, embedding_parameters, numel
from gendsl.schema.registry import component


@component("net", "pixelcnn_pp", build="gendsl.nn.networks.pixelcnn_pp:build_pixelcnn_pp")
class PixelCNNpp(AutoregressiveNet):
    """Gated residual blocks in two streams with short cuts across resolutions (Salimans et al. 2017).

    `layers` blocks at each of `levels` + 1 resolutions, down and up again.
    """

    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"layers": 2, "width": 9, "levels": 1},
        {"layers": 3, "width": 8, "levels": 0},
    )

    layers: Size = 2
    width: Size = 32
    levels: Annotated[int, Field(ge=0, le=5)] = Field(default=1, description="how often the grid is halved")

    def orderings(self) -> tuple[str, ...] | None:
        return ("raster",)

    def problem(self, inputs: Inputs, target: Target) -> str | None:
        shape = shape_of(target)
        if shape is not None and len(shape) not in (2, 3):
            return f"pixelcnn_pp models grids [C, H, W], and the head is {list(shape)}; use made or mlp"
        if shape is not None and len(shape) == 3 and self.width < shape[0]:
            return f"pixelcnn_pp needs a width of at least the {shape[0]} channels; `width` is {self.width}"
        return super().problem(inputs, target)

    def bill(self, inputs: Inputs, target: Target, outputs: int = 0) -> Bill:
        head = as_input(target)
        width, outer, read = self.width, numel(head.shape[:-2]), channels(head) + 1
        context, grids = context_width(vectors(inputs)), plane_channels(inputs)
        size = (head.shape[-2], head.shape[-1])
        sizes = [size]
        for _ in range(self.levels):
            sizes.append(half(sizes[-1]))
        spots = [numel(s) for s in sizes]
        total = entry_bill(head) + Bill(embedding_parameters(inputs), 0, context + grids * spots[0])
        if planes(inputs):
            total += dense(grids * 9, width, spots[0]) + Bill(activations=width * sum(spots))
        total += dense(read * 6, width, spots[0]) + dense(read * 3, width, spots[0])
        total += dense(read * 2, width, spots[0]) + Bill(activations=4 * read * spots[0])

        def block(spot: int, taps: int, beside: int) -> Bill:
            bill = dense(taps * width, width, spot) + dense(taps * width, 2 * width, spot)
            bill += dense(beside, width, spot) if beside else Bill()
            bill += dense(context, 2 * width, bias=False) if context else Bill()
            bill += dense(width, 2 * width, spot, bias=False) if grids else Bill()
            return bill + Bill(activations=(9 * width + (beside if beside > width else 0)) * spot)

        for level, spot in enumerate(spots):
            total += (block(spot, 6, 0) + block(spot, 4, width)) * self.layers
            ups = self.layers + (level < self.levels)
            total += (block(spot, 6, width) + block(spot, 4, 2 * width)) * ups
            if level:
                down = dense(6 * width, width, spot) + dense(4 * width, width, spot)
                total += down + Bill(activations=2 * width * spots[level - 1])
        pixels = spots[0]
        total += dense(width, width, pixels) * 2
        total += dense(channels(head), width, pixels) if outer > 1 else Bill()
        return total + dense(width, outputs * outer, pixels) + Bill(activations=4 * width * pixels)
