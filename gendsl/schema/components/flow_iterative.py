"""Flow layers whose expensive direction is solved numerically: residual (a fixed point)."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from gendsl.schema.components.flow import FlowLayer
from gendsl.schema.components.net import Bill, dense
from gendsl.schema.facts import Cost, Shape, numel
from gendsl.schema.fields import Count
from gendsl.schema.registry import component

EXACT = 64
"""Entries up to which a log-determinant is computed exactly where `log_det` is auto."""


@component("flow", "residual", build="gendsl.nn.transforms.residual:build_residual")
class Residual(FlowLayer):
    """Residual flow, base = x + g(x) with |g|_Lip <= `lipschitz` < 1 (Behrmann et al. 2019; Chen et al. 2019).

    g is an mlp with LipSwish whose weights are divided by their spectral norms, so every parameter value gives a
    bijection. Density is one pass: log |det| is exact up to 64 entries, else the unbiased estimate by Russian roulette
    (Chen et al. 2019, eq. 6), and log_prob is then an estimate. Samples iterate x <- base - g(x) to rounding.
    """

    repeat: Count = 1
    hidden: Annotated[tuple[Count, ...], Field(strict=False, min_length=1)] = Field(
        default=(128, 128), description="hidden widths of g"
    )
    lipschitz: Annotated[float, Field(gt=0, le=0.99)] = Field(
        default=0.9, description="bound of the Lipschitz constant of g"
    )
    log_det: Literal["auto", "exact", "estimate"] = Field(
        default="auto", description=f"exact up to {EXACT} entries if not written"
    )
    terms: Count = Field(
        default=8, description="terms of the power series that an estimate always takes, before the roulette"
    )
    forward_cost = Cost.SEQUENTIAL
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"hidden": [16]},
        {"hidden": [16, 16], "repeat": 3, "lipschitz": 0.8},
    )

    def estimated(self, shape: Shape) -> bool:
        return self.log_det == "estimate" or (self.log_det == "auto" and numel(shape) > EXACT)

    def widths(self, shape: Shape) -> tuple[int, ...]:
        """Of the layers of g, from its input to its output."""
        return (numel(shape), *self.hidden, numel(shape))

    def bill(self, shape: Shape, context: int) -> Bill:
        widths = self.widths(shape)
        total = Bill(parameters=len(self.hidden))
        for inputs, outputs in pairwise(widths):
            total += dense(inputs, outputs)
        total += Bill(context * self.hidden[0], 2 * context * self.hidden[0])
        passes = 2 * self.terms if self.estimated(shape) else min(numel(shape), EXACT)
        return (total + Bill(flops=passes * total.flops, activations=passes * sum(widths))) * self.repeat
