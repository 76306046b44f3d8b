"""Data sources: `memory`, the arrays of an embedding program, and the names that all sources share.

The base classes are in `source_base`, the other sources in `source_generated` (digits and point clouds),
`source_files` (idx, npy, npz), `source_tables` (csv, parquet) and `source_media` (text, images, audio).
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gendsl.schema.components.source_base import (
    PARTS,
    Column,
    Declared,
    Source,
    SourceFacts,
    SourceProblem,
    dtype_support,
    label_column,
    split_counts,
)
from gendsl.schema.registry import component

__all__ = [
    "PARTS",
    "Column",
    "Declared",
    "Memory",
    "MemoryColumn",
    "Source",
    "SourceFacts",
    "SourceProblem",
    "dtype_support",
    "label_column",
    "split_counts",
]

NumberType = Literal[
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float16", "float32", "float64"
]


class MemoryColumn(Declared):
    """The facts of an array that the program passes: the type and shape of one row, and its values."""

    dtype: NumberType = "float32"
    shape: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)] = ()


@component("source", "memory", build="gendsl.data.memory:load_memory")
class Memory(Source):
    """Arrays that an embedding program passes, rows first (`gendsl.data.memory.describe` describes them).

    `columns` is needed to check the spec before there are any arrays. `rows` is not: 0 means not known yet.
    """

    reads_files = False
    columns: dict[str, MemoryColumn] = Field(default={})
    rows: Annotated[int, Field(ge=0)] = 0
    examples = ({"columns": {"x": {"shape": [3]}, "y": {"dtype": "int64", "classes": 4}}},)

    def facts(self, base: Path) -> SourceFacts:
        """What is declared."""
        if not self.columns:
            raise SourceProblem(
                "columns",
                "the columns of a memory source are not known",
                "pass the arrays, or declare them: columns: {x: {shape: [3]}, y: {dtype: int64, classes: 4}}",
            )
        columns = {}
        for name, given in self.columns.items():
            unseen = given.dtype.startswith("float")
            column = Column(given.dtype, given.shape, dtype_support(given.dtype), unseen=unseen)
            columns[name] = given.refine(name, column)
        return SourceFacts(columns, self.rows)
