"""What a data source is to the compiler: its columns, its rows and its own parts, known without loading it.

`Source.facts` answers from constants or file headers. A problem that only the data can show is a
`SourceProblem`, which the compiler turns into a diagnostic at `data.<field>`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from gendsl.errors import GendslError
from gendsl.schema.facts import REAL, Shape, Support, categories
from gendsl.schema.registry import Component, Strict

PARTS = ("train", "valid", "test")
DEFAULT_SPLIT = {"train": 0.8, "test": 0.2}
VALID_FRACTION = 0.1


class SourceProblem(GendslError):
    """A source whose facts cannot be told; `field` is the key under `data:` that the user has to change."""

    def __init__(self, field: str, message: str, help: str = "") -> None:
        self.field, self.message, self.help = field, message, help
        super().__init__(message)


@dataclass(frozen=True)
class Column:
    """One column of a source, or what the preprocessing steps have made of it.

    `dtype` is numpy's name of the loaded array's type. `labels`: integers that networks read by embedding.
    `names` are the words of the integers 0, 1, ... where they have any (folders, characters).
    `missing`: NaN entries are known to occur. `end`: the label that ends a row, which nothing but itself follows.
    `ragged`: rows are of different lengths along the first axis; what is not there is NaN.
    """

    dtype: str
    shape: Shape
    support: Support = REAL
    labels: bool = False
    names: tuple[str, ...] = ()
    missing: bool = False
    end: int | None = None
    ragged: bool = False
    unseen: bool = False
    """NaN entries may occur: the values are not read before the data are."""

    @property
    def levels(self) -> int | None:
        """How many values one entry can take: of integers, or of reals known to sit on a grid; else None."""
        return self.support.count if self.support.integer else self.support.levels


def label_column(classes: int, names: tuple[str, ...] = ()) -> Column:
    """A column of int64 labels 0 .. classes - 1."""
    return Column("int64", (), categories(classes), labels=True, names=names)


@dataclass(frozen=True)
class SourceFacts:
    """What is known of a source before it is loaded.

    `parts`: rows of the source's own train, valid and test parts, None where it has no parts of its own.
    `rows` counts all parts; 0 where it is not known before the arrays are given (memory).
    `generated`: drawn from a formula. `exact_density`: `gendsl.data.density` knows the density of `point`.
    """

    columns: Mapping[str, Column]
    rows: int
    parts: Mapping[str, int] | None = None
    generated: bool = False
    exact_density: bool = False


class Source(Component, ABC):
    """Base of all data sources."""

    reads_files: ClassVar[bool] = True
    """Whether parameters name files: a run then notes the folder that relative paths start from."""

    @abstractmethod
    def facts(self, base: Path) -> SourceFacts:
        """The columns and rows; relative paths start at `base`, the spec's folder. Raises SourceProblem."""


class Declared(Strict):
    """Facts of one column that a file's header does not tell."""

    classes: Annotated[int, Field(ge=2)] | None = None
    """The column holds labels 0 .. classes - 1."""
    end: Annotated[int, Field(ge=0)] | None = None
    """The label that ends a row, and that fills it up."""
    offsets: str | None = None
    """Of npz: the array of the places at which rows of their own length begin in this one, and of its end."""
    low: float | None = None
    high: float | None = None

    def refine(self, name: str, column: Column) -> Column:
        """The column with what is declared. Raises SourceProblem where that contradicts its type."""
        if self.offsets is not None:
            raise SourceProblem("columns", f"{name!r}: offsets are for the arrays of an npz file")
        integer = column.support.integer
        if self.classes is not None:
            if not integer:
                raise SourceProblem(
                    "columns", f"{name!r} holds {column.dtype} values, which cannot be labels"
                )
            if self.end is not None and (self.end >= self.classes or len(column.shape) != 1):
                raise SourceProblem(
                    "columns",
                    f"{name!r}: end is one of the {self.classes} labels of rows [T], not {self.end}",
                )
            return Column(
                column.dtype,
                column.shape,
                categories(self.classes),
                labels=True,
                names=column.names,
                end=self.end,
            )
        if self.end is not None:
            raise SourceProblem("columns", f"{name!r}: end needs classes, as it is one of them")
        low = column.support.low if self.low is None else self.low
        high = column.support.high if self.high is None else self.high
        if low >= high:
            raise SourceProblem("columns", f"{name!r}: low must be below high")
        support = Support(low, high, integer=integer)
        return Column(column.dtype, column.shape, support, column.labels, column.names, column.missing)


def dtype_support(dtype: str) -> Support:
    """The values of a numpy type: all of a small integer type, any integer of a wide one, else the reals.

    int32 and int64 are what people store labels and counts in; their own bounds say nothing about the data.
    """
    if dtype == "bool":
        return Support(0.0, 1.0, integer=True)
    for prefix, low, high in (
        ("uint8", 0, 255),
        ("int8", -128, 127),
        ("uint16", 0, 65535),
        ("int16", -32768, 32767),
    ):
        if dtype == prefix:
            return Support(float(low), float(high), integer=True)
    if dtype.startswith("uint"):
        return Support(low=0.0, integer=True)
    return Support(integer=True) if dtype.startswith("int") else REAL


def find(base: Path, path: str, field: str = "path") -> Path:
    """The file or folder at `path`, relative to `base`. Raises SourceProblem where there is none."""
    found = base / Path(path).expanduser()
    if not found.exists():
        help = "" if Path(path).is_absolute() else f"relative paths start at the folder of the spec: {base}"
        raise SourceProblem(field, f"no such file or folder: {path}", help)
    return found


def split_counts(facts: SourceFacts, split: Mapping[str, float], valid: bool = False) -> dict[str, int]:
    """Rows of every part, in the order train, valid, test.

    A source with parts of its own keeps them unless `split` names train or test; others are cut as `split`
    says, 80 % train and 20 % test if it says nothing. Where `valid` is asked for, or is all that `split`
    names, and there is none yet, it is taken out of train (10 %, or the fraction named).
    Cuts are floors of the cumulative fractions: 1797 rows make 1437 and 360. Empty where the number of rows
    is not known yet (memory).

    Raises SourceProblem at `split` for unknown names, fractions that do not fit, and empty parts.
    """
    _check_fractions(split)
    if not facts.rows:
        return {}
    counts: dict[str, int] = {}
    cut = split if {"train", "test"} & split.keys() else DEFAULT_SPLIT
    if facts.parts is not None and keeps_parts(facts, split):
        counts = {name: facts.parts[name] for name in PARTS if name in facts.parts}
    else:
        total, before = 0.0, 0
        for name in PARTS:
            fraction = cut.get(name)
            if fraction is not None:
                total += fraction
                upto = math.floor(total * facts.rows + 1e-6)
                counts[name], before = upto - before, upto
    if "valid" not in counts and (valid or "valid" in split):
        taken = max(1, math.floor(split.get("valid", VALID_FRACTION) * counts["train"] + 1e-6))
        counts["train"], counts["valid"] = counts["train"] - taken, taken
    for name, rows in counts.items():
        if rows < 1:
            raise SourceProblem("split", f"the part {name!r} would have no rows: the source has {facts.rows}")
    return {name: counts[name] for name in PARTS if name in counts}


def keeps_parts(facts: SourceFacts, split: Mapping[str, float]) -> bool:
    """Whether the source's own parts are used: it has some, and `split` names neither train nor test."""
    return facts.parts is not None and not {"train", "test"} & split.keys()


def _check_fractions(split: Mapping[str, float]) -> None:
    for name, fraction in split.items():
        if name not in PARTS:
            raise SourceProblem("split", f"unknown part {name!r}", "the parts are train, valid and test")
        if not 0.0 < fraction <= 1.0:
            raise SourceProblem("split", f"{name} is {fraction:g}, not a fraction between 0 and 1")
    if "test" in split and "train" not in split:
        raise SourceProblem("split", "'train' is missing", "write split: {train: 0.8, test: 0.2}")
    if sum(split.values()) > 1.0 + 1e-9:
        raise SourceProblem("split", f"the fractions add up to {sum(split.values()):g}, more than 1")
