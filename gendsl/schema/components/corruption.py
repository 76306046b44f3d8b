"""Corruptions: fixed noise channels c(noisy | clean) that are sampled in training and feed only the encoder."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from gendsl.schema.facts import REAL, Support
from gendsl.schema.fields import Positive
from gendsl.schema.registry import Component, component

Rate = Annotated[float, Field(gt=0, lt=1)]


class Corruption(Component):
    """A noise channel without parameters to learn."""

    examples: ClassVar[tuple[dict[str, Any], ...]] = ({},)

    def support(self, clean: Support) -> Support:
        """Where corrupted values lie."""
        return clean


@component("corruption", "gaussian", build="gendsl.nn.corruptions:build_gaussian")
class GaussianNoise(Corruption):
    """Adds normal noise of standard deviation `std` to every entry."""

    std: Positive = 0.5

    def support(self, clean: Support) -> Support:
        return REAL


@component("corruption", "mask", build="gendsl.nn.corruptions:build_mask")
class Mask(Corruption):
    """Sets entries to zero, each with probability `rate` (Vincent et al. 2008)."""

    rate: Rate = 0.5


@component("corruption", "salt_and_pepper", build="gendsl.nn.corruptions:build_salt_and_pepper")
class SaltAndPepper(Corruption):
    """Sets entries to the lowest or highest value of the support, each with probability `rate` in all."""

    rate: Rate = 0.25
