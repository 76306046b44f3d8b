"""Tables as sources: csv and parquet. Every column by its name; `row` for all numeric ones but labels."""

import csv
import importlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import Field

from gendsl.schema.components.source_base import (
    Column,
    Declared,
    Source,
    SourceFacts,
    SourceProblem,
    dtype_support,
    find,
    label_column,
)
from gendsl.schema.facts import REAL, Support
from gendsl.schema.registry import component

MISSING_WORDS = frozenset({"", "nan", "na", "null", "?"})


@component("source", "csv", build="gendsl.data.tables:load_csv")
class Csv(Source):
    """A table in text. Columns of words are labels (sorted); cells empty, nan, na, null or ? are missing.

    Text has no header of types, so the facts come from one pass over the file. A column of integers stays
    integer but is a label only if `columns` declares its classes.
    """

    path: str
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    header: bool = True
    """Whether the first line names the columns; otherwise they are c1, c2, ..."""
    columns: dict[str, Declared] = Field(default={})
    """If given, only these columns are read; with what the text does not tell (`{kind: {classes: 3}}`)."""
    examples = ({"path": "table.csv"},)

    def facts(self, base: Path) -> SourceFacts:
        """Types, bounds and rows, from one pass over the text."""
        names, lines = self.lines(base)
        scans = [Scan() for _ in names]
        rows = 0
        for line in lines:
            rows += 1
            for scan, cell in zip(scans, line, strict=True):
                scan.see(cell.strip())
        found = {name: scan.column() for name, scan in zip(names, scans, strict=True)}
        return table_facts(found, self.columns, rows)

    def lines(self, base: Path) -> tuple[list[str], Iterator[list[str]]]:
        """The names of the columns and the cells of each row. Raises SourceProblem for ragged rows."""
        path = find(base, self.path)
        reader = self._read(path)
        first = next(reader, None)
        if first is None:
            raise SourceProblem("path", f"{self.path} is empty")
        names = [cell.strip() for cell in first] if self.header else [f"c{i + 1}" for i in range(len(first))]
        if self.header and _values(names):
            raise SourceProblem(
                "path",
                f"the first line of {self.path} names no columns: {', '.join(names[:3])} are numbers",
                "write header: false, or name the columns in the first line",
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SourceProblem("path", f"{self.path} has two columns {twice[0]!r}")
        return names, _rectangular(reader if self.header else chain([first], reader), len(names), self.path)

    def _read(self, path: Path) -> Iterator[list[str]]:
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                yield from (line for line in csv.reader(file, delimiter=self.delimiter, strict=True) if line)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise SourceProblem("path", f"{self.path} cannot be read as csv: {error}") from error


def _values(names: Sequence[str]) -> bool:
    """Whether the names are a row of numbers; whole ones alone may be names."""
    try:
        numbers = [float(name) for name in names]
    except ValueError:
        return False
    return not all(number.is_integer() for number in numbers)


@component("source", "parquet", build="gendsl.data.tables:load_parquet")
class Parquet(Source):
    """A table in the parquet format (needs pyarrow): its columns of numbers and booleans."""

    path: str
    columns: dict[str, Declared] = Field(default={})
    """If given, only these columns are read; with what the file does not tell (`{kind: {classes: 3}}`)."""
    examples = ({"path": "table.parquet"},)

    def facts(self, base: Path) -> SourceFacts:
        """Types and rows from the schema; bounds and missing entries from the statistics in the footer."""
        path = find(base, self.path)
        parquet = import_pyarrow()
        try:
            file = parquet.ParquetFile(path)
        except (OSError, ValueError) as error:  # pyarrow's errors derive from these
            raise SourceProblem("path", f"{self.path} is not a parquet file: {error}") from error
        with file:
            columns = {}
            for index, entry in enumerate(file.schema_arrow):
                dtype = entry.type.to_pandas_dtype().__name__.rstrip("_")
                if dtype.startswith(("int", "uint", "float", "bool")):
                    columns[entry.name] = _parquet_column(dtype, file.metadata, index)
            return table_facts(columns, self.columns, file.metadata.num_rows)


def import_pyarrow() -> Any:
    """The module pyarrow.parquet. Raises SourceProblem where it is not installed."""
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise SourceProblem("source", "parquet needs pyarrow", "pip install 'gendsl[parquet]'") from error


def table_facts(found: Mapping[str, Column], declared: Mapping[str, Declared], rows: int) -> SourceFacts:
    """The columns wanted, refined, and `row`: the numeric ones side by side."""
    for name in declared:
        if name not in found:
            raise SourceProblem("columns", f"no column {name!r}", f"there is {', '.join(found)}")
    columns = {name: declared[name].refine(name, found[name]) for name in declared} or dict(found)
    numeric = row_columns(columns)
    if numeric and "row" not in columns:
        parts = [columns[name] for name in numeric]
        integer = all(part.support.integer for part in parts)
        low, high = min(part.support.low for part in parts), max(part.support.high for part in parts)
        columns["row"] = Column(
            "int64" if integer else "float64",
            (len(numeric),),
            Support(low, high, integer),
            missing=any(part.missing for part in parts),
        )
    if not rows:
        raise SourceProblem("path", "the table has no rows")
    return SourceFacts(columns, rows)


def row_columns(columns: Mapping[str, Column]) -> tuple[str, ...]:
    """The names of the columns that `row` holds, in order."""
    return tuple(name for name, column in columns.items() if not column.labels and name != "row")


@dataclass
class Scan:
    """What one pass over the cells of a csv column has seen."""

    integer: bool = True
    numeric: bool = True
    missing: bool = False
    low: float = math.inf
    high: float = -math.inf
    words: set[str] = field(default_factory=set)

    def see(self, cell: str) -> None:
        """Take one cell into account."""
        if cell.lower() in MISSING_WORDS:
            self.missing = True
            self.words.add(cell)
            return
        value = number(cell)
        if value is None:
            self.numeric = False
        else:
            self.low, self.high = min(self.low, value), max(self.high, value)
            self.integer = self.integer and not any(mark in cell for mark in ".eE")
        self.words.add(cell)

    def column(self) -> Column:
        """The facts: int64 with the bounds seen, float64, or labels with their words."""
        if not self.numeric:
            return label_column(len(self.words), tuple(sorted(self.words)))
        if self.integer and not self.missing:
            return Column("int64", (), Support(self.low, self.high, integer=True))
        return Column("float64", (), REAL, missing=self.missing)


def number(cell: str) -> float | None:
    """The finite number that a cell holds, or None."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _rectangular(reader: Iterator[list[str]], width: int, path: str) -> Iterator[list[str]]:
    for count, line in enumerate(reader, start=1):
        if len(line) != width:
            raise SourceProblem("path", f"{path}: row {count} has {len(line)} cells, expected {width}")
        yield line


def _parquet_column(dtype: str, metadata: Any, index: int) -> Column:
    groups = [metadata.row_group(group).column(index).statistics for group in range(metadata.num_row_groups)]
    nulls = any(stats is None or not stats.has_null_count or stats.null_count for stats in groups)
    support = dtype_support(dtype)
    if not support.integer or nulls:
        return Column("float64", (), REAL, missing=nulls)
    if all(stats.has_min_max for stats in groups) and groups:
        low, high = min(float(stats.min) for stats in groups), max(float(stats.max) for stats in groups)
        support = Support(low, high, integer=True)
    return Column("int64", (), support)
