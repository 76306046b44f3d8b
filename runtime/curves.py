"""What metrics.jsonl holds, read as curves: the values of one entry at the steps where it was recorded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

Record = Mapping[str, Any]
Curve = list[tuple[int, float]]


def curve(records: Iterable[Record], group: str, name: str, split: str = "train") -> Curve:
    """The finite (step, value) pairs of one entry of "terms", "losses" or "diagnostics", in order."""
    points: Curve = []
    for record in records:
        value = group_of(record, group).get(name)
        number = finite(value)
        if record.get("split", "train") == split and number is not None:
            points.append((int(record.get("step", 0)), number))
    return points


def names(records: Iterable[Record], group: str) -> list[str]:
    """The names that occur in one group of the records, in order of first appearance."""
    return list(dict.fromkeys(name for record in records for name in group_of(record, group)))


def finite(value: object) -> float | None:
    """A value read from JSON as a finite number, or None if it is not one (true and false are not)."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def group_of(record: Record, group: str) -> Mapping[str, Any]:
    entries = record.get(group)
    return entries if isinstance(entries, Mapping) else {}
