"""Flow layers that rearrange: squeeze, split, and chain, which repeats a list of layers."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from gendsl.schema.components.flow import FlowLayer, base_of, estimates
from gendsl.schema.components.net import Bill
from gendsl.schema.facts import Cost, Shape, Support, numel
from gendsl.schema.fields import Count
from gendsl.schema.registry import Slot, component


class Rearrangement(FlowLayer):
    """Base of the layers that only move entries about: any support passes."""

    def base_support(self, support: Support) -> Support | None:
        return support

    def support(self, base: Support) -> Support | None:
        return base


@component("flow", "squeeze", build="gendsl.nn.transforms.rearrange:build_squeeze")
class Squeeze(Rearrangement):
    """Towards the base, [C, H, W] becomes [4C, H/2, W/2]: each 2 x 2 square becomes channels.

    Formula: [C, H, W] -> [4 C, H / 2, W / 2], log |det| = 0 (Dinh et al. 2017, section 3.6).

    Fails: Odd heights or widths, and vectors, are refused.
    """

    def base_shape(self, shape: Shape) -> Shape:
        channels, height, width = shape
        return (4 * channels, height // 2, width // 2)

    def problem(self, shape: Shape) -> str | None:
        if len(shape) != 3 or shape[1] % 2 or shape[2] % 2:
            return f"squeeze needs a grid [C, H, W] of even height and width, not {list(shape)}"
        return None


@component("flow", "split", build="gendsl.nn.transforms.rearrange:build_split")
class Split(Rearrangement):
    """The second half of the channels, or of a vector's entries, goes straight to the base, then flat.

    The layers after it see the first half only (Dinh et al. 2017, section 3.6).

    Formula: z = (z1, z2), x = (f(z1), z2), log |det| = that of f (Dinh et al. 2017, section 3.6, eq. 15 and
    16).

    Fails: What it sends to the base is not moved by later layers: too early a split costs fit. A single
    channel is refused, and so is a split in a chain.
    """

    def base_shape(self, shape: Shape) -> Shape:
        return (shape[0] - shape[0] // 2, *shape[1:])

    def problem(self, shape: Shape) -> str | None:
        if not shape or shape[0] < 2:
            return "split needs two channels (or entries) or more; put a squeeze before it"
        return None


@component("flow", "chain", build="gendsl.nn.transforms.rearrange:build_chain")
class Chain(FlowLayer):
    """The layers under `stack`, from the variable inwards, `repeat` times with parameters of their own.

    Formula: x = f_1(f_2(...(z))), log |det| = the sum of the layers' (Rezende and Mohamed 2015, eq. 7;
    Papamakarios et al. 2021, eq. 6).

    Fails: A layer that cannot take the shape at its place is refused with its place. Each repeat has
    parameters of its own.
    """

    stack: Annotated[tuple[Annotated[FlowLayer, Slot("flow")], ...], Field(strict=False, min_length=1)]
    repeat: Count = 1
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"stack": ["actnorm", "inv_1x1_conv", {"type": "coupling", "hidden": [16]}], "repeat": 2},
        {"stack": [{"type": "planar", "repeat": 2}, "permute"], "repeat": 2},
    )

    @property
    def forward_cost(self) -> Cost:  # type: ignore[override]
        """The dearest of the layers'."""
        return _dearest([layer.forward_cost for layer in self.stack])

    @property
    def inverse_cost(self) -> Cost:  # type: ignore[override]
        """The dearest of the layers'."""
        return _dearest([layer.inverse_cost for layer in self.stack])

    @property
    def op(self) -> str | None:  # type: ignore[override]
        """The first fused operation among the layers."""
        return next((layer.op for layer in self.stack if layer.op is not None), None)

    @property
    def ordered(self) -> bool:
        """Whether one of the layers is."""
        return any(layer.ordered for layer in self.stack)

    @property
    def acts_on(self) -> str:
        """Every layer's."""
        return ", ".join(dict.fromkeys(f"{layer.acts_on} ({layer.tag})" for layer in self.stack))

    def layers(self) -> tuple[FlowLayer, ...]:
        """All layers from the variable inwards, repetitions written out."""
        return self.stack * self.repeat

    def estimated(self, shape: Shape) -> bool:
        return bool(estimates(self.layers(), shape))

    @property
    def error(self) -> float:
        return sum(layer.error for layer in self.layers())

    def base_shape(self, shape: Shape) -> Shape:
        return base_of(self.layers(), shape)

    def base_support(self, support: Support) -> Support | None:
        """Through every layer."""
        found: Support | None = support
        for layer in self.layers():
            found = None if found is None else layer.base_support(found)
        return found

    def support(self, base: Support) -> Support | None:
        """Through every layer, from the base outwards."""
        found: Support | None = base
        for layer in reversed(self.layers()):
            found = None if found is None else layer.support(found)
        return found

    def problem(self, shape: Shape) -> str | None:
        for i, layer in enumerate(self.layers()):
            why = layer.problem(shape)
            if why is not None:
                return f"{layer.tag}, layer {i} of the chain written out: {why}"
            inner = layer.base_shape(shape)
            if numel(inner) != numel(shape):
                return f"{layer.tag} sends a part to the base; write it between two chains, not in one"
            shape = inner
        return None

    def bill(self, shape: Shape, context: int) -> Bill:
        total = Bill()
        for layer in self.layers():
            total += layer.bill(shape, context if layer.amortized else 0)
            shape = layer.base_shape(shape)
        return total


def _dearest(costs: list[Cost]) -> Cost:
    return max(costs, key=list(Cost).index)
