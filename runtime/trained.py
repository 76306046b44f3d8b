"""A trained model as it is used: from a run directory or an exported file, which are only read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from gendsl.compiler.graph import Graph
from gendsl.compiler.pipeline import analyse
from gendsl.compiler.resolve import model_hash, resolved
from gendsl.data.dataset import Dataset
from gendsl.errors import DataError, RunError, UsageError
from gendsl.nn.model import Model
from gendsl.nn.preprocessing import Pipeline
from gendsl.runtime import bundle, checkpoint, data_record
from gendsl.runtime.dataset import dataset, pipelines
from gendsl.runtime.environment import set_threads
from gendsl.runtime.evaluation import evaluate
from gendsl.runtime.initial import compile_model, pick_device
from gendsl.runtime.result import evaluated_part, header, read_json
from gendsl.runtime.samples import having
from gendsl.runtime.state import State
from gendsl.schema.components.source_base import SourceProblem
from gendsl.schema.dump import dump
from gendsl.schema.load import load, loads
from gendsl.schema.spec import Spec

Warn = Callable[[str], None]


def quiet(message: str) -> None:
    """Says nothing."""


@dataclass
class Trained:
    """The model of a run directory as it is used: with the best or the averaged weights. The directory is only read."""

    path: Path
    graph: Graph
    model: Model
    step: int
    base: Path
    arrays: Mapping[str, Any] | None = None
    warn: Warn = quiet

    @cached_property
    def data(self) -> Dataset:
        """The run's data, loaded when first asked for, with the preprocessing that training fitted.

        Values that are not those of the run's beginning are told to `warn`.

        Raises DataError where they are not there or have other columns, UsageError where they come from memory and
        were not passed.
        """
        self._same_columns()
        fitted = {name: cast(Pipeline, module) for name, module in self.model.preprocessing.items()}
        try:
            found = dataset(self.graph, self.base, self.arrays, fitted)
        except SourceProblem as problem:
            raise DataError(f"the data of this model cannot be read: {problem.message}") from problem
        other = data_record.changed(self.path, found) if self.path.is_dir() else None
        if other is not None and self.arrays is None:
            self.warn(f"{other}: rows that it was trained on may be among those that are evaluated")
        return found

    def _same_columns(self) -> None:
        """The columns that the model was compiled for are there, of the same type and shape."""
        data, known = self.graph.spec.data, self.graph.source
        if data is None or known is None or not data.source.reads_files:
            return
        try:
            columns = data.source.facts(self.base).columns
        except SourceProblem as problem:
            raise DataError(f"the data of this model cannot be read: {problem.message}") from problem
        for name in dict.fromkeys(b.column for b in data.bind.values()):
            was, now = known.columns[name], columns.get(name)
            if now is None or (now.dtype, now.shape) != (was.dtype, was.shape):
                raise DataError(
                    f"the column {name!r} of this model's data is not the one that it was made for"
                )

    def part(self, name: str | None) -> str:
        """A part of the data: the one named, or the one that the spec evaluates. Raises UsageError if there is none."""
        if name is None:
            return evaluated_part(self.graph.spec, self.data)
        return self.data.part(name).name


def stored(path: Path) -> tuple[Spec, Path]:
    """The spec of a run directory with every default and override, and the folder its data start from.

    Raises UsageError where the directory holds no resolved.yaml.
    """
    file = path / "resolved.yaml"
    if not file.is_file():
        raise UsageError(f"{path} is not a run directory that can be used: it has no resolved.yaml")
    spec = load(file)
    where = path / "environment.json"
    base = Path()
    if where.is_file():
        base = Path(os.path.expanduser(str(read_json(where).get("data_folder", "."))))
    return spec, base


def restored(path: Path, *, warn: Warn = quiet, arrays: Mapping[str, Any] | None = None) -> Trained:
    """The trained model of a run directory or of an exported file, which is only read; no data are needed yet.

    Raises UsageError where `path` is no run directory or has no checkpoint, RunError where none is good.
    """
    if path.is_file():
        return imported(path, arrays)
    if not path.is_dir():
        raise UsageError(f"{path} is not a run directory")
    spec, base = stored(path)
    facts = data_record.facts_known(path)
    graph = analyse(spec, base=base, device=pick_device(spec.run.device), facts=facts)
    set_threads(graph.resources.threads)
    model = compile_model(graph)
    model.attach(pipelines(graph))
    state = State(model, [1] * len(graph.stages))
    found = checkpoint.newest(path / "checkpoints", checkpoint.signature(state.tensors()), warn)
    if found is None:
        raise UsageError(f"{path} has no checkpoint yet: nothing is trained")
    state.load(found)
    state.settle()
    model.eval()
    return Trained(path, graph, model, found.step, base, arrays, warn)


def export(path: Path, out: Path, *, warn: Warn = quiet) -> dict[str, Any]:
    """Write the model of a run directory into the file `out` (`gendsl.runtime.bundle`); returns its manifest.

    Raises UsageError, RunError.
    """
    trained = restored(path, warn=warn)
    graph = trained.graph
    about = {
        "name": graph.spec.name,
        "hash": model_hash(graph),
        "seed": graph.spec.run.seed,
        "step": trained.step,
        "parameters": graph.resources.parameters,
    }
    text = dump(resolved(graph))
    return bundle.write(out, bundle.Bundle(text, trained.model.state_dict(), graph.source, about))


def imported(path: Path, arrays: Mapping[str, Any] | None = None) -> Trained:
    """The model of a file that `export` wrote, on a device that is here; relative paths of its data start here.

    Raises UsageError for another file, RunError for a damaged one.
    """
    found = bundle.read(path)
    graph = analyse(loads(found.spec), base=Path(), device=pick_device("auto"), facts=found.facts)
    set_threads(graph.resources.threads)
    model = compile_model(graph)
    model.attach(pipelines(graph))
    if checkpoint.signature(found.tensors) != checkpoint.signature(model.state_dict()):
        raise RunError(f"{path}: its tensors are not those of its spec")
    model.load_state_dict(dict(found.tensors))
    model.eval()
    return Trained(path, graph, model, int(found.about["step"]), Path(), arrays)


def evaluated(
    path: Path,
    *,
    split: str | None = None,
    samples: int | None = None,
    seed: int | None = None,
    rows: int | None = None,
    given: Mapping[str, float] = MappingProxyType({}),
    warn: Warn = quiet,
) -> dict[str, Any]:
    """The result of a run with the metrics of one part computed afresh; the directory is only read.

    `given`: only the rows whose conditions have these values. `rows`: only the first of them.

    Raises UsageError for a part that the data does not have, for what is no condition or has no such row, and where
    nothing is trained.
    """
    trained = restored(path, warn=warn)
    spec, part = trained.graph.spec, trained.part(split)
    began = time.monotonic()
    data = trained.data
    chosen = having(trained.model, data.parts[part], given)
    data = replace(data, parts={**data.parts, part: chosen if rows is None else chosen.first(rows)})
    metrics = evaluate(
        trained.model,
        data,
        split=part,
        seed=spec.run.seed if seed is None else seed,
        samples=samples or spec.evaluate.samples,
        metrics=spec.evaluate.metrics,
    )
    file = path / "result.json"
    before = read_json(file) if file.is_file() else {"status": "unfinished"}
    result = {
        **header(trained.graph, trained.data),
        **before,
        "steps": trained.step,
        "metrics": {part: metrics},
        **({"given": dict(given)} if given else {}),
    }
    result["seconds"] = {**result["seconds"], "evaluate": round(time.monotonic() - began, 2)}
    return result
