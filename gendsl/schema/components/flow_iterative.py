"""Flow layers that are solved numerically: residual (samples by a fixed point), continuous (an ODE both ways)."""

import importlib.util
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from gendsl.schema.components.flow import FlowLayer
from gendsl.schema.components.net import Bill, dense
from gendsl.schema.facts import Cost, Shape, numel
from gendsl.schema.fields import Count, Positive
from gendsl.schema.registry import component

EXACT = 64
"""Entries up to which a log-determinant is computed exactly where `log_det` is auto."""


@component("flow", "residual", build="gendsl.nn.transforms.residual:build_residual")
class Residual(FlowLayer):
    """Residual flow, base = x + g(x) with |g|_Lip <= `lipschitz` < 1 (Behrmann et al. 2019; Chen et al. 2019).

    g is an mlp with LipSwish whose weights are divided by their spectral norms, so every parameter value gives a
    bijection. Density is one pass: log |det| is exact up to 64 entries, else the unbiased estimate by Russian roulette
    (Chen et al. 2019, eq. 6), and log_prob is then an estimate. Samples iterate x <- base - g(x) to rounding.

    Formula: z = x + g(x), |g|_Lip < 1, log |det| = sum_k (-1)^(k+1) tr(J_g^k) / k (Behrmann et al. 2019, eq.
    3 and 4; Chen et al. 2019, eq. 6).

    Fails: Above 64 entries log_prob is an estimate. Near `lipschitz` = 1 the inverse takes many iterations. A
    single layer can stretch by less than a factor of two: many are needed.
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


@component("flow", "continuous", build="gendsl.nn.transforms.continuous:build_continuous")
class Continuous(FlowLayer):
    """Continuous flow, dx/dt = f(x, t) from the base at 0 to the variable at `time` (Grathwohl et al. 2019).

    f is an mlp with tanh. d log |det| / dt is the trace of df/dx (their eq. 3): exact up to 64 entries, else
    Hutchinson's unbiased estimate with one draw, and log_prob is then an estimate. `rk4` takes `steps` equal
    steps, its error falls with their fourth power; `dopri5` chooses its steps to a local error of `tolerance`
    and needs the extra `continuous` (torchdiffeq). Both directions cost the same. Near the identity at first.

    Formula: dx/dt = f(x, t), d log p / dt = -tr(df/dx) (Grathwohl et al. 2019, eq. 2 and 3).

    Fails: rk4 with few steps on a stiff field is not the flow that it claims to be: the round trip of verify
    shows it. Above 64 entries log_prob is an estimate. Many evaluations of f for each row.
    """

    hidden: Annotated[tuple[Count, ...], Field(strict=False, min_length=1)] = Field(
        default=(64, 64), description="hidden widths of f"
    )
    time: Positive = 1.0
    solver: Literal["rk4", "dopri5"] = "rk4"
    steps: Count = Field(default=20, description="steps of rk4")
    tolerance: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=1e-5, description="local error of dopri5, relative and absolute"
    )
    trace: Literal["auto", "exact", "estimate"] = Field(
        default="auto", description=f"exact up to {EXACT} entries if not written"
    )
    forward_cost = Cost.SEQUENTIAL
    inverse_cost = Cost.SEQUENTIAL
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"hidden": [16], "steps": 8},
        {"hidden": [8, 8], "steps": 8, "trace": "exact"},
    )

    @property
    def error(self) -> float:
        return 1.0 * self.steps**-4 if self.solver == "rk4" else 100.0 * self.tolerance

    def estimated(self, shape: Shape) -> bool:
        return self.trace == "estimate" or (self.trace == "auto" and numel(shape) > EXACT)

    def problem(self, shape: Shape) -> str | None:
        if self.solver == "dopri5" and importlib.util.find_spec("torchdiffeq") is None:
            return "`solver` dopri5 needs torchdiffeq (pip install 'gendsl[continuous]'); rk4 needs nothing"
        return None

    def widths(self, shape: Shape) -> tuple[int, ...]:
        """Of the layers of f, from its input to its output; each also reads the time."""
        return (numel(shape), *self.hidden, numel(shape))

    def bill(self, shape: Shape, context: int) -> Bill:
        widths = self.widths(shape)
        total = Bill(context * self.hidden[0], 2 * context * self.hidden[0])
        for inputs, outputs in pairwise(widths):
            total += dense(inputs + 1, outputs)
        passes = 4 * self.steps
        trace = 2 if self.estimated(shape) else numel(shape)
        return replace(total, flops=passes * trace * total.flops, activations=passes * trace * sum(widths))
