"""A run from spec to report: the directory, training, evaluation, samples, result.json."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gendsl.compiler.explain import as_json, as_text
from gendsl.compiler.graph import Graph
from gendsl.compiler.machine import memory_available
from gendsl.compiler.pipeline import analyse
from gendsl.compiler.resolve import resolved
from gendsl.data.dataset import Dataset
from gendsl.errors import DataError, GendslError
from gendsl.nn.model import Model
from gendsl.runtime import data_record, pictures, samples
from gendsl.runtime.dataset import dataset
from gendsl.runtime.diagnoses import diagnose
from gendsl.runtime.environment import environment, set_threads
from gendsl.runtime.evaluation import evaluate
from gendsl.runtime.initial import compile_model, data_base, pick_device
from gendsl.runtime.report import write_report
from gendsl.runtime.result import evaluated_part, header, status
from gendsl.runtime.rundir import RunDirectory
from gendsl.runtime.stop import Stop
from gendsl.runtime.train import Callback, Interrupted, Trainer
from gendsl.runtime.trained import Warn, quiet, stored
from gendsl.schema.dump import dump
from gendsl.schema.spec import Spec


@dataclass
class Session:
    """A model with its data in a run directory."""

    graph: Graph
    model: Model
    data: Dataset
    run: RunDirectory
    trainer: Trainer
    compile_seconds: float


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
        _describe(run, graph, data, base, overrides)
        trainer = Trainer(model, data, run, callbacks=callbacks, warn=warn, stop=stop)
        if given:
            trainer.save()
        undo.pop_all()
    return Session(graph, model, data, run, trainer, seconds)


def _describe(run: RunDirectory, graph: Graph, found: Dataset, base: Path, overrides: Sequence[str]) -> None:
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
    run.write_json(data_record.FILE, data_record.described(graph, found))
    run.write_text("resolved.yaml", text)


def _homeless(folder: Path) -> str:
    """`~/...` inside the home folder, so that a run directory does not tell whose it is; the whole path elsewhere."""
    full, home = folder.resolve(), Path(os.path.expanduser("~")).resolve()
    return f"~/{full.relative_to(home)}" if full.is_relative_to(home) else str(full)


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
    RunError where no checkpoint can be used, DataError where the data are not those that the run began with.
    """
    began = time.monotonic()
    run = RunDirectory.open(path)
    with ExitStack() as undo:
        undo.callback(run.close)
        spec, base = stored(path)
        graph = analyse(spec, base=base, device=pick_device(spec.run.device), memory=memory_available())
        set_threads(graph.resources.threads)
        data = dataset(graph, base, arrays)
        other = data_record.changed(path, data)
        if other is not None:
            raise DataError(
                f"{other}. A run goes on with the data that it began with: bring them back, or start a new run"
            )
        model = model if model is not None else compile_model(graph)
        model.attach(data.pipelines)
        trainer = Trainer(model, data, run, callbacks=callbacks, warn=warn, stop=stop)
        trainer.restore()
        undo.pop_all()
    return Session(graph, model, data, run, trainer, time.monotonic() - began)


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
        result["status"] = status(error)
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
            top_k=spec.sample.top_k,
            top_p=spec.sample.top_p,
            seed=spec.run.seed,
        )
        samples.save_arrays(session.run.samples / "samples.npz", values)
    samples.save_pictures(session.run.samples, session.model, session.data, values, spec.run.seed)
