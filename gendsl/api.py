"""The Python front door: compile, train, restore."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gendsl.compiler.pipeline import analyse
from gendsl.data.memory import describe
from gendsl.nn.model import Model
from gendsl.runtime import run as runs
from gendsl.runtime.train import Callback
from gendsl.schema.settings import Data
from gendsl.schema.spec import Spec


@dataclass(frozen=True)
class Run:
    """A finished run: its directory and what result.json says."""

    path: Path
    result: dict[str, Any]


def compile(spec: Spec, data: Mapping[str, Any] | None = None) -> Model:
    """The initialised model of a spec, an ordinary nn.Module.

    `data` are arrays [N, ...] by column name, for a spec whose data come from memory; without it the spec's own source
    is used when the model is trained. Raises SpecError with every diagnostic.
    """
    spec = _with_memory(spec, data)
    graph = analyse(spec, base=runs.data_base(spec), device=runs.pick_device(spec.run.device))
    model = runs.compile_model(graph)
    model.arrays = dict(data) if data is not None else None
    return model


def _with_memory(spec: Spec, data: Mapping[str, Any] | None) -> Spec:
    """The spec with a memory source that the arrays are an instance of."""
    if data is None:
        return spec
    declared = spec.data.source if spec.data is not None else None
    source = declared if declared is not None and getattr(declared, "columns", None) else describe(data)
    bind = spec.data.bind if spec.data is not None else {n: {"column": n} for n in data}
    split = spec.data.split if spec.data is not None else None
    body = Data.model_validate({"source": source, "split": split, "bind": bind})
    changed = spec.model_copy(update={"data": body})
    return changed.with_document(spec.document) if spec.document is not None else changed


def train(model: Model, out: str | Path | None = None, *, callbacks: tuple[Callback, ...] = ()) -> Run:
    """Train a compiled model by its spec, in a new run directory; the model ends with the trained weights.

    Raises UsageError for a directory that is in use, DataError, RunError at a value that is not finite.
    """
    with _threads():
        session = runs.start(
            model.graph.spec,
            out=Path(out) if out is not None else None,
            callbacks=callbacks,
            arrays=model.arrays,
            model=model,
        )
        try:
            result = runs.finish(session)
        finally:
            session.run.close()
    return Run(session.run.path, result)


def restore(path: str | Path, data: Mapping[str, Any] | None = None) -> Model:
    """The trained model of a run directory, from its newest good checkpoint; no pickle.

    Raises UsageError where there is none, RunError where it is damaged.
    """
    with _threads():
        _, model, _ = runs.restored(Path(path), arrays=data)
    return model


@contextmanager
def _threads() -> Iterator[None]:
    """Training sets the number of threads by the spec; afterwards it is what it was."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
