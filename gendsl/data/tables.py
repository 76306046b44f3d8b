"""Reading csv and parquet tables into one array for each column, and `row`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gendsl.data.loaded import Array, Loaded
from gendsl.errors import DataError
from gendsl.schema.components.source_base import Column, find
from gendsl.schema.components.source_tables import Csv, Parquet, import_pyarrow, number, row_columns


def load_csv(source: Csv, base: Path) -> Loaded:
    """Every column [N], missing cells as NaN, words as their index in the sorted words; `row` [N, D]."""
    facts = source.facts(base).columns
    names, lines = source.lines(base)
    cells = dict(zip(names, zip(*lines, strict=True), strict=True))
    wanted = {name: facts[name] for name in facts if name in cells}
    return Loaded(_with_row({name: _parse(cells[name], column) for name, column in wanted.items()}, facts))


def _parse(cells: tuple[str, ...], column: Column) -> Array:
    if column.names:
        place = {word: i for i, word in enumerate(column.names)}
        return np.array([place[cell.strip()] for cell in cells], np.int64)
    if column.dtype == "int64":
        return np.array([int(float(cell)) for cell in cells], np.int64)
    values = (number(cell.strip()) for cell in cells)
    return np.array([np.nan if value is None else value for value in values], np.float64)


def load_parquet(source: Parquet, base: Path) -> Loaded:
    """Every numeric column [N], nulls as NaN, and `row` [N, D]. Raises DataError for a damaged file."""
    facts = source.facts(base).columns
    path = find(base, source.path)
    parquet = import_pyarrow()
    try:
        table = parquet.read_table(path, columns=[name for name in facts if name != "row"])
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these
        raise DataError(f"{path} cannot be read: {error}") from error
    columns = {name: table[name].to_numpy().astype(facts[name].dtype) for name in table.column_names}
    return Loaded(_with_row(columns, facts))


def _with_row(columns: dict[str, Array], facts: Mapping[str, Column]) -> dict[str, Array]:
    if "row" in facts and "row" not in columns:
        numeric = [columns[name] for name in row_columns(facts)]
        columns["row"] = np.stack(numeric, axis=1).astype(facts["row"].dtype)
    return columns
