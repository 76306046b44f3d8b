"""The data set that a spec describes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gendsl.compiler.derive.energies import targets
from gendsl.compiler.graph import Graph
from gendsl.data.dataset import Binding, Dataset, prepare, without_data
from gendsl.errors import UsageError
from gendsl.nn.preprocessing import Pipeline


def dataset(
    graph: Graph,
    base: Path,
    arrays: Mapping[str, Any] | None = None,
    fitted: Mapping[str, Pipeline] | None = None,
) -> Dataset:
    """Load and split what `graph.spec.data` names; relative paths start at `base`.

    `fitted`: the preprocessing of an earlier run, used as it is. Raises DataError for data that are not as announced,
    UsageError where the spec has none.
    """
    data = graph.spec.data
    if data is None and targets(graph):
        return without_data(graph.spec.train.batch_size, graph.spec.run.seed)
    if data is None:
        raise UsageError("this spec has no data")
    return prepare(
        data.source,
        {name: Binding(b.column, b.as_) for name, b in data.bind.items()},
        data.shares,
        seed=graph.spec.run.seed,
        base=base,
        partial={n: v.known for n, v in graph.variables.items() if v.known is not None},
        missing={n: v.missing for n, v in graph.variables.items() if v.missing},
        arrays=arrays,
        valid=graph.spec.train.validate_ is not None,
        pipelines=fitted,
    )


def pipelines(graph: Graph) -> dict[str, Pipeline]:
    """The preprocessing of every bound variable, not fitted: a checkpoint fills in what was."""
    if graph.spec.data is None or graph.source is None:
        return {}
    columns = graph.source.columns
    return {name: Pipeline(b.as_, columns[b.column]) for name, b in graph.spec.data.bind.items()}
