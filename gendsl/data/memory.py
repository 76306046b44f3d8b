"""Arrays passed in by an embedding program: numpy arrays, torch tensors on the CPU, or lists of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gendsl.data.loaded import Array, Loaded
from gendsl.errors import DataError, UsageError
from gendsl.schema.components.source import Memory, MemoryColumn


def load_memory(source: Memory, base: Path) -> Loaded:
    """A memory source has nothing to read: raises UsageError (arrays go to `dataset.prepare`)."""
    raise UsageError(
        "this spec takes its data from memory: pass the arrays, for example compile(spec, data={...})"
    )


def gather(source: Memory, arrays: Mapping[str, Any]) -> Loaded:
    """The declared columns as arrays of the declared types. Raises DataError where one is absent or unfit."""
    columns: dict[str, Array] = {}
    for name, declared in source.columns.items():
        if name not in arrays:
            raise DataError(f"no array for the column {name!r}; given: {', '.join(arrays) or 'none'}")
        found = as_array(arrays[name])
        with np.errstate(invalid="ignore", over="ignore"):
            wanted = found.astype(declared.dtype, casting="unsafe")
        if found.dtype.kind not in "biuf" or not np.array_equal(
            wanted, found, equal_nan=found.dtype.kind == "f"
        ):
            if found.dtype.kind != "f" or wanted.dtype.kind != "f":
                raise DataError(
                    f"column {name!r} is declared {declared.dtype}; its {found.dtype.name} values do not fit"
                )
        columns[name] = wanted
    lengths = {name: len(array) for name, array in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"the arrays differ in their rows: {lengths}")
    return Loaded(columns)


def describe(arrays: Mapping[str, Any], classes: Mapping[str, int] | None = None) -> Memory:
    """The memory source that the arrays are an instance of.

    One-dimensional integer arrays from 0 to at most 255 are labels, with as many classes as their largest
    value says, or as `classes` says. Other integers lie between their smallest and largest value, reals
    anywhere. Raises UsageError where there is nothing to describe.
    """
    columns: dict[str, MemoryColumn] = {}
    rows = 0
    for name, given in arrays.items():
        array = as_array(given)
        if array.dtype.kind not in "biuf" or array.ndim == 0 or not array.size:
            raise UsageError(f"{name!r} is no array of numbers with rows")
        rows = len(array)
        fields: dict[str, Any] = {"dtype": array.dtype.name, "shape": array.shape[1:]}
        if classes is not None and name in classes:
            fields["classes"] = classes[name]
        elif array.dtype.kind in "iu":
            low, high = int(array.min()), int(array.max())
            label = array.ndim == 1 and low >= 0 and 1 <= high <= 255
            fields |= (
                {"classes": high + 1} if label else {"low": float(low), "high": float(max(high, low + 1))}
            )
        columns[name] = MemoryColumn.model_validate(fields)
    if not columns:
        raise UsageError("no arrays were given")
    return Memory(columns=columns, rows=rows)


def as_array(value: Any) -> Array:
    """A numpy array of what is given; tensors leave their device and graph."""
    if isinstance(value, torch.Tensor):
        return np.asarray(value.detach().cpu())
    return np.asarray(value)
