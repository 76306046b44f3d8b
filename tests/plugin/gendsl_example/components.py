"""What the plug-in adds: the flow layer sinh_arcsinh, the distribution gumbel, the data source rose, the feature extractor radius.

Importing this module registers them. It does not import torch: their maths is in `gendsl_example.maths`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from gendsl.schema.components.dist import LocationScale
from gendsl.schema.components.extractor import Extractor
from gendsl.schema.components.flow import FlowLayer
from gendsl.schema.components.net import Bill, dense
from gendsl.schema.components.source_base import Column, Source, SourceFacts
from gendsl.schema.facts import Shape, numel
from gendsl.schema.registry import component


@component("flow", "sinh_arcsinh", build="gendsl_example.maths:build_sinh_arcsinh")
class SinhArcsinh(FlowLayer):
    """Sinh-arcsinh transform of every entry (Jones and Pewsey 2009, eq. 1): skewness and tail weight.

    Cheap in both directions.
    """

    tails: Annotated[float, Field(gt=0)] = 1.0
    """The initial tail weight; 1 is the identity."""
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"tails": 1.5})

    def bill(self, shape: Shape, context: int) -> Bill:
        numbers = 2 * numel(shape)
        own = dense(context, numbers) if context else Bill(parameters=numbers)
        return own + Bill(flops=12 * numel(shape), activations=5 * numel(shape))


@component("dist", "gumbel", build="gendsl_example.maths:build_gumbel")
class Gumbel(LocationScale):
    """Gumbel distribution with independent entries, exp(-y - exp(-y)) / scale, y = (x - loc) / scale."""


@component("source", "rose", build="gendsl_example.maths:load_rose")
class Rose(Source):
    """Points near the curve r = cos(petals * angle), with normal noise."""

    n: Annotated[int, Field(ge=2)] = 1000
    petals: Annotated[int, Field(ge=1)] = 3
    noise: Annotated[float, Field(ge=0)] = 0.05
    seed: Annotated[int, Field(ge=0)] = 0

    def facts(self, base: Path) -> SourceFacts:
        """Constants: `point` float32 [2]."""
        return SourceFacts({"point": Column("float32", (2,))}, self.n, generated=True)


@component("extractor", "radius", build="gendsl_example.maths:build_radius")
class Radius(Extractor):
    """The distance from the origin and its square: FID then compares the first four moments of the radius."""
