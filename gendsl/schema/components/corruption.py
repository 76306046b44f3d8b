"""Corruptions: fixed noise channels c(noisy | clean) that are sampled in training and feed only the encoder."""

import math
from typing import Annotated, Any, ClassVar

from pydantic import Field

from gendsl.schema.facts import REAL, Shape, Support
from gendsl.schema.fields import Positive
from gendsl.schema.registry import Component, component

Rate = Annotated[float, Field(gt=0, lt=1)]


class Corruption(Component):
    """A noise channel without parameters to learn."""

    examples: ClassVar[tuple[dict[str, Any], ...]] = ({},)

    def support(self, clean: Support) -> Support:
        """Where corrupted values lie."""
        return clean

    def problem(self, shape: Shape) -> str | None:
        """Why it cannot act on a value of this shape, or None."""
        return None

    def unbounded(self, clean: Support) -> str | None:
        """Why it cannot act on values that lie there, or None."""
        return None


@component("corruption", "gaussian", build="gendsl.nn.corruptions:build_gaussian")
class GaussianNoise(Corruption):
    """Adds normal noise of standard deviation `std` to every entry.

    Formula: c(y | x) = N(y; x, std^2) for each entry (Vincent et al. 2008; Bengio et al. 2013, section 3).

    Shapes: Those of the clean variable.

    Offers: Noise in training; scoring and encoding read the clean value. One link of the corrupt-and-denoise
    chain.

    Fails: Values leave the clean support. Little noise lets the chain mix slowly, much of it blurs what is
    restored.
    """

    std: Positive = 0.5

    def support(self, clean: Support) -> Support:
        return REAL


@component("corruption", "mask", build="gendsl.nn.corruptions:build_mask")
class Mask(Corruption):
    """Sets entries to zero, each with probability `rate` (Vincent et al. 2008).

    Formula: y = x b, b ~ Bernoulli(1 - rate) for each entry (Vincent et al. 2008, section 2.3).

    Shapes: Those of the clean variable.

    Offers: Noise in training; scoring and encoding read the clean value. One link of the corrupt-and-denoise
    chain.

    Fails: A masked entry reads as a true zero: networks are not told which entries were masked. Zero outside
    the support is refused by nothing: it is the noise's value.
    """

    rate: Rate = 0.5


@component("corruption", "salt_and_pepper", build="gendsl.nn.corruptions:build_salt_and_pepper")
class SaltAndPepper(Corruption):
    """Sets entries to the lowest or highest value of the support, each with probability `rate` in all.

    Formula: y = low or high with probability rate / 2 each, else x (Vincent et al. 2010, section 3.3).

    Shapes: Those of the clean variable.

    Offers: Noise in training; scoring and encoding read the clean value. One link of the corrupt-and-denoise
    chain.

    Fails: Supports without a lowest and highest value are refused.
    """

    rate: Rate = 0.25

    def unbounded(self, clean: Support) -> str | None:
        ends = math.isfinite(clean.low) and math.isfinite(clean.high)
        return None if ends else f"it sets entries to the lowest or highest value, and {clean} have none"


@component("corruption", "block", build="gendsl.nn.corruptions:build_block")
class Block(Corruption):
    """Sets a rectangle of a grid to zero, in all its channels (Pathak et al. 2016).

    Its sides are the grid's times `side`, rounded and at least 1; every place within the grid is equally probable.

    Formula: y = x outside a rectangle of round(side H) x round(side W), 0 inside (Pathak et al. 2016, section
    3.3).

    Shapes: [H, W] or [C, H, W], those of the clean variable.

    Offers: Training for in-painting; scoring and encoding read the clean value.

    Fails: Variables that are no grid are refused. The rest of the image always stays: a chain of it mixes
    slowly.
    """

    side: Annotated[float, Field(gt=0, le=1)] = 0.5
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"side": 0.25})

    def problem(self, shape: Shape) -> str | None:
        return None if len(shape) in (2, 3) else "it needs a grid [H, W] or [C, H, W]"

    def rectangle(self, shape: Shape) -> tuple[int, int]:
        """Height and width of what is set to zero."""
        height, width = (max(1, round(self.side * size)) for size in shape[-2:])
        return height, width
