"""Orderings: in which turn the entries of a variable come in its autoregressive factor.

An ordering of D entries is a bijection onto the ranks 0 .. D - 1, and the factor is p(x) = prod_i p(x_i |
x_j with rank(j) < rank(i)). Entries are flattened in row-major order; in a grid [C, H, W] every spatial
ordering walks the pixels and takes the channels of one pixel before it goes on to the next (channels
inside).
"""

import random
from abc import abstractmethod
from typing import Annotated, ClassVar

from pydantic import Field

from gendsl.schema.facts import Shape, numel
from gendsl.schema.registry import Component, component

BUILD = "gendsl.nn.ordering:rank_tensor"


class Ordering(Component):
    """Base of the orderings."""

    agnostic: ClassVar[bool] = False
    """Whether the factor is the mixture over all orders (`any`); `ranks` is then one of them."""

    forward: ClassVar[bool] = False
    """Whether a sequence [T] or [T, D] is taken from its first instant to its last."""

    @abstractmethod
    def ranks(self, shape: Shape) -> tuple[int, ...]:
        """The rank of every flattened entry. Raises ValueError where `problem` says why not."""

    def problem(self, shape: Shape) -> str | None:
        """Why a variable of this shape cannot be ordered so, with the fix; None where it can."""
        return None

    def _require(self, shape: Shape) -> None:
        why = self.problem(shape)
        if why is not None:
            raise ValueError(why)


@component("ordering", "natural", build=BUILD)
class Natural(Ordering):
    """Entries as they lie in memory: row-major, the last axis fastest."""

    forward: ClassVar[bool] = True

    def ranks(self, shape: Shape) -> tuple[int, ...]:
        return tuple(range(numel(shape)))


@component("ordering", "reverse", build=BUILD)
class Reverse(Ordering):
    """The natural order from its end to its beginning."""

    def ranks(self, shape: Shape) -> tuple[int, ...]:
        return tuple(reversed(range(numel(shape))))


@component("ordering", "time", build=BUILD)
class Time(Ordering):
    """From first to last along the first axis of [T] or [T, D], the D of one instant in their order."""

    forward: ClassVar[bool] = True

    def ranks(self, shape: Shape) -> tuple[int, ...]:
        self._require(shape)
        return tuple(range(numel(shape)))

    def problem(self, shape: Shape) -> str | None:
        if len(shape) in (1, 2):
            return None
        return f"time orders a sequence [T] or [T, D], and this is {list(shape)}; write raster for a grid"


@component("ordering", "any", build=BUILD)
class AnyOrder(Ordering):
    """The mixture over all orders: any subset given any other (order-agnostic, cloze)."""

    agnostic: ClassVar[bool] = True

    def ranks(self, shape: Shape) -> tuple[int, ...]:
        return tuple(range(numel(shape)))


@component("ordering", "random", build=BUILD)
class Random(Ordering):
    """One order drawn uniformly from all, the same for the same seed on every machine."""

    seed: Annotated[int, Field(ge=0)] = 0

    def ranks(self, shape: Shape) -> tuple[int, ...]:
        draw = random.Random(self.seed)
        keys = [draw.random() for _ in range(numel(shape))]
        return invert(tuple(sorted(range(len(keys)), key=keys.__getitem__)))


@component("ordering", "permutation", build=BUILD)
class Permutation(Ordering):
    """A given order: `order` lists the flattened entries in the turn in which they come."""

    primary: ClassVar[str | None] = "order"
    examples: ClassVar[tuple[dict[str, object], ...]] = ({"order": [2, 0, 3, 1]},)

    order: Annotated[tuple[int, ...], Field(strict=False)]

    def ranks(self, shape: Shape) -> tuple[int, ...]:
        self._require(shape)
        return invert(self.order)

    def problem(self, shape: Shape) -> str | None:
        entries = numel(shape)
        if len(self.order) != entries:
            return f"the permutation lists {len(self.order)} entries and {list(shape)} has {entries}"
        repeated = (
            sorted({i for i in self.order if self.order.count(i) > 1})
            if len(set(self.order)) < entries
            else []
        )
        outside = sorted(i for i in set(self.order) if not 0 <= i < entries)
        if outside:
            return (
                f"the permutation lists entry {outside[0]}; {list(shape)} has the entries 0 .. {entries - 1}"
            )
        if repeated:
            return f"the permutation lists entry {repeated[0]} more than once"
        return None


class Path(Ordering):
    """Base of the orderings that walk the pixels of a grid [C, H, W] or [H, W], channels inside."""

    @abstractmethod
    def path(self, height: int, width: int) -> tuple[tuple[int, int], ...]:
        """The pixels (row, column) in their turn."""

    def ranks(self, shape: Shape) -> tuple[int, ...]:
        self._require(shape)
        height, width = shape[-2:]
        channels = shape[0] if len(shape) == 3 else 1
        steps = self.path(height, width)
        return invert(tuple((c * height + i) * width + j for i, j in steps for c in range(channels)))

    def problem(self, shape: Shape) -> str | None:
        if len(shape) in (2, 3):
            return None
        return f"{self.tag} orders the pixels of a grid [C, H, W], and this is {list(shape)}; write natural"


@component("ordering", "raster", build=BUILD)
class Raster(Path):
    """Row by row from the top, each row from left to right."""

    def path(self, height: int, width: int) -> tuple[tuple[int, int], ...]:
        return tuple((i, j) for i in range(height) for j in range(width))


@component("ordering", "serpentine", build=BUILD)
class Serpentine(Path):
    """Row by row from the top, every second row from right to left."""

    def path(self, height: int, width: int) -> tuple[tuple[int, int], ...]:
        return tuple((i, j if i % 2 == 0 else width - 1 - j) for i in range(height) for j in range(width))


@component("ordering", "spiral", build=BUILD)
class Spiral(Path):
    """Clockwise from the top left corner along the border, then inwards ring by ring."""

    def path(self, height: int, width: int) -> tuple[tuple[int, int], ...]:
        steps: list[tuple[int, int]] = []
        top, bottom, left, right = 0, height - 1, 0, width - 1
        while top <= bottom and left <= right:
            steps += [(top, j) for j in range(left, right + 1)]
            steps += [(i, right) for i in range(top + 1, bottom + 1)]
            if top < bottom:
                steps += [(bottom, j) for j in range(right - 1, left - 1, -1)]
            if left < right:
                steps += [(i, left) for i in range(bottom - 1, top, -1)]
            top, bottom, left, right = top + 1, bottom - 1, left + 1, right - 1
        return tuple(steps)


def invert(order: tuple[int, ...]) -> tuple[int, ...]:
    """The inverse of a permutation: entries in turn <-> ranks of the entries."""
    inverse = [0] * len(order)
    for place, entry in enumerate(order):
        inverse[entry] = place
    return tuple(inverse)
