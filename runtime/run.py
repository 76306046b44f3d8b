"""A run from spec to report: the directory, training, evaluation, samples, result.json."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import gendsl
from gendsl.compiler.build import build
from gendsl.compiler.explain import as_json, as_text
from gendsl.compiler.graph import Graph
from gendsl.compiler.machine import memory_available
from gendsl.compiler.pipeline import analyse
from gendsl.compiler.resolve import resolved
from gendsl.data.dataset import Dataset
from gendsl.errors import RunError, UsageError
from gendsl.nn.model import Model
from gendsl.runtime import checkpoint, pictures, samples
from gendsl.runtime.dataset import dataset
from gendsl.runtime.diagnoses import diagnose
from gendsl.runtime.environment import environment, set_threads
from gendsl.runtime.evaluate import evaluate
from gendsl.runtime.report import write_report
from gendsl.runtime.rundir import RunDirectory
from gendsl.runtime.streams import stream
from gendsl.runtime.train import Callback, Interrupted, Trainer
from gendsl.schema.load import load
from gendsl.schema.spec import Spec
from gendsl.schema.dump import dump

Warn = Callable[[str], None]


def quiet(message: str) -> None:
    """Says nothing."""


@dataclass
class Session:
    """A model with its data in a run directory."""

    graph: Graph
    model: Model
    data: Dataset
    run: RunDirectory
    trainer: Trainer
    compile_seconds: float


def pick_device(wanted: str) -> str:
    """`auto` is CUDA where there is one, else the CPU. Raises UsageError for a device that is not there."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"there is no {wanted} here; use --device cpu")
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise UsageError("there is no mps here; use --device cpu")
    return wanted


def compile_model(graph: Graph) -> Model:
    """The initialised model of a graph, from the seed's init stream, on its device."""
    with stream(graph.spec.run.seed, "init"):
        model = build(graph)
    model = model.to(graph.device)
    if graph.spec.run.compile:
        for module in (*model.decoder.values(), *model.encoder.values(), *model.adversary.values()):
            module.compile()
    return model


def start(
    spec: Spec,
    *,
    out: Path | None = None,
    overrides: Sequence[str] = (),
    callbacks: tuple[Callback, ...] = (),
    warn: Warn = quiet,
    arrays: Mapping[str, Any] | None = None,
    model: Model | None = None,
) -> Session:
    """Make the run directory, write what the run is, and build the model (or take the one given); nothing is
    trained yet.

    Raises SpecError, DataError, UsageError.
    """
    began = time.monotonic()
    base = data_base(spec)
    graph = analyse(spec, base=base, device=pick_device(spec.run.device), memory=memory_available())
    set_threads(graph.resources.threads)
    data = dataset(graph, base, arrays)
    model = model if model is not None else compile_model(graph)
    model.attach(data.pipelines)
    seconds = time.monotonic() - began
    run = RunDirectory.create(out, name=spec.name, seed=spec.run.seed)
    run.write_text("resolved.yaml", dump(resolved(graph)))
    document = spec.document
    text = document.sources.get(document.file, "") if document is not None else dump(resolved(graph))
    run.write_text("spec.yaml", text)
    run.write_text("overrides.txt", "".join(f"{line}\n" for line in overrides))
    run.write_text("explain.txt", as_text(graph))
    run.write_json("graph.json", as_json(graph))
    run.write_json("environment.json", {**environment(), "data_folder": str(base.resolve())})
    return Session(graph, model, data, run, Trainer(model, data, run, callbacks=callbacks, warn=warn), seconds)


def data_base(spec: Spec) -> Path:
    """The folder that relative paths of the data start from: the spec's own, or the current one."""
    file = Path(spec.document.file) if spec.document is not None else None
    return file.parent if file is not None and file.is_file() else Path()


def reopen(
    path: Path, *, callbacks: tuple[Callback, ...] = (), warn: Warn = quiet, arrays: Mapping[str, Any] | None = None
) -> Session:
    """A session on an existing run directory, at its newest good checkpoint (or at the start if there is none).

    Raises UsageError where `path` is no run directory, RunError where no checkpoint can be used.
    """
    began = time.monotonic()
    run = RunDirectory.open(path)
    try:
        spec, base = stored(path)
        graph = analyse(spec, base=base, device=pick_device(spec.run.device), memory=memory_available())
        set_threads(graph.resources.threads)
        data = dataset(graph, base, arrays)
        model = compile_model(graph)
        model.attach(data.pipelines)
        trainer = Trainer(model, data, run, callbacks=callbacks, warn=warn)
        trainer.restore()
    except BaseException:
        run.close()
        raise
    return Session(graph, model, data, run, trainer, time.monotonic() - began)


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
        base = Path(json.loads(where.read_text("utf-8")).get("data_folder", "."))
    return spec, base


def finish(session: Session) -> dict[str, Any]:
    """Train to the end, evaluate, sample, and write the result and the report; returns the result.

    Raises RunError for a value that is not finite, Interrupted when asked to stop; result.json says so then.
    """
    graph, run, spec = session.graph, session.run, session.graph.spec
    result = header(graph, session.data)
    began = time.monotonic()
    try:
        session.trainer.fit()
    except (RunError, Interrupted) as error:
        result["status"] = "interrupted" if isinstance(error, Interrupted) else "nan"
        result["error"] = str(error)
        result["steps"] = session.trainer.step
        run.flush()
        run.write_json("result.json", result)
        write_report(run.path)
        raise
    trained = time.monotonic() - began
    session.trainer.finish()
    began = time.monotonic()
    split = spec.evaluate.split if spec.evaluate.split in session.data.parts else "train"
    metrics = evaluate(
        session.model,
        session.data,
        split=split,
        seed=spec.run.seed,
        samples=spec.evaluate.samples,
        metrics=spec.evaluate.metrics,
    )
    _draw(session)
    run.flush()
    result |= {
        "steps": session.trainer.step,
        "metrics": {split: metrics},
        "status": "completed",
        "stopped": session.trainer.stopped or None,
    }
    records = [json.loads(line) for line in run.metrics.read_text("utf-8").splitlines()]
    result["warnings"] = diagnose(records, result) + [d.message for d in graph.notes if d.severity == "warning"]
    result["seconds"] = {
        "compile": round(session.compile_seconds, 2),
        "train": round(trained, 2),
        "evaluate": round(time.monotonic() - began, 2),
    }
    pictures.save_curves(run.samples / "curves.png", *_curves(records))
    run.write_json("result.json", result)
    write_report(run.path)
    return result


def header(graph: Graph, data: Dataset) -> dict[str, Any]:
    """What result.json says of a run before anything is measured."""
    spec = graph.spec
    return {
        "gendsl": gendsl.__version__,
        "spec": {"name": spec.name, "hash": spec.hash},
        "seed": spec.run.seed,
        "steps": 0,
        "parameters": graph.resources.parameters,
        "data": data.describe(),
        "metrics": {},
        "seconds": {},
        "status": "running",
    }


def _curves(records: list[dict[str, Any]]) -> tuple[dict[str, list[tuple[int, float]]], dict[str, list[tuple[int, float]]]]:
    """Every term's (step, value) pairs of training, and of validation."""
    found: dict[str, dict[str, list[tuple[int, float]]]] = {"train": {}, "valid": {}}
    for record in records:
        for name, value in record["terms"].items():
            if value is not None:
                found[record["split"]].setdefault(name, []).append((record["step"], value))
    return found["train"], found["valid"]


def _draw(session: Session) -> None:
    spec = session.graph.spec
    if session.graph.capabilities["sample"].how is None:
        values: dict[str, Any] = {}
    else:
        values = samples.draw(
            session.model,
            session.data,
            spec.sample.n,
            given=dict(spec.sample.given),
            temperature=spec.sample.temperature,
            seed=spec.run.seed,
        )
        samples.save_arrays(session.run.samples / "samples.npz", values)
    samples.save_pictures(session.run.samples, session.model, session.data, values, spec.run.seed)


def restored(path: Path, *, warn: Warn = quiet, arrays: Mapping[str, Any] | None = None) -> tuple[Graph, Model, Dataset]:
    """The graph, the trained model and the data of a run directory, which is only read.

    Raises UsageError where `path` is no run directory or has no checkpoint, RunError where none is good.
    """
    if not path.is_dir():
        raise UsageError(f"{path} is not a run directory")
    spec, base = stored(path)
    graph = analyse(spec, base=base, device=pick_device(spec.run.device))
    set_threads(graph.resources.threads)
    data = dataset(graph, base, arrays)
    model = compile_model(graph)
    model.attach(data.pipelines)
    trainer = Trainer(model, data, None, warn=warn)
    found = checkpoint.newest(path / "checkpoints", checkpoint.signature(trainer.tensors()), warn)
    if found is None:
        raise UsageError(f"{path} has no checkpoint yet: nothing is trained")
    trainer.load(found)
    trainer.finish()
    return graph, model, data


def untrained(spec: Spec) -> tuple[Graph, Model, Dataset]:
    """The graph, the initialised model and the data of a spec. Raises SpecError, DataError."""
    base = data_base(spec)
    graph = analyse(spec, base=base, device=pick_device(spec.run.device))
    data = dataset(graph, base)
    model = compile_model(graph)
    model.attach(data.pipelines)
    return graph, model, data


def evaluated(
    path: Path, *, split: str | None = None, samples: int | None = None, seed: int | None = None, warn: Warn = quiet
) -> dict[str, Any]:
    """The result of a run with the metrics of one part computed afresh; the directory is only read.

    Raises UsageError for a part that the data does not have, and where nothing is trained.
    """
    graph, model, data = restored(path, warn=warn)
    spec = graph.spec
    part = split or (spec.evaluate.split if spec.evaluate.split in data.parts else "train")
    if part not in data.parts:
        raise UsageError(f"the data has no part {part!r}; it has {', '.join(data.parts)}")
    began = time.monotonic()
    metrics = evaluate(
        model,
        data,
        split=part,
        seed=spec.run.seed if seed is None else seed,
        samples=samples or spec.evaluate.samples,
        metrics=spec.evaluate.metrics,
    )
    file = path / "result.json"
    result: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    result = {**header(graph, data), **result, "metrics": {part: metrics}}
    result["seconds"] = {**result.get("seconds", {}), "evaluate": round(time.monotonic() - began, 2)}
    return result
