"""What a loader returns, how a source's loader is found, and the check that data are what the facts said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gendsl.errors import DataError
from gendsl.schema.components.source_base import Column, Source, SourceFacts
from gendsl.schema.registry import builder

Array = NDArray[Any]


@dataclass(frozen=True)
class Loaded:
    """Every column as one array [rows, *shape]; `parts` are the rows of the source's own parts, if any."""

    columns: Mapping[str, Array]
    parts: Mapping[str, slice] | None = None


def load(source: Source, base: Path, facts: SourceFacts | None = None) -> Loaded:
    """Load a source with the function its `build` names, and check it against its facts (asked for if None).

    Raises DataError where a file cannot be read or is not what its header said.
    """
    loaded: Loaded = builder(source)(source, base)
    check(loaded, source.facts(base) if facts is None else facts)
    return loaded


def check(loaded: Loaded, facts: SourceFacts) -> None:
    """Compare columns, types, shapes, rows and values with the facts; raises DataError where they differ."""
    if loaded.columns.keys() != facts.columns.keys():
        raise DataError(f"columns {sorted(loaded.columns)} were read, {sorted(facts.columns)} announced")
    for name, column in facts.columns.items():
        array = loaded.columns[name]
        if facts.rows and len(array) != facts.rows:
            raise DataError(f"column {name!r} has {len(array)} rows; {facts.rows} were announced")
        _check_column(name, array, column)
    sizes = None
    if loaded.parts is not None:
        sizes = {part: cut.stop - cut.start for part, cut in loaded.parts.items()}
    if sizes != (None if facts.parts is None else dict(facts.parts)):
        raise DataError(f"the parts have {sizes} rows; {facts.parts} were announced")


def _check_column(name: str, array: Array, column: Column) -> None:
    if array.dtype.name != column.dtype or array.shape[1:] != column.shape:
        found = f"{array.dtype.name} {list(array.shape[1:])}"
        raise DataError(f"column {name!r} is {found}; {column.dtype} {list(column.shape)} was announced")
    if not array.size:
        return
    if array.dtype.kind == "f" and np.isinf(array).any():
        raise DataError(f"column {name!r} holds infinite values")
    low, high = array.min(), array.max()
    if array.dtype.kind == "f" and np.isnan(low):
        if np.isnan(array).all():
            return
        low, high = np.nanmin(array), np.nanmax(array)
    if low < column.support.low or high > column.support.high:
        raise DataError(f"column {name!r} holds values from {low} to {high}, outside {column.support}")
