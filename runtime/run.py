"""A run from spec to report: the directory, training, evaluation, samples, result.json."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch

import gendsl
from gendsl.compiler.build import build
from gendsl.compiler.explain import as_json, as_text
from gendsl.compiler.graph import Graph
from gendsl.compiler.machine import memory_available
from gendsl.compiler.pipeline import analyse
from gendsl.compiler.resolve import model_hash, resolved
from gendsl.data.dataset import Dataset
from gendsl.errors import DataError, GendslError, RunError, UsageError
from gendsl.nn.model import Model
from gendsl.nn.preprocessing import Pipeline
from gendsl.runtime import bundle, checkpoint, pictures, samples
from gendsl.runtime.dataset import dataset, pipelines
from gendsl.runtime.diagnoses import diagnose
from gendsl.runtime.environment import environment, set_threads
from gendsl.runtime.evaluate import evaluate
from gendsl.runtime.report import write_report
from gendsl.runtime.rundir import RunDirectory
from gendsl.runtime.state import State
from gendsl.runtime.stop import Stop
from gendsl.runtime.streams import stream
from gendsl.runtime.train import Callback, Interrupted, NotFinite, Trainer
from gendsl.schema.components.source_base import SourceProblem
from gendsl.schema.dump import dump
from gendsl.schema.load import load, loads
from gendsl.schema.spec import Spec

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


@dataclass
class Trained:
    """The model of a run directory as it is used: with the best or the averaged weights. The directory is only read."""

    path: Path
    graph: Graph
    model: Model
    step: int
    base: Path
    arrays: Mapping[str, Any] | None = None

    @cached_property
    def data(self) -> Dataset:
        """The run's data, loaded when first asked for, with the preprocessing that training fitted.

        Raises DataError where they are not there, UsageError where they come from memory and were not passed.
        """
        fitted = {name: cast(Pipeline, module) for name, module in self.model.preprocessing.items()}
        try:
            return dataset(self.graph, self.base, self.arrays, fitted)
        except SourceProblem as problem:
            raise DataError(f"the data of this model cannot be read: {problem.message}") from problem

    def part(self, name: str | None) -> str:
        """A part of the data: the one named, or the one that the spec evaluates. Raises UsageError if there is none."""
        if name is None:
            return evaluated_part(self.graph.spec, self.data)
        if name not in self.data.parts:
            raise UsageError(f"the data has no part {name!r}; it has {', '.join(self.data.parts)}")
        return name


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
    model.to(graph.device)
    if graph.spec.run.compile:
        for section in ("prior", "decoder", "flow", "encoder", "energy", "adversary"):
            for module in model.get_submodule(section).children():
                module.compile()
    return model


def start(
    spec: Spec,
    *,
    out: Path | None = None,
    overrides: Sequence[str] = (),
    callbacks: tuple[Callback, ...] = (),
    warn: Warn = quiet,
    stop: Stop | None = None,
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
    given = model is not None
    model = model if model is not None else compile_model(graph)
    model.attach(data.pipelines)
    seconds = time.monotonic() - began
    run = RunDirectory.create(out, name=spec.name, seed=spec.run.seed)
    with ExitStack() as undo:
        undo.callback(run.close)
        _describe(run, graph, base, overrides)
        trainer = Trainer(model, data, run, callbacks=callbacks, warn=warn, stop=stop)
        if given:
            trainer.save()
        undo.pop_all()
    return Session(graph, model, data, run, trainer, seconds)


def _describe(run: RunDirectory, graph: Graph, base: Path, overrides: Sequence[str]) -> None:
    """Write what the run is. resolved.yaml comes last: with it the directory can be resumed."""
    text = dump(resolved(graph))
    document = graph.spec.document
    run.write_text("spec.yaml", document.sources.get(document.file, "") if document is not None else text)
    run.write_text("overrides.txt", "".join(f"{line}\n" for line in overrides))
    run.write_text("explain.txt", as_text(graph))
    run.write_json("graph.json", as_json(graph))
    data = graph.spec.data
    folder = {"data_folder": _homeless(base)} if data is not None and data.source.reads_files else {}
    run.write_json("environment.json", {**environment(), **folder})
    run.write_text("resolved.yaml", text)


def _homeless(folder: Path) -> str:
    """`~/...` inside the home folder, so that a run directory does not tell whose it is; the whole path elsewhere."""
    full, home = folder.resolve(), Path(os.path.expanduser("~")).resolve()
    return f"~/{full.relative_to(home)}" if full.is_relative_to(home) else str(full)


def data_base(spec: Spec) -> Path:
    """The folder that relative paths of the data start from: the spec's own, or the current one."""
    file = Path(spec.document.file) if spec.document is not None else None
    return file.parent if file is not None and file.is_file() else Path()


def reopen(
    path: Path,
    *,
    callbacks: tuple[Callback, ...] = (),
    warn: Warn = quiet,
    stop: Stop | None = None,
    arrays: Mapping[str, Any] | None = None,
    model: Model | None = None,
) -> Session:
    """A session on an existing run directory, at its newest good checkpoint (or at the start if there is none).

    `model`: one of the same spec, whose weights are replaced. Raises UsageError where `path` is no run directory,
    RunError where no checkpoint can be used.
    """
    began = time.monotonic()
    run = RunDirectory.open(path)
    with ExitStack() as undo:
        undo.callback(run.close)
        spec, base = stored(path)
        graph = analyse(spec, base=base, device=pick_device(spec.run.device), memory=memory_available())
        set_threads(graph.resources.threads)
        data = dataset(graph, base, arrays)
        model = model if model is not None else compile_model(graph)
        model.attach(data.pipelines)
        trainer = Trainer(model, data, run, callbacks=callbacks, warn=warn, stop=stop)
        trainer.restore()
        undo.pop_all()
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
        base = Path(os.path.expanduser(str(read_json(where).get("data_folder", "."))))
    return spec, base


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of the run. Raises RunError where it is damaged."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is damaged: it is not JSON") from error
    if not isinstance(found, dict):
        raise RunError(f"{path} is damaged: it is not a JSON object")
    return found


def finish(session: Session, say: Warn = quiet) -> dict[str, Any]:
    """Train to the end, evaluate, sample, and write the result and the report; returns the result.

    `say` is told what is done after training. Raises RunError for a value that is not finite, Interrupted when asked
    to stop; result.json says so then.
    """
    graph, run, trainer = session.graph, session.run, session.trainer
    result = header(graph, session.data)
    began = time.monotonic()
    try:
        trainer.fit()
        if trainer.stop.requested:
            raise Interrupted(f"stopped at the end of training, step {trainer.step}, before evaluation")
        trained = time.monotonic() - began
        trainer.stop.heeded = False
        try:
            result |= _measured(session, say)
        except KeyboardInterrupt:
            raise Interrupted("stopped while evaluating; training is complete") from None
    except (GendslError, Interrupted) as error:
        result["status"] = _status(error)
        result["error"] = str(error)
        result["steps"] = trainer.step
        run.flush()
        run.write_json("result.json", result)
        write_report(run.path)
        raise
    result["seconds"] = {
        "compile": round(session.compile_seconds, 2),
        "train": round(trained, 2),
        "evaluate": round(time.monotonic() - began - trained, 2),
    }
    run.write_json("result.json", result)
    write_report(run.path)
    return result


def _status(error: Exception) -> str:
    if isinstance(error, NotFinite):
        return "nan"
    return "interrupted" if isinstance(error, Interrupted) else "failed"


def _measured(session: Session, say: Warn) -> dict[str, Any]:
    """Metrics, samples and warnings of the trained model, with its weights as they are used."""
    graph, run, spec = session.graph, session.run, session.graph.spec
    session.trainer.finish()
    split = evaluated_part(spec, session.data)
    say(f"evaluating on {split}")
    metrics = evaluate(
        session.model,
        session.data,
        split=split,
        seed=spec.run.seed,
        samples=spec.evaluate.samples,
        metrics=spec.evaluate.metrics,
    )
    say("drawing samples")
    _draw(session)
    say("writing the report")
    run.flush()
    found: dict[str, Any] = {
        "steps": session.trainer.step,
        "metrics": {split: metrics},
        "status": "completed",
        "stopped": session.trainer.state.stopped or None,
    }
    text = run.metrics.read_text("utf-8") if run.metrics.is_file() else ""
    records = [json.loads(line) for line in text.splitlines()]
    found["warnings"] = diagnose(records, found) + [d.message for d in graph.notes if d.severity == "warning"]
    if split != spec.evaluate.split and session.data.source is not None:
        found["warnings"].append(f"the data has no part {spec.evaluate.split!r}: the metrics are of {split}")
    if records:
        pictures.save_curves(run.samples / "curves.png", *_curves(records))
    return found


def evaluated_part(spec: Spec, data: Dataset) -> str:
    """The part that evaluate.split names, or train where the data have no such part."""
    return spec.evaluate.split if spec.evaluate.split in data.parts else "train"


def header(graph: Graph, data: Dataset) -> dict[str, Any]:
    """What result.json says of a run before anything is measured."""
    spec = graph.spec
    return {
        "gendsl": gendsl.__version__,
        "spec": {"name": spec.name, "hash": model_hash(graph)},
        "seed": spec.run.seed,
        "steps": 0,
        "parameters": graph.resources.parameters,
        "data": data.describe(),
        "metrics": {},
        "seconds": {},
        "status": "running",
    }


def _curves(
    records: list[dict[str, Any]],
) -> tuple[dict[str, list[tuple[int, float]]], dict[str, list[tuple[int, float]]]]:
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
            spec.sample.n,
            lambda: session.data.parts["train"],
            given=dict(spec.sample.given),
            temperature=spec.sample.temperature,
            seed=spec.run.seed,
        )
        samples.save_arrays(session.run.samples / "samples.npz", values)
    samples.save_pictures(session.run.samples, session.model, session.data, values, spec.run.seed)


def restored(path: Path, *, warn: Warn = quiet, arrays: Mapping[str, Any] | None = None) -> Trained:
    """The trained model of a run directory or of an exported file, which is only read; no data are needed yet.

    Raises UsageError where `path` is no run directory or has no checkpoint, RunError where none is good.
    """
    if path.is_file():
        return imported(path, arrays)
    if not path.is_dir():
        raise UsageError(f"{path} is not a run directory")
    spec, base = stored(path)
    graph = analyse(spec, base=base, device=pick_device(spec.run.device))
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
    return Trained(path, graph, model, found.step, base, arrays)


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


def untrained(spec: Spec) -> tuple[Graph, Model, Dataset]:
    """The graph, the initialised model and the data of a spec. Raises SpecError, DataError."""
    base = data_base(spec)
    graph = analyse(spec, base=base, device=pick_device(spec.run.device))
    data = dataset(graph, base)
    model = compile_model(graph)
    model.attach(data.pipelines)
    return graph, model, data


def evaluated(
    path: Path,
    *,
    split: str | None = None,
    samples: int | None = None,
    seed: int | None = None,
    rows: int | None = None,
    warn: Warn = quiet,
) -> dict[str, Any]:
    """The result of a run with the metrics of one part computed afresh; the directory is only read.

    `rows`: only the first rows of the part.

    Raises UsageError for a part that the data does not have, and where nothing is trained.
    """
    trained = restored(path, warn=warn)
    spec, part = trained.graph.spec, trained.part(split)
    began = time.monotonic()
    data = trained.data
    if rows is not None:
        data = replace(data, parts={**data.parts, part: data.parts[part].first(rows)})
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
    }
    result["seconds"] = {**result["seconds"], "evaluate": round(time.monotonic() - began, 2)}
    return result
