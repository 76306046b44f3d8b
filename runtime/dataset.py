"""The data set that a spec describes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gendsl.compiler.graph import Graph
from gendsl.data.dataset import Binding, Dataset, prepare
from gendsl.errors import UsageError


def dataset(graph: Graph, base: Path, arrays: Mapping[str, Any] | None = None) -> Dataset:
    """Load and split what `graph.spec.data` names; relative paths start at `base`.

    Raises DataError for data that are not as announced, UsageError where the spec has none.
    """
    data = graph.spec.data
    if data is None:
        raise UsageError("this spec has no data")
    return prepare(
        data.source,
        {name: Binding(b.column, b.as_) for name, b in data.bind.items()},
        dict(data.split or {}),
        seed=graph.spec.run.seed,
        base=base,
        partial={n: v.known for n, v in graph.variables.items() if v.known is not None},
        missing={n: v.missing for n, v in graph.variables.items() if v.missing},
        arrays=arrays,
        valid=graph.spec.train.validate_ is not None,
    )

