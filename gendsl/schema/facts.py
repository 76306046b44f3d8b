"""Facts that the compiler reasons with, without torch: supports, inputs of networks, what a factor offers.

Shapes are plain tuples: `()` a scalar, `(D,)` a vector, `(C, H, W)` a grid, `(T,)` of integers a sequence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Support:
    """Where values lie: all reals or integers between `low` and `high`, ends included.

    `levels` counts the values that real-valued data actually take when they sit on a grid (pixels after
    `unit` take 17 or 256 of them): a density on such data is not a density of the integers.
    """

    low: float = -math.inf
    high: float = math.inf
    integer: bool = False
    levels: int | None = None

    def __str__(self) -> str:
        if self == BINARY:
            return "{0, 1}"
        if self.integer:
            high = "..." if self.high == math.inf else f"{self.high:g}"
            return (
                f"{{{self.low:g}, ..., {high}}}"
                if high != "..."
                else f"{{{self.low:g}, {self.low + 1:g}, ...}}"
            )
        if self.low == -math.inf and self.high == math.inf:
            return "reals"
        left = "(-inf" if self.low == -math.inf else f"[{self.low:g}"
        right = "inf)" if self.high == math.inf else f"{self.high:g}]"
        return f"{left}, {right}"

    def within(self, other: Support) -> bool:
        """Whether every value of this support is one of the other's."""
        if other.integer and not self.integer:
            return False
        return other.low <= self.low and self.high <= other.high

    @property
    def count(self) -> int | None:
        """How many values there are, or None for infinitely many."""
        if self.integer and math.isfinite(self.low) and math.isfinite(self.high):
            return int(self.high - self.low) + 1
        return None


REAL = Support()
POSITIVE = Support(low=0.0)
UNIT = Support(0.0, 1.0)
BINARY = Support(0.0, 1.0, integer=True)
COUNTS = Support(low=0.0, integer=True)


def categories(classes: int) -> Support:
    """The integers 0 .. classes - 1."""
    return Support(0.0, float(classes - 1), integer=True)


class Density(StrEnum):
    """At which points a factor can say its log density, from most to least."""

    ANY = "any"
    OWN = "own"
    UNNORMALISED = "unnormalised"
    NONE = "none"


class Cost(StrEnum):
    """What one direction of a transform costs: one pass, many (one for each entry, or as a solver needs), or no way."""

    CHEAP = "cheap"
    SEQUENTIAL = "sequential"
    NONE = "none"


@dataclass(frozen=True)
class Offers:
    """What a factor can do."""

    sample: bool = True
    rsample: bool = False
    density: Density = Density.NONE
    enumerate: bool = False
    estimated: bool = False
    """Whether its log density is an unbiased estimate instead of the number."""


@dataclass(frozen=True)
class Input:
    """A parent as a network sees it. `labels`: an integer variable read by embedding, with `classes` values."""

    name: str
    shape: Shape
    support: Support = REAL
    labels: bool = False

    @property
    def classes(self) -> int:
        """The number of values of a label."""
        count = self.support.count
        if count is None:
            raise ValueError(f"{self.name} has infinitely many values: it cannot be embedded")
        return count

    @property
    def embedding(self) -> int:
        """The width of a label's embedding: as wide as it has classes, up to 32 (docs/semantics.md, section 2)."""
        return min(self.classes, 32)

    @property
    def grid(self) -> bool:
        return len(self.shape) == 3

    @property
    def width(self) -> int:
        """How many numbers it contributes when it is concatenated into a vector."""
        return numel(self.shape) * (self.embedding if self.labels else 1)


Inputs = tuple[Input, ...]

NOISE = "noise?"
"""The name under which an implicit factor's network reads its own noise; no variable can have it."""


def mask_name(variable: str) -> str:
    """The name under which networks read which entries of a variable are present."""
    return f"{variable}?"


def code_name(variable: str) -> str:
    """The name under which networks read the codewords of a quantised variable."""
    return f"{variable}#"


def numel(shape: Shape) -> int:
    """The number of entries of one row."""
    return math.prod(shape)


def packed(shape: Shape, count: int) -> Shape:
    """The shape of `count` values side by side: scalars a vector, vectors one vector, grids their channels."""
    if count == 1:
        return shape
    if len(shape) == 2:
        return (count, *shape)
    return (count * shape[0], *shape[1:]) if shape else (count,)


def vector_width(inputs: Inputs) -> int:
    """The width of all parents concatenated into one vector."""
    return sum(i.width for i in inputs)


def embedding_parameters(inputs: Inputs) -> int:
    """Parameters of the embedding tables of the labels among the inputs."""
    return sum(i.classes * i.embedding for i in inputs if i.labels)


def linear(inputs: int, outputs: int, bias: bool = True) -> int:
    """Parameters of torch.nn.Linear."""
    return inputs * outputs + (outputs if bias else 0)


def conv(inputs: int, outputs: int, kernel: int, bias: bool = True) -> int:
    """Parameters of torch.nn.Conv2d with a square kernel."""
    return inputs * outputs * kernel * kernel + (outputs if bias else 0)
