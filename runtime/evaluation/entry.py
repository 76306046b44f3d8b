"""The entry of one number, and of a number that does not exist.

An entry is `{"value", "unit", "kind", "estimator", "samples", "rows", "stderr"}`, or `{"value": null, "unit": null,
"kind": "none", "why"}` where the model has no such number.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

Entry = dict[str, Any]


def none(why: str) -> Entry:
    """The entry of a number that does not exist."""
    return {"value": None, "unit": None, "kind": "none", "why": why}


def mean(values: Tensor) -> Entry:
    """The mean over rows with its standard error; no value, and why, where some rows have none."""
    value = float(values.mean())
    if not math.isfinite(value):
        bad = int((~values.isfinite()).sum())
        return {
            "value": None,
            "stderr": None,
            "why": f"{bad} of {values.numel()} rows have a value that is not finite",
        }
    error = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else None
    return {"value": value, "stderr": error if error is None or math.isfinite(error) else None}
