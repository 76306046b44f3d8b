"""The command line: the only module that prints.

Results go to standard output, everything said to people while working goes to standard error. With `--json` standard
output holds one JSON document and nothing else. Exit status: 0 done, 1 problems in the spec, 2 wrong usage, 3 failure
while running, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

import gendsl
from gendsl.errors import (
    Diagnostic,
    GendslError,
    SpecError,
    UsageError,
)

if TYPE_CHECKING:
    from gendsl.compiler.graph import Graph
    from gendsl.runtime.stop import Stop
    from gendsl.runtime.train import Progress
    from gendsl.schema.spec import Spec

DONE, BAD_SPEC, BAD_USAGE, FAILED, INTERRUPTED = 0, 1, 2, 3, 130

app = typer.Typer(
    name="gendsl",
    help="Deep generative models from a short YAML spec: checked, trained, sampled, scored.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
out = Console(highlight=False, soft_wrap=True, markup=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def _device(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", value):
        raise typer.BadParameter(f"{value!r} is none of auto, cpu, cuda, cuda:1, mps")
    return value


SpecArgument = Annotated[
    str, typer.Argument(metavar="SPEC", help="a spec file, or the name of one that ships with gendsl")
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="a run directory")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="change a value; repeatable")
]
Unsets = Annotated[
    list[str] | None, typer.Option("--unset", metavar="A.B", help="take a key out; repeatable")
]
Json = Annotated[bool, typer.Option("--json", help="one JSON document on standard output")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps", callback=_device)]
Seed = Annotated[int | None, typer.Option(min=0, help="seed; the run's own if not given")]
Given = Annotated[
    list[str] | None, typer.Option("--given", metavar="Y=3", help="value of a condition; repeatable")
]
Split = Annotated[str | None, typer.Option(help="part of the data: train, valid, test")]
Out = Annotated[Path | None, typer.Option("--out", help="where to write")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    try:
        status = app(words, prog_name="gendsl", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else DONE
    except SpecError as error:
        _report(error, as_json)
        return BAD_SPEC
    except UsageError as error:
        return _fail(str(error), BAD_USAGE, as_json)
    except GendslError as error:
        return _fail(str(error), FAILED, as_json)
    except MemoryError:
        return _fail(OUT_OF_MEMORY, FAILED, as_json)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", INTERRUPTED, as_json)
    except WRONG_USAGE as error:
        error.show()
        if as_json:
            _json({"status": "failed", "error": error.format_message()})
        return BAD_USAGE
    except (BrokenPipeError, SystemExit):
        # whoever read the output has gone; inside a command, typer turns the error into an exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        what = ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)
        return _fail(what, FAILED, as_json)
    except RuntimeError as error:
        if "out of memory" not in str(error) and "can't allocate memory" not in str(error):
            raise
        return _fail(f"{OUT_OF_MEMORY} ({str(error).splitlines()[0]})", FAILED, as_json)


WRONG_USAGE: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
"""What typer raises for options and arguments: click's class, or that of typer's own copy of click."""

OUT_OF_MEMORY = "out of memory: make the model, train.batch_size or the samples of the bound smaller"


def _fail(message: str, status: int, as_json: bool) -> int:
    err.print(message if status == INTERRUPTED else f"error: {message}")
    if as_json:
        _json({"status": "interrupted" if status == INTERRUPTED else "failed", "error": message})
    return status


def _json(document: Any) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def _report(error: SpecError, as_json: bool) -> None:
    """Every diagnostic of a refused spec."""
    if as_json:
        _json(_check_json(error.diagnostics, valid=False))
    else:
        _show(error.diagnostics, error.sources)


def _check_json(diagnostics: Sequence[Diagnostic], *, valid: bool) -> dict[str, Any]:
    return {"format_version": 1, "valid": valid, "diagnostics": [d.as_json() for d in diagnostics]}


STYLES = {
    "error": "bold red",
    "warning": "bold yellow",
    "note": "bold blue",
    "caret": "red",
    "related": "blue",
    "gutter": "cyan",
    "message": "bold",
}


def _show(diagnostics: Sequence[Diagnostic], sources: Any) -> None:
    from gendsl.schema.render import render_all

    paint: Callable[[str, str], str] | None = None
    if err.is_terminal and not err.no_color:
        from rich.style import Style

        def paint(role: str, text: str) -> str:
            return Style.parse(STYLES.get(role, "none")).render(text)

    sys.stderr.write(render_all(list(diagnostics), sources, style=paint) + "\n")


def _load(spec: str, sets: list[str] | None, unsets: list[str] | None, extra: Sequence[str] = ()) -> Spec:
    from gendsl.schema.load import load

    return load(spec, sets=[*(sets or []), *extra], unsets=unsets or [])


def _analyse(spec: Spec, device: str | None = None, *, limit: bool = False) -> Graph:
    from gendsl.compiler.pipeline import analyse

    wanted = device or spec.run.device
    memory = None
    if limit:
        from gendsl.compiler.machine import memory_available

        memory = memory_available()
    return analyse(spec, device="cpu" if wanted == "auto" else wanted.split(":")[0], memory=memory)


# -- looking at specs -------------------------------------------------------------------------------------------------


def _version(value: bool) -> None:
    if value:
        print(f"gendsl {gendsl.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    pass


@app.command()
def check(
    spec: SpecArgument, set_: Sets = None, unset: Unsets = None, json_: Json = False, device: Device = None
) -> int:
    """Check a spec: every problem, at its line and column."""
    loaded = _load(spec, set_, unset)
    graph = _analyse(loaded, device, limit=True)
    document = loaded.document
    assert document is not None
    notes = (*document.warnings, *graph.notes)
    if json_:
        _json(_check_json(notes, valid=True))
        return DONE
    if notes:
        _show(notes, document.sources)
    from gendsl.compiler.explain import headline

    out.print(f"{loaded.name}: valid, {graph.resources.parameters:,} parameters, {headline(graph)}")
    return DONE


@app.command()
def explain(
    spec: Annotated[
        str, typer.Argument(metavar="SPEC|CODE", help="a spec, or the code of a diagnostic (GD210)")
    ],
    set_: Sets = None,
    unset: Unsets = None,
    json_: Json = False,
    device: Device = None,
    estimates: Annotated[bool, typer.Option(help="memory and work")] = True,
) -> int:
    """What the compiler derives from a spec: graph, objective term by term, players, capabilities."""
    from gendsl.compiler.explain import as_json, as_text
    from gendsl.schema.codes import CODES

    if re.fullmatch(r"GD\d+", spec.upper()) and spec.upper() not in CODES:
        raise UsageError(
            f"there is no diagnostic {spec.upper()}; {min(CODES)} to {max(CODES)} are the first and the last"
        )
    if spec.upper() in CODES:
        code = CODES[spec.upper()]
        if json_:
            _json({"code": spec.upper(), "title": code.title, "text": code.text})
        else:
            out.print(f"{spec.upper()}: {code.title}\n\n{code.text}")
        return DONE
    loaded = _load(spec, set_, unset)
    graph = _analyse(loaded, device)
    if json_:
        _json(as_json(graph))
    else:
        sys.stdout.write(as_text(graph, estimates=estimates))
    return DONE


@app.command("graph")
def graph_(
    spec: SpecArgument,
    format_: Annotated[str, typer.Option("--format", help="text, mermaid, dot or json")] = "text",
    set_: Sets = None,
    unset: Unsets = None,
) -> int:
    """The factor graph of a spec."""
    from gendsl.compiler import diagram
    from gendsl.compiler.explain import as_json

    graph = _analyse(_load(spec, set_, unset))
    makers = {"text": diagram.text, "mermaid": diagram.mermaid, "dot": diagram.dot}
    if format_ == "json":
        body = as_json(graph)
        _json({"variables": body["variables"], "factors": body["factors"], "players": body["players"]})
    elif format_ in makers:
        sys.stdout.write(makers[format_](graph))
    else:
        raise UsageError(f"--format {format_}: text, mermaid, dot or json")
    return DONE


@app.command()
def resolve(
    spec: SpecArgument,
    set_: Sets = None,
    unset: Unsets = None,
    blame: Annotated[bool, typer.Option("--blame", help="say where each value comes from")] = False,
    json_: Json = False,
) -> int:
    """The whole spec with every default and inferred shape."""
    from gendsl.compiler.resolve import resolved
    from gendsl.schema.dump import dump
    from gendsl.schema.overlay import blame as places

    loaded = _load(spec, set_, unset)
    body = resolved(_analyse(loaded))
    if not blame:
        if json_:
            _json(body)
        else:
            sys.stdout.write(dump(body))
        return DONE
    assert loaded.document is not None
    rows = [(path, f"{p.file}:{p.start.line}:{p.start.column}") for path, p in places(loaded.document.root)]
    written = [path for path, _ in rows]
    rows += [(path, "default") for path in _leaves(body) if not any(_same(path, w) for w in written)]
    if json_:
        _json([{"path": path, "from": where} for path, where in rows])
    else:
        width = max(len(path) for path, _ in rows)
        for path, where in sorted(rows):
            print(f"{path:<{width}}  {where}")
    return DONE


def _leaves(body: Any, path: str = "") -> Iterator[str]:
    if isinstance(body, dict) and body:
        for key, value in body.items():
            yield from _leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(body, list) and any(isinstance(v, dict | list) for v in body):
        for i, value in enumerate(body):
            yield from _leaves(value, f"{path}[{i}]")
    else:
        yield path


def _same(leaf: str, written: str) -> bool:
    """Whether a leaf of the resolved spec was written: at its path, at a short form of it, or item by item."""
    return (
        leaf == written or leaf.startswith((f"{written}.", f"{written}[")) or written.startswith(f"{leaf}[")
    )


@app.command()
def schema() -> int:
    """The JSON Schema of specs, for editors."""
    from gendsl.schema.jsonschema import json_schema

    _json(json_schema())
    return DONE


@app.command()
def components(
    kind: Annotated[str | None, typer.Argument(metavar="KIND", help="dist, flow, net, ...")] = None,
    tag: Annotated[str | None, typer.Argument(metavar="TAG", help="one of them, in detail")] = None,
    json_: Json = False,
) -> int:
    """What a spec can name: the kinds, the components of a kind, or one with its parameters."""
    from gendsl.schema.catalogue import detail, listing
    from gendsl.schema.registry import KINDS
    from gendsl.schema.suggest import did_you_mean, nearest

    if kind is not None and kind not in KINDS:
        near = did_you_mean(nearest(kind, list(KINDS)))
        raise UsageError(f"there is no kind {kind!r}{_aside(near)}; kinds: {', '.join(KINDS)}")
    found = listing(kind)
    if kind is not None and tag is not None:
        if tag not in found[kind]:
            near = did_you_mean(nearest(tag, list(found[kind])))
            raise UsageError(
                f"there is no {KINDS[kind]} {tag!r}{_aside(near)}; known: {', '.join(found[kind])}"
            )
        body = detail(kind, tag)
        if json_:
            _json(body)
            return DONE
        out.print(f"{KINDS[kind]} {tag}\n\n{body['description']}\n")
        for name, about in body["parameters"].items():
            out.print(f"  {name}: {about['type']} = {about['default']}  {about['description']}".rstrip())
        return DONE
    if json_:
        _json(found)
        return DONE
    for each, tags in found.items():
        out.print(f"{each}: {KINDS[each]}")
        for name, words in tags.items():
            out.print(f"  {name:<22} {words}")
    return DONE


def _aside(words: str) -> str:
    return f" ({words.rstrip('?')}?)" if words else ""


@app.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="the file to make")],
    like: Annotated[str, typer.Option(help="a shipped spec to start from")] = "vae",
) -> int:
    """Start a spec of your own from one that ships."""
    from gendsl.schema.load import shipped
    from gendsl.schema.suggest import did_you_mean, nearest

    known = shipped()
    if like not in known:
        near = did_you_mean(nearest(like, list(known)))
        raise UsageError(f"no shipped spec is called {like!r}{_aside(near)}; there are: {', '.join(known)}")
    if file.exists():
        raise UsageError(f"{file} exists; nothing was changed")
    if not file.parent.is_dir():
        raise UsageError(f"there is no folder {file.parent}")
    shutil.copyfile(known[like], file)
    out.print(f"wrote {file}; next: gendsl check {file}, gendsl run {file}")
    return DONE


# -- running ----------------------------------------------------------------------------------------------------------


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
    loaded = _load(spec, set_, dropped, extra)
    graph = _analyse(loaded, limit=True)
    if loaded.document is not None and (loaded.document.warnings or graph.notes):
        _show((*loaded.document.warnings, *graph.notes), loaded.document.sources)
    if dry_run:
        from gendsl.compiler.explain import as_json, as_text

        if json_:
            _json(as_json(graph))
        else:
            sys.stdout.write(as_text(graph))
        return DONE
    overrides = [*(set_ or []), *extra, *(f"--unset {u}" for u in dropped)]
    with _stopping() as stop:
        from gendsl.runtime import run as runs

        with _progress(loaded.name) as (callback, say):
            session = runs.start(
                loaded, out=out_, overrides=overrides, callbacks=(callback,), warn=_warn, stop=stop
            )
            status, result = _finish(session, say)
    return _ended(status, result, session.run.path, json_)


def _without_lengths(spec: str, sets: list[str] | None, unsets: list[str] | None) -> list[str]:
    """With --steps every other statement of the length gives way: epochs, and the steps of stages."""
    loaded = _load(spec, sets, unsets)
    found = ["train.epochs"] if loaded.train.epochs is not None else []
    return found + [
        f"train.stages[{i}].steps" for i, s in enumerate(loaded.train.stages) if s.steps is not None
    ]


@app.command()
def resume(run_: RunArgument, json_: Json = False) -> int:
    """Go on with a run where its last good checkpoint stands."""
    with _stopping() as stop:
        from gendsl.runtime import run as runs

        with _progress(run_.name) as (callback, say):
            session = runs.reopen(run_, callbacks=(callback,), warn=_warn, stop=stop)
            if session.trainer.done:
                err.print(f"{run_}: training is complete at step {session.trainer.step}; evaluating again")
            status, result = _finish(session, say)
    return _ended(status, result, session.run.path, json_)


def _finish(session: Any, say: Callable[[str], None]) -> tuple[int, dict[str, Any]]:
    """Train and evaluate; the exit status and what result.json says."""
    from gendsl.runtime import run as runs
    from gendsl.runtime.train import Interrupted, NotFinite

    path, trainer = session.run.path, session.trainer
    if not trainer.done:
        said = f"{session.graph.resources.parameters:,} parameters, step {trainer.step} of {trainer.total}"
        err.print(f"training in {path}: {said}, {session.graph.device}")
    try:
        return DONE, runs.finish(session, say)
    except (GendslError, Interrupted) as error:
        kept = sorted(p.name for p in session.run.checkpoints.glob("step-*"))
        words = str(error) if isinstance(error, Interrupted) else f"error: {error}"
        advice = f"go on with: gendsl resume {path}"
        if isinstance(error, NotFinite):
            advice = "train.optim.clip, a smaller train.optim.lr or train.on_nan: skip may help"
        err.print(f"{words}; last checkpoint: {kept[-1] if kept else 'none'}; {advice}")
        return INTERRUPTED if isinstance(error, Interrupted) else FAILED, runs.read_json(path / "result.json")
    finally:
        session.run.close()


def _ended(status: int, result: dict[str, Any], path: Path, json_: bool) -> int:
    if json_:
        _json(result)
    elif status == DONE:
        _summary(result, path)
    return status


@contextmanager
def _stopping() -> Iterator[Stop]:
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


def _warn(message: str) -> None:
    err.print(f"warning: {message}")


@contextmanager
def _progress(name: str) -> Iterator[tuple[Callable[[Progress], None], Callable[[str], None]]]:
    """What training and what comes after it is told to: a bar on a terminal, a line now and then elsewhere."""
    if not err.is_terminal:
        yield _lines(), lambda words: None
        return
    from rich.console import Group
    from rich.live import Live
    from rich.progress import BarColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(24),
        TextColumn("{task.fields[pace]}"),
    )
    bar, losses = Bar(*columns, console=err), Text()
    task = bar.add_task(f"preparing {name}", total=None, pace="")

    def update(p: Progress) -> None:
        bar.update(
            task, description=f"step {p.step}/{p.total}", completed=p.step, total=p.total, pace=_pace(p)
        )
        losses.plain = f"  {_losses(p)}"

    def say(words: str) -> None:
        bar.reset(task, description=words, total=None, pace="")
        losses.plain = ""

    with Live(Group(bar, losses), console=err, transient=True):
        yield update, say


def _lines() -> Callable[[Progress], None]:
    said = -1

    def update(p: Progress) -> None:
        nonlocal said
        tenth = 10 * p.step // p.total
        if p.logged and (tenth > said or p.step == p.total):
            said = tenth
            err.print(f"step {p.step}/{p.total}  {_pace(p)}  {_losses(p)}")

    return update


def _pace(p: Progress) -> str:
    """Time left and rows per second."""
    minutes, seconds = divmod(round(p.seconds_left), 60)
    hours, minutes = divmod(minutes, 60)
    left = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{left} left  {p.rows_per_second:,.0f} samples/s"


def _losses(p: Progress) -> str:
    """Each player's loss, and the terms where they are more than that."""
    losses = [f"{n} loss {v:.4g}" if len(p.losses) > 1 else f"loss {v:.4g}" for n, v in p.losses.items()]
    terms = [f"{n} {v:.4g}" for n, v in p.terms.items()] if len(p.terms) > len(p.losses) else []
    return "  ".join([*losses, *terms])


def _summary(result: dict[str, Any], path: Path) -> None:
    out.print(f"{result['spec']['name']}: {result['status']} at step {result['steps']}")
    for split, metrics in result["metrics"].items():
        for name, entry in metrics.items():
            out.print(f"  {split} {name:<20} {_number(entry)}")
    for warning in result.get("warnings", []):
        out.print(f"  warning: {warning}")
    if (path / "report.html").is_file():
        out.print(f"  report: {path / 'report.html'}")


KIND_WORDS = {"lower": "at least", "upper": "at most", "exact": "exactly", "estimate": "about"}


def _number(entry: dict[str, Any]) -> str:
    if entry.get("value") is None:
        return f"none: {entry.get('why', '')}"
    error = f" +- {entry['stderr']:.3g}" if entry.get("stderr") is not None else ""
    how = f", {entry['estimator']}" if entry.get("estimator") else ""
    count = entry.get("samples") if entry.get("estimator") else None
    draws = f" with {count} sample{'s' if count > 1 else ''}" if count else ""
    floor = f"; real against real {entry['floor']['value']:.4g}" if "floor" in entry else ""
    return (
        f"{KIND_WORDS[entry['kind']]} {entry['value']:.4f}{error} {entry.get('unit', '')}{how}{draws}{floor}"
    )


# -- asking a trained model -------------------------------------------------------------------------------------------


@app.command()
def sample(
    run_: RunArgument,
    n: Annotated[int, typer.Option("--n", min=1, help="how many")] = 64,
    seed: Seed = None,
    given: Given = None,
    temperature: Annotated[float, typer.Option(min=1e-6, help="below 1: less spread")] = 1.0,
    out_: Out = None,
    json_: Json = False,
) -> int:
    """Draw samples; --out FILE.npz or FILE.png."""
    from gendsl.runtime import run as runs
    from gendsl.runtime import samples

    trained = runs.restored(run_, warn=_warn)
    chosen = seed if seed is not None else trained.graph.spec.run.seed
    path = out_ or run_ / "samples" / f"samples-seed{chosen}.npz"
    samples.check_target(path)
    values = samples.draw(
        trained.model,
        n,
        lambda: trained.data.parts["train"],
        given=_given(given),
        temperature=temperature,
        seed=chosen,
    )
    samples.save(path, trained.model, values)
    return _saved(path, values, json_, n=n, seed=chosen)


def _given(pairs: list[str] | None) -> dict[str, float]:
    found: dict[str, float] = {}
    for pair in pairs or []:
        name, sign, value = pair.partition("=")
        try:
            found[name] = float(value) if "." in value or "e" in value else int(value)
        except ValueError:
            sign = ""
        if not sign:
            raise UsageError(f"--given {pair}: write a condition and its value, as in --given y=3")
    return found


def _saved(path: Path, values: Any, json_: bool, **facts: Any) -> int:
    shapes = {name: list(value.shape) for name, value in values.items()}
    if json_:
        _json({**facts, "file": str(path), "variables": {n: {"shape": s} for n, s in shapes.items()}})
    else:
        out.print(f"wrote {path}: " + ", ".join(f"{n} {s}" for n, s in shapes.items()))
    return DONE


@app.command()
def encode(
    run_: RunArgument, split: Split = None, seed: Seed = None, out_: Out = None, json_: Json = False
) -> int:
    """Values of the latents for the rows of one part of the data; --out FILE.npz."""
    from gendsl.runtime import run as runs
    from gendsl.runtime import samples

    trained = runs.restored(run_, warn=_warn)
    chosen = seed if seed is not None else trained.graph.spec.run.seed
    part = trained.part(split)
    path = out_ or run_ / "samples" / f"codes-{part}.npz"
    samples.check_target(path)
    values = samples.encode(trained.model, trained.data, part, chosen)
    samples.save(path, trained.model, values)
    return _saved(path, values, json_, split=part, seed=chosen)


@app.command()
def evaluate(
    run_: RunArgument,
    split: Split = None,
    samples: Annotated[int | None, typer.Option(min=1, help="importance samples for each row")] = None,
    seed: Seed = None,
    out_: Out = None,
    json_: Json = False,
) -> int:
    """Metrics of a trained model, each with its kind."""
    from gendsl.runtime import run as runs

    result = runs.evaluated(run_, split=split, samples=samples, seed=seed, warn=_warn)
    if out_ is not None:
        out_.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    if json_:
        _json(result)
    else:
        _summary(result, run_)
    return DONE


@app.command()
def verify(
    target: Annotated[str, typer.Argument(metavar="RUN|SPEC", help="a run directory or a spec")],
    set_: Sets = None,
    seed: Seed = None,
    json_: Json = False,
) -> int:
    """Numeric certificates: log-determinants, round trips, densities, causality, bounds, samples, kernels."""
    from gendsl.runtime import run as runs
    from gendsl.runtime.verify import as_json
    from gendsl.runtime.verify import verify as certify

    if Path(target).is_dir():
        trained = runs.restored(Path(target), warn=_warn)
        model, data = trained.model, trained.data
    else:
        loaded = _load(target, set_, None)
        _analyse(loaded, limit=True)
        _, model, data = runs.untrained(loaded)
    found = certify(model, data, seed=seed if seed is not None else model.graph.spec.run.seed)
    if json_:
        _json(as_json(found))
    else:
        for c in found:
            mark = "ok    " if c.passed else "FAILED"
            out.print(f"{mark} {c.name:<44} {c.value:.3g} (bound {c.bound:.3g}) {c.note}")
    failed = [c.name for c in found if not c.passed]
    if failed:
        err.print(f"error: {len(failed)} of {len(found)} certificates do not hold: {', '.join(failed)}")
        return FAILED
    return DONE


@app.command()
def report(run_: RunArgument, json_: Json = False) -> int:
    """Write report.html of a run directory again."""
    from gendsl.runtime.report import write_report

    if not (run_ / "spec.yaml").is_file():
        raise UsageError(f"{run_} is not a run directory")
    path = write_report(run_)
    if json_:
        _json({"file": str(path)})
    else:
        out.print(f"wrote {path}")
    return DONE


@app.command()
def impute(
    run_: RunArgument,
    n: Annotated[int, typer.Option("--n", min=1, help="draws of each row")] = 1,
    seed: Seed = None,
    split: Split = None,
    rate: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="remove this share of the entries at random")
    ] = None,
    out_: Out = None,
    json_: Json = False,
) -> int:
    """Draws of the missing entries given the known ones, for the rows of one part; --out FILE.npz or FILE.png."""
    from gendsl.runtime import impute as runtime
    from gendsl.runtime import run as runs

    trained = runs.restored(run_, warn=_warn)
    chosen = seed if seed is not None else trained.graph.spec.run.seed
    part = trained.part(split)
    path = out_ or run_ / "samples" / f"imputations-{part}.npz"
    values = runtime.impute(trained.model, trained.data, part, n=n, seed=chosen, rate=rate, path=path)
    return _saved(path, values, json_, split=part, seed=chosen, n=n)


@app.command()
def compress(
    run_: RunArgument,
    file: Annotated[
        Path | None, typer.Argument(metavar="IN", help=".npz or .npy in the variables' own space")
    ] = None,
    split: Split = None,
    out_: Annotated[Path | None, typer.Option("--out", help="the compressed file")] = None,
    json_: Json = False,
) -> int:
    """Compress rows without loss; a part of the data, or an array file."""
    from gendsl.runtime import compress as runtime
    from gendsl.runtime import run as runs

    if out_ is None:
        raise UsageError("say where to write: --out FILE")
    trained = runs.restored(run_, warn=_warn)
    part, seed = trained.part(split), trained.graph.spec.run.seed
    rows = runtime.rows_of(trained.model, None if file else trained.data, file or part, seed)
    packed = runtime.compress(trained.model, rows)
    size = runtime.write(out_, trained.model, packed)
    said = {"file": str(out_), "rows": packed.rows, "bytes": size, "coded_bytes": packed.size}
    if json_:
        _json(
            {**said, "claimed_bits": packed.claimed, "kind": str(trained.graph.capabilities["compress"].kind)}
        )
    else:
        out.print(
            f"wrote {out_}: {packed.rows} rows in {packed.size} bytes (and a header of {size - packed.size}); "
            f"the model claims {packed.claimed / 8:.0f}"
        )
    return DONE


@app.command()
def decompress(
    run_: RunArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="what compress wrote")],
    out_: Annotated[Path | None, typer.Option("--out", help="a .npz file")] = None,
    json_: Json = False,
) -> int:
    """Get compressed rows back, in the variables' own space; --out FILE.npz."""
    from gendsl.runtime import compress as runtime
    from gendsl.runtime import run as runs
    from gendsl.runtime.samples import check_target, save_arrays

    if out_ is None or out_.suffix != ".npz":
        raise UsageError("say where to write: --out FILE.npz")
    check_target(out_)
    trained = runs.restored(run_, warn=_warn)
    values = runtime.decompress(trained.model, runtime.read(file, trained.model))
    save_arrays(out_, values)
    return _saved(out_, values, json_)


def entry() -> None:
    """The console script."""
    raise SystemExit(main())
