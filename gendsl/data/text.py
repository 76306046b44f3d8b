"""Reading a text as rows of integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gendsl.data.loaded import Array, Loaded
from gendsl.data.npz import part_slices
from gendsl.errors import DataError
from gendsl.schema.components.source_media import Text


def load_text(source: Text, base: Path) -> Loaded:
    """Each field int64 [N, length]; windows in the order of the text, or a row for each non-empty line.

    Raises DataError where a line has other than the declared number of fields.
    """
    units = source.read(base)
    index = {symbol: i for i, symbol in enumerate(source.alphabet(units))}
    if source.lines:
        lines = [line for line in units.split("\n") if line]
        fields = [line.split("\t") if len(source.fields) > 1 else [line] for line in lines]
        for number, cells in enumerate(fields, start=1):
            if len(cells) != len(source.fields):
                raise DataError(
                    f"{source.path}: text line {number} has {len(cells)} fields, not {len(source.fields)}"
                )
        columns = zip(*fields, strict=True)
        padded = (np.stack([_padded(cell, index, source.length) for cell in column]) for column in columns)
        return Loaded(dict(zip(source.fields, padded, strict=True)))
    codes = np.array([index[symbol] for symbol in units], np.int64)
    starts = source.starts(len(codes))
    first = np.concatenate([np.asarray(found, np.int64) for found in starts.values()])
    rows = {source.fields[0]: codes[first[:, None] + np.arange(source.length)]}
    parts = part_slices({part: len(found) for part, found in starts.items()})
    return Loaded(rows, None if source.parts is None else parts)


def _padded(cell: str, index: dict[str, int], length: int) -> Array:
    row = np.zeros(length, np.int64)
    codes = [index[symbol] for symbol in cell[:length]]
    row[: len(codes)] = codes
    return row
