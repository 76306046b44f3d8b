"""What an adversarial run's records say in words: the balance of power, the overlap of supports, the modes shown.

Reads the diagnostics that every critic leaves in the log: NAME.accuracy, how often it told real from made tuples;
NAME.gap, E D(R) - E D(F); NAME.gradient, the mean length of the gradient that reached a made tuple.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from gendsl.runtime.curves import Record, curve, finite, names

SURE = 0.98
"""A critic that is right more often than this leaves the makers little to learn from."""
LEAK = 0.95
"""A critic that is right this often on average from the start to the end sees what tells the sides apart at once."""
UNSURE = 0.85
"""A record below this says that the makers are catching up; of a few minibatches it is noise above it."""
LEFT_OUT = 0.4
"""Samples that cover less than this of the data, for how much of them lies among the data, leave parts of it out."""


def balance(records: Sequence[Record]) -> list[str]:
    """One sentence for each critic: how the balance of power stood in the last quarter of training."""
    found = []
    for critic in critics(records):
        parts = []
        accuracy, gap = late(records, f"{critic}.accuracy"), late(records, f"{critic}.gap")
        gradient, before = late(records, f"{critic}.gradient"), early(records, f"{critic}.gradient")
        if accuracy is not None:
            parts.append(
                f"{critic} told real from made tuples with an accuracy of {accuracy:.0%} (50 % is chance)"
            )
        if gap is not None:
            parts.append(f"its numbers for the two sides lay {gap:.3g} apart")
        if gradient is not None and before:
            parts.append(
                f"a gradient of length {gradient:.2g} reached each made tuple, {gradient / before:.2g} times that "
                "of the first quarter"
            )
        if parts:
            found.append(f"In the last quarter of training {', '.join(parts)}.")
    return found


def overlap(metrics: Mapping[str, Any]) -> str:
    """How far the supports of samples and data overlap, by precision and recall; empty without them."""
    sides = [_value_and_floor(metrics.get(name)) for name in ("precision", "recall")]
    if any(value is None for value, _ in sides):
        return ""
    shares = [f"{value:.0%}{f' ({floor:.0%})' if floor is not None else ''}" for value, floor in sides]
    floors = (
        ", in brackets between two halves of these" if all(floor is not None for _, floor in sides) else ""
    )
    return (
        f"Overlap of the supports: {shares[0]} of the samples lie among the real rows and {shares[1]} of the real rows "
        f"among the samples{floors}."
    )


def critics(records: Sequence[Record]) -> list[str]:
    """The critics that left diagnostics."""
    known = (n.rsplit(".", 1) for n in names(records, "diagnostics") if "." in n)
    return list(dict.fromkeys(name for name, what in known if what in ("accuracy", "gap")))


def late(records: Sequence[Record], name: str) -> float | None:
    """The mean of a diagnostic over the last quarter of its records."""
    points = [v for _, v in curve(records, "diagnostics", name)]
    return fmean(points[-max(1, len(points) // 4) :]) if points else None


def early(records: Sequence[Record], name: str) -> float | None:
    """The mean of a diagnostic over the first quarter of its records."""
    points = [v for _, v in curve(records, "diagnostics", name)]
    return fmean(points[: max(1, len(points) // 4)]) if points else None


def critic_leak(records: Sequence[Record]) -> list[str]:
    """Says that a critic was right more than 95 % of the time on average, in every record but the first, of eight or
    more, and in none of them below 85 %.

    A critic that is only too strong gets there in a while; one that sees a leak is there at once and stays.
    """
    found = []
    for critic in critics(records):
        values = [v for _, v in curve(records, "diagnostics", f"{critic}.accuracy")]
        if len(values) >= 8 and fmean(values[1:]) > LEAK and min(values[1:]) > UNSURE:
            found.append(
                f"A leak, or a critic that is far too strong: {critic} told real from made tuples with an accuracy "
                f"above {_percent(min(values[1:]))} from the start to the end, {_percent(fmean(values[1:]))} on "
                "average. Look at what it sees: a "
                "value that only one side can have (discrete against continuous, a label, a scale) tells them "
                "apart whatever is made. Dequantize the data, relax by straight_through, add instance noise, or let "
                "it see less."
            )
    return found


def critic_saturated(records: Sequence[Record]) -> list[str]:
    """Says that a critic was right more than 98 % of the time on average over the last half of training, and in no
    record of it below 85 %.

    Reads diagnostics named "<critic>.accuracy", of at least four records in that half.
    """
    found = []
    for name in names(records, "diagnostics"):
        points = curve(records, "diagnostics", name)
        late = [v for s, v in points if s > points[-1][0] / 2] if points else []
        if name.endswith(".accuracy") and len(late) >= 4 and fmean(late) > SURE and min(late) > UNSURE:
            critic = name.removesuffix(".accuracy")
            found.append(
                f"{critic} told real from generated rows with an accuracy above {_percent(min(late))} for the last "
                f"half of training, {_percent(fmean(late))} on average: the generator then learns "
                "little. A penalty (gradient, r1), instance noise, or a lower critic learning rate helps."
            )
    return found


def _percent(share: float) -> str:
    return f"{math.floor(share * 100)} %"


def generator_collapse(metrics: Mapping[str, Any]) -> list[str]:
    """Says that samples look real but show little of the data, of which the precision is 0.5 or more.

    Either recall or coverage is below 0.1 (and below a quarter of its `floor`, real against real, where that is given),
    or whole parts of the data are left out: coverage, as a share of its floor, is below 0.4 of precision as a share of
    its own, and so is recall. A low recall beside a coverage of half its floor is no collapse: balls of samples that
    lie near each other are small.
    """
    precision, reached = _value_and_floor(metrics.get("precision"))[0], _share(metrics.get("precision"))
    if precision is None or reached is None or precision < 0.5:
        return []
    covered, recalled = (_share(metrics.get(name)) for name in ("coverage", "recall"))
    least = LEFT_OUT * min(reached, 1.0)
    parts = covered is not None and recalled is not None and covered < least and recalled < least
    if covered is not None and covered >= 0.5 and not parts:
        return []
    for name in ("coverage", "recall"):
        value, floor = _value_and_floor(metrics.get(name))
        if value is not None and (parts or (value < 0.1 and (floor is None or value < 0.25 * floor))):
            beside = f" ({floor:.0%} between two halves of these)" if floor is not None else ""
            return [
                f"Mode collapse: {precision:.0%} of the samples lie among the real rows, but {name} is "
                f"{value:.1%}{beside}: they show a small part of the data. Try packing (pack), unrolling (unroll), "
                "another loss, or a larger batch."
            ]
    return []


def gradient_vanished(records: Sequence[Record]) -> list[str]:
    """Says that hardly a gradient reaches the makers any more: below a thousandth of its first quarter's mean."""
    found = []
    for critic in critics(records):
        before, after = early(records, f"{critic}.gradient"), late(records, f"{critic}.gradient")
        if before and after is not None and after < 1e-3 * before:
            found.append(
                f"The gradient through {critic} has vanished: {after:.2g} reached each made tuple in the last quarter "
                f"of training, {before:.2g} in the first. Use loss: non_saturating, a penalty (r1, gradient), or "
                "instance noise."
            )
    return found


def modes_missed(metrics: Mapping[str, Any]) -> list[str]:
    """Says that samples reach at most three quarters of the modes that the data are known to have."""
    entry = metrics.get("modes")
    value, _ = _value_and_floor(entry)
    unit = str(entry.get("unit") or "") if isinstance(entry, Mapping) else ""
    total = finite(int(unit.split()[1])) if unit.startswith("of ") else None
    if value is None or total is None or value > 0.75 * total:
        return []
    reached = f"{value:.0f} of the {total:.0f} modes of the data"
    return [
        f"Mode collapse: the samples reach {reached}. Try packing (pack), unrolling (unroll), a penalty (r1), or a "
        "larger batch."
    ]


def _share(entry: object) -> float | None:
    """A value as a share of what real rows reach."""
    value, floor = _value_and_floor(entry)
    return value / floor if value is not None and floor else value


def _value_and_floor(entry: object) -> tuple[float | None, float | None]:
    if not isinstance(entry, Mapping):
        return None, None
    value, floor = entry.get("value"), entry.get("floor")
    if isinstance(floor, Mapping):
        floor = floor.get("value")
    return finite(value), finite(floor)
