"""Augmentation of what a critic sees: the same random transformations on both sides, with gradients through them.

The maths is in `gendsl.nn.augmentation`.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from gendsl.schema.fields import Count
from gendsl.schema.registry import Component, component

Transformation = Literal["color", "translation", "cutout"]
Policy = Annotated[tuple[Transformation, ...], Field(strict=False, min_length=1)]


class Augment(Component):
    """Transformations of the grids [C, H, W] among what the critic sees."""

    policy: Policy = Field(
        default=("color", "translation", "cutout"), description="which transformations, in this order"
    )
    adapts: ClassVar[bool] = False
    """Whether its probability is part of the training state."""


@component("augment", "differentiable", build="gendsl.nn.augmentation:build_augmentation")
class Differentiable(Augment):
    """Every transformation on every row: D(T(x)) on both sides (DiffAugment, Zhao et al. 2020, eq. 4-5)."""

    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"policy": ["translation"]})


@component("augment", "adaptive", build="gendsl.nn.augmentation:build_augmentation")
class Adaptive(Augment):
    """Each transformation with probability p, which rises while E[sign D(R)] is above `target` (Karras et al. 2020).

    p starts at 0 and is part of a checkpoint.
    """

    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"target": 0.5, "every": 2, "rows": 10000})

    target: Annotated[float, Field(gt=0, lt=1)] = 0.6
    every: Count = Field(default=4, description="critic steps between two changes of p")
    rows: Count = Field(default=500_000, description="real rows over which p can go from 0 to 1")
    adapts = True
