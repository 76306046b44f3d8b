"""The Python front door: compile, train, restore."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gendsl.compiler.pipeline import analyse
from gendsl.compiler.resolve import model_hash
from gendsl.data.memory import describe
from gendsl.errors import UsageError
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


def train(
    model: Model, out: str | Path | None = None, *, callbacks: tuple[Callback, ...] = (), resume: bool = False
) -> Run:
    """Train a compiled model by its spec, in a new run directory; the model ends with the trained weights.

    `resume`: where `out` holds a run of the same spec already, go on from its newest checkpoint; so the same call
    can be repeated until it is done. Calls to `callbacks` are told of the progress.

    Raises UsageError for a directory that is in use or of another spec, DataError, RunError at a value that is not
    finite.
    """
    path = Path(out) if out is not None else None
    with _threads():
        if resume and path is not None and (path / "resolved.yaml").is_file():
            _same_run(model, path)
            session = runs.reopen(path, callbacks=callbacks, warn=_warn, arrays=model.arrays, model=model)
        else:
            session = runs.start(
                model.graph.spec, out=path, callbacks=callbacks, warn=_warn, arrays=model.arrays, model=model
            )
        try:
            result = runs.finish(session)
        finally:
            session.run.close()
    return Run(session.run.path, result)


def _same_run(model: Model, path: Path) -> None:
    """Raises UsageError where the directory holds a run of another model or seed."""
    stored, base = runs.stored(path)
    graph = analyse(stored, base=base, device=model.graph.device)
    same = model_hash(graph) == model_hash(model.graph)
    if not same or stored.run.seed != model.graph.spec.run.seed:
        raise UsageError(f"{path} holds a run of another spec or seed: it cannot be resumed with this model")


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=3)


def restore(path: str | Path) -> Model:
    """The trained model of a run directory (its newest good checkpoint) or of an exported file, without its data.

    Raises UsageError where there is none, RunError where it is damaged.
    """
    with _threads():
        return runs.restored(Path(path), warn=_warn).model


@contextmanager
def _threads() -> Iterator[None]:
    """Training sets the number of threads by the spec; afterwards it is what it was."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
