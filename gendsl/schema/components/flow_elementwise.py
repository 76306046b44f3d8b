"""The layer that acts on every entry alone, and so may change the support: `elementwise`."""

from typing import Any, ClassVar, Literal

from gendsl.schema.components.flow import FlowLayer
from gendsl.schema.components.net import Bill, dense
from gendsl.schema.facts import POSITIVE, REAL, UNIT, Shape, Support, numel
from gendsl.schema.registry import component

How = Literal["sigmoid", "logit", "softplus", "tanh", "affine"]
SUPPORTS: dict[str, tuple[Support, Support]] = {
    "sigmoid": (REAL, UNIT),
    "logit": (UNIT, REAL),
    "softplus": (REAL, POSITIVE),
    "tanh": (REAL, Support(-1.0, 1.0)),
    "affine": (REAL, REAL),
}
"""The support at the base and at the variable."""


@component("flow", "elementwise", build="gendsl.nn.transforms.elementwise:build_elementwise")
class Elementwise(FlowLayer):
    """The variable is a fixed function of each entry of the base, or a learned shift and scale (`affine`).

    `sigmoid` brings reals to [0, 1], `logit` [0, 1] to the reals, `softplus` reals to the positive ones,
    `tanh` to [-1, 1]. Parents condition `affine` only.

    Formula: x = f(z) entry by entry, log |det| = sum log |f'(z)|, f one of sigmoid, logit, softplus, tanh, or
    x exp(s) + t (Papamakarios et al. 2021, section 3.1).

    Fails: A logit at 0 or 1, an inverse tanh at -1 or 1 are infinite: values at the ends are clamped in
    rounding only. The supports on both sides must be those of f, else it is refused.
    """

    how: How = "affine"
    primary = "how"
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"how": "sigmoid"},
        {"how": "logit"},
        {"how": "softplus"},
        {"how": "tanh"},
        {"how": "affine"},
    )

    @property
    def acts_on(self) -> str:
        """Both ends."""
        inner, outer = SUPPORTS[self.how]
        return f"{inner} at the base and {outer} at the variable ({self.how})"

    def base_support(self, support: Support) -> Support | None:
        """The base's; a density of values on a grid, such as pixels that are not dequantized, is refused."""
        inner, outer = SUPPORTS[self.how]
        return inner if support.levels is None and not support.integer and support.within(outer) else None

    def support(self, base: Support) -> Support | None:
        inner, outer = SUPPORTS[self.how]
        return outer if not base.integer and base.within(inner) else None

    def bill(self, shape: Shape, context: int) -> Bill:
        size = numel(shape)
        work = Bill(flops=8 * size, activations=4 * size)
        if self.how != "affine":
            return work
        return work + (dense(context, 2 * size) if context else Bill(parameters=2 * size))
