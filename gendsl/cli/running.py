"""Commands that train: run, resume."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gendsl.cli.loading import analysed, load
from gendsl.cli.options import Device, Json, Out, RunArgument, Seed, Sets, SpecArgument, Unsets
from gendsl.cli.output import DONE, FAILED, INTERRUPTED, put_json, show, summary, tell, warn
from gendsl.cli.progress import progress
from gendsl.errors import GendslError

if TYPE_CHECKING:
    from gendsl.runtime.stop import Stop

app = typer.Typer()


@app.command()
def run(
    spec: SpecArgument,
    set_: Sets = None,
    unset: Unsets = None,
    out_: Out = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="training steps (of every stage), instead of the spec's")
    ] = None,
    device: Device = None,
    seed: Seed = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="check and explain, but do not train")] = False,
    json_: Json = False,
) -> int:
    """Check, compile, train, evaluate, sample, and write a run directory with a report."""
    extra = [
        f"{k}={v}"
        for k, v in (("train.steps", steps), ("run.seed", seed), ("run.device", device))
        if v is not None
    ]
    dropped = list(unset or [])
    if steps is not None:
        dropped += _without_lengths(spec, set_, unset)
    loaded = load(spec, set_, dropped, extra)
    graph = analysed(loaded, limit=True)
    if loaded.document is not None and (loaded.document.warnings or graph.notes):
        show((*loaded.document.warnings, *graph.notes), loaded.document.sources)
    if dry_run:
        from gendsl.compiler.explain import as_json, as_text

        if json_:
            put_json(as_json(graph))
        else:
            sys.stdout.write(as_text(graph))
        return DONE
    overrides = [*(set_ or []), *extra, *(f"--unset {u}" for u in dropped)]
    with stopping() as stop:
        from gendsl.runtime import run as runs

        with progress(loaded.name) as (callback, say):
            session = runs.start(
                loaded, out=out_, overrides=overrides, callbacks=(callback,), warn=warn, stop=stop
            )
            status, result = _finish(session, say)
    return _ended(status, result, session.run.path, json_)


def _without_lengths(spec: str, sets: list[str] | None, unsets: list[str] | None) -> list[str]:
    """With --steps every other statement of the length gives way: epochs, and the steps of stages."""
    loaded = load(spec, sets, unsets)
    found = ["train.epochs"] if loaded.train.epochs is not None else []
    return found + [
        f"train.stages[{i}].steps" for i, s in enumerate(loaded.train.stages) if s.steps is not None
    ]


@app.command()
def resume(run_: RunArgument, json_: Json = False) -> int:
    """Go on with a run where its last good checkpoint stands."""
    with stopping() as stop:
        from gendsl.runtime import run as runs

        with progress(run_.name) as (callback, say):
            session = runs.reopen(run_, callbacks=(callback,), warn=warn, stop=stop)
            if session.trainer.done:
                tell(f"{run_}: training is complete at step {session.trainer.step}; evaluating again")
            status, result = _finish(session, say)
    return _ended(status, result, session.run.path, json_)


def _finish(session: Any, say: Callable[[str], None]) -> tuple[int, dict[str, Any]]:
    """Train and evaluate; the exit status and what result.json says."""
    from gendsl.runtime import run as runs
    from gendsl.runtime.result import read_json
    from gendsl.runtime.train import Interrupted, NotFinite

    path, trainer = session.run.path, session.trainer
    if not trainer.done:
        said = f"{session.graph.resources.parameters:,} parameters, step {trainer.step} of {trainer.total}"
        tell(f"training in {path}: {said}, {session.graph.device}")
    try:
        return DONE, runs.finish(session, say)
    except (GendslError, Interrupted) as error:
        kept = sorted(p.name for p in session.run.checkpoints.glob("step-*"))
        words = str(error) if isinstance(error, Interrupted) else f"error: {error}"
        advice = f"go on with: gendsl resume {path}"
        if isinstance(error, NotFinite):
            advice = "train.optim.clip, a smaller train.optim.lr or train.on_nan: skip may help"
        tell(f"{words}; last checkpoint: {kept[-1] if kept else 'none'}; {advice}")
        return INTERRUPTED if isinstance(error, Interrupted) else FAILED, read_json(path / "result.json")
    finally:
        session.run.close()


def _ended(status: int, result: dict[str, Any], path: Path, json_: bool) -> int:
    if json_:
        put_json(result)
    elif status == DONE:
        summary(result, path)
    return status


@contextmanager
def stopping() -> Iterator[Stop]:
    """Ctrl-C and SIGTERM ask training to stop after the present step; where nobody asks, they stop at once."""
    from gendsl.runtime.stop import Stop

    stop = Stop()

    def ask(number: int, frame: object) -> None:
        if stop.requested or not stop.heeded:
            raise KeyboardInterrupt
        stop.requested = True

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
