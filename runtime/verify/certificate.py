"""Certificate: one numeric check with its bound and its power, and the JSON that `verify --json` prints."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Certificate:
    """`value` is held against `bound`; it passes where value <= bound.

    `power`: the smallest relative error that, planted in what is certified, makes it fail. `note`: at which
    parameters, rows or draws it was taken.
    """

    name: str
    passed: bool
    value: float
    bound: float
    power: float
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """The object of one certificate; a value that is not finite is null."""
        value = self.value if math.isfinite(self.value) else None
        return {
            "name": self.name,
            "passed": self.passed,
            "value": value,
            "bound": self.bound,
            "power": self.power,
            "note": self.note,
        }


def at_most(name: str, value: float, bound: float, power: float, note: str = "") -> Certificate:
    """Passes where value <= bound; a value that is not a number fails."""
    return Certificate(name, value <= bound, value, bound, power, note)


def as_json(certificates: Iterable[Certificate]) -> dict[str, Any]:
    """The document of `verify --json`."""
    return {"certificates": [c.as_json() for c in certificates]}
