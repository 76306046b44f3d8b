"""Autoregressive networks: `gated_pixelcnn` and `made`.

The raw parameters of entry i depend only on the entries ranked before i, and on the parents. Entries that are
labels are embedded, so the head variable is given to the facts as an Input; a bare shape means real values.
"""

from typing import Any, ClassVar

from gendsl.schema import registry
from gendsl.schema.components.net import (
    Activation,
    Bill,
    Kernel,
    Net,
    Size,
    Sizes,
    Target,
    activated,
    as_input,
    dense,
    readable,
    shape_of,
)
from gendsl.schema.components.net_planes import channels, context_width, plane_channels, planes, vectors
from gendsl.schema.components.ordering import Ordering
from gendsl.schema.facts import Input, Inputs, embedding_parameters, numel, vector_width
from gendsl.schema.registry import component


class AutoregressiveNet(Net):
    """Base of the networks that read the head variable itself."""

    autoregressive: ClassVar[bool] = True
    cloze: ClassVar[str] = ""
    """The builder of an order-agnostic form of the net, spec, inputs, target, outputs -> module, if it has one."""

    def problem(self, inputs: Inputs, target: Target) -> str | None:
        if target is None:
            return f"{self.tag} models the entries of a variable one by one, and a critic has none; use mlp"
        return readable((*inputs, as_input(target)))

    def orderings(self) -> tuple[str, ...] | None:
        """All; `any` only if there is an order-agnostic form, otherwise one set of weights follows one order."""
        table = registry.table("ordering").items()
        known = ((tag, model) for tag, model in table if issubclass(model, Ordering))
        return tuple(tag for tag, model in known if self.cloze or not model.agnostic)


def entry_bill(target: Input) -> Bill:
    """Reading the head variable."""
    return Bill(embedding_parameters((target,)), 0, target.width)


@component("net", "gated_pixelcnn", build="gendsl.nn.networks.gated_pixelcnn:build_gated_pixelcnn")
class GatedPixelCNN(AutoregressiveNet):
    """Gated convolutions in two stacks, pixels in raster order (van den Oord et al. 2016)."""

    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"layers": 4, "width": 15},
        {"layers": 3, "width": 16, "kernel": 5},
    )

    layers: Size = 7
    width: Size = 32
    kernel: Kernel = 5

    def orderings(self) -> tuple[str, ...] | None:
        return ("raster",)

    def problem(self, inputs: Inputs, target: Target) -> str | None:
        shape = shape_of(target)
        if shape is not None and len(shape) not in (2, 3):
            return f"gated_pixelcnn models grids [C, H, W], and the head is {list(shape)}; use made or mlp"
        if shape is not None and len(shape) == 3 and self.width < shape[0]:
            return (
                f"gated_pixelcnn needs a width of at least the {shape[0]} channels; `width` is {self.width}"
            )
        return super().problem(inputs, target)

    def bill(self, inputs: Inputs, target: Target, outputs: int = 0) -> Bill:
        head = as_input(target)
        positions, width = numel(head.shape[-2:]), self.width
        outer = numel(head.shape[:-2])
        context, grids = context_width(vectors(inputs)), plane_channels(inputs)
        reach = self.kernel // 2 + 1
        total = entry_bill(head) + Bill(embedding_parameters(inputs), 0, context + grids * positions)
        if planes(inputs):
            total += dense(grids * 9, width, positions) + Bill(activations=width * positions)
        before = channels(head)
        for layer in range(self.layers):
            total += dense(before * reach * self.kernel, 2 * width, positions)
            total += dense(before * reach, 2 * width, positions)
            total += dense(2 * width, 2 * width, positions) + dense(width, width, positions)
            total += dense(context, 4 * width, bias=False) if context else Bill()
            total += dense(width, 4 * width, positions, bias=False) if grids else Bill()
            gates = 1 if layer == self.layers - 1 else 2
            total += Bill(activations=positions * width * (4 * gates + 2))
            before = width
        total += dense(width, width, positions) + Bill(activations=2 * width * positions)
        return total + dense(width, outputs * outer, positions)


@component("net", "made", build="gendsl.nn.networks.made:build_made")
class Made(AutoregressiveNet):
    """Masked dense layers, any ordering (Germain et al. 2015); without hidden layers FVSBN's linear map."""

    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"hidden": [40, 36]},
        {"hidden": [30], "activation": "tanh", "direct": True},
        {"hidden": []},
    )

    hidden: Sizes = (256, 256)
    activation: Activation = "relu"
    direct: bool = False
    """Also connect entries with outputs directly: for heads with more entries than a layer has units."""
    orders: Size = 1
    """Orders that one set of weights serves: 1, that of its head. More are refused, as a mask has one order."""

    def problem(self, inputs: Inputs, target: Target) -> str | None:
        if self.orders > 1:
            return (
                f"made follows the one ordering of its head, not `orders` of {self.orders}; for every order at once "
                "use ordering: any with a transformer"
            )
        return super().problem(inputs, target)

    def complete(self, entries: int) -> bool:
        """Whether every entry is reached by every earlier one."""
        return self.direct or all(size >= entries - 1 for size in self.hidden)

    def bill(self, inputs: Inputs, target: Target, outputs: int = 0) -> Bill:
        head = as_input(target)
        total = entry_bill(head) + Bill(embedding_parameters(inputs), 0, vector_width(inputs))
        entering = head.width + vector_width(inputs)
        raw, width = outputs * numel(head.shape), entering
        for size in self.hidden:
            total += dense(width, size) + activated(size, self.activation)
            width = size
        if self.hidden:
            total += dense(entering if self.direct else vector_width(inputs), raw, bias=False)
        return total + dense(width, raw)
