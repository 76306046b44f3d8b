"""Axes of a chart: the range that shows the values, where its ticks stand, and how points are thinned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gendsl.runtime.report.words import number

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """Maps values between `low` and `high` to 0..1, linearly or by their logarithm; others are cut."""

    low: float
    high: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(max(value, 1e-300))
        return min(max((at - low) / (high - low), 0.0), 1.0)

    def ticks(self, count: int = 4) -> list[float]:
        """About `count` round values within the axis: powers of ten on a logarithmic one."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            stride = max(1, math.ceil((last - first + 1) / (count + 1)))
            return [10.0**e for e in range(first, last + 1, stride)]
        step = _round_step((self.high - self.low) / count)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]

    def labels(self, count: int = 4) -> list[tuple[float, str]]:
        """The ticks and their words, all with as many decimals as their distance needs."""
        ticks = self.ticks(count)
        if self.log:
            return [(t, number(int(t) if t >= 1.0 else t, 1)) for t in ticks]
        gap = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
        places = next((p for p in range(5) if abs(gap - round(gap, p)) < 1e-6 * gap), None)
        if places is None:
            return [(t, f"{t:.1e}".replace("e-0", "e-").replace("-", "−")) for t in ticks]
        if places == 0:
            return [(t, number(round(t))) for t in ticks]
        return [(t, f"{t + 0.0:.{places}f}".replace("-", "−")) for t in ticks]


def _round_step(width: float) -> float:
    """The smallest of 1, 2, 2.5, 5 and 10 times a power of ten that is at least `width`."""
    power = 10.0 ** math.floor(math.log10(width))
    return next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= width * (1 - 1e-9))


def value_axis(values: Sequence[float]) -> Axis:
    """The axis for the values of a curve.

    Logarithmic where all are positive and span more than two decades. A linear one leaves out the outermost
    1 % where these would take more than three quarters of it, as a first step's loss can.
    """
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    if low > 0.0 and high / low > 100.0:
        return Axis(low / 1.15, high * 1.15, log=True)
    trim = max(len(ordered) // 100, 1) if len(ordered) >= 40 else 0
    inner_low, inner_high = ordered[trim], ordered[-1 - trim]
    if inner_high > inner_low and (high - low) > 4.0 * (inner_high - inner_low):
        low, high = inner_low, inner_high
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(low - margin, high + margin)


def step_axis(steps: Sequence[float]) -> Axis:
    """The axis for the steps of training: from the first to the last, never empty."""
    low, high = min(steps), max(steps)
    return Axis(low, high) if high > low else Axis(low - 1.0, high + 1.0)


def thinned(points: Points, limit: int = 240) -> list[tuple[float, float]]:
    """At most `limit` points: runs of neighbours are replaced by their mean."""
    if len(points) <= limit:
        return list(points)
    size = math.ceil(len(points) / limit)
    return [_mean(points[i : i + size]) for i in range(0, len(points), size)]


def smoothed(points: Points, share: float = 0.06) -> list[tuple[float, float]]:
    """The running mean of the values over a centred window of `share` of the points, narrower at the ends."""
    reach = int(len(points) * share / 2)
    result = []
    for i, (step, _) in enumerate(points):
        r = min(reach, i, len(points) - 1 - i)
        result.append((step, _mean(points[i - r : i + r + 1])[1]))
    return result


def _mean(points: Points) -> tuple[float, float]:
    return sum(s for s, _ in points) / len(points), sum(v for _, v in points) / len(points)
