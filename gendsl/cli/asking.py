"""Commands that ask a trained model: sample, encode, evaluate, verify, report."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Annotated, Any

import typer

from gendsl.cli.loading import analysed, load
from gendsl.cli.options import Given, Having, Json, Out, RunArgument, Seed, Sets, Split, Unsets
from gendsl.cli.output import DONE, FAILED, check_file, put_json, summary, tell, warn, write_json
from gendsl.errors import UsageError

app = typer.Typer()


@app.command()
def sample(
    run_: RunArgument,
    n: Annotated[int, typer.Option("--n", min=1, help="how many")] = 64,
    seed: Seed = None,
    given: Given = None,
    temperature: Annotated[float, typer.Option(min=1e-6, max=1e6, help="below 1: less spread")] = 1.0,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="of categorical draws: the k likeliest values")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(min=1e-6, max=1.0, help="of categorical draws: the likeliest p of the mass"),
    ] = None,
    out_: Out = None,
    json_: Json = False,
) -> int:
    """Draw samples; --out FILE.npz or FILE.png."""
    from gendsl.runtime import samples
    from gendsl.runtime.trained import restored

    trained = restored(run_, warn=warn)
    chosen = seed if seed is not None else trained.graph.spec.run.seed
    path = target(out_, run_, f"samples-seed{chosen}.npz")
    samples.check_target(path)
    values = samples.draw(
        trained.model,
        n,
        lambda: trained.data.parts["train"],
        given=constants(given),
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=chosen,
    )
    samples.save(path, trained.model, values)
    return saved(path, values, json_, n=n, seed=chosen)


def target(out: Path | None, run: Path, name: str) -> Path:
    """Where values go: the file asked for, or one among the samples of a run directory.

    Raises UsageError for an exported file, which holds none.
    """
    if out is None and run.is_file():
        raise UsageError(f"{run} is one file, which stays as it is: say where to write, --out {name}")
    return out or run / "samples" / name


def constants(pairs: list[str] | None) -> dict[str, float]:
    """The values of conditions that --given names. Raises UsageError for another form."""
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


def saved(path: Path, values: Any, json_: bool, **facts: Any) -> int:
    """Say what was written where."""
    shapes = {name: list(value.shape) for name, value in values.items()}
    if json_:
        put_json({**facts, "file": str(path), "variables": {n: {"shape": s} for n, s in shapes.items()}})
    else:
        print(f"wrote {path}: " + ", ".join(f"{n} {s}" for n, s in shapes.items()))
    return DONE


@app.command()
def encode(
    run_: RunArgument,
    n: Annotated[int | None, typer.Option("--n", min=1, help="only the first rows")] = None,
    split: Split = None,
    seed: Seed = None,
    given: Given = None,
    out_: Out = None,
    json_: Json = False,
) -> int:
    """Values of the latents for the rows of one part of the data; --out FILE.npz."""
    from gendsl.runtime import samples
    from gendsl.runtime.trained import restored

    trained = restored(run_, warn=warn)
    chosen = seed if seed is not None else trained.graph.spec.run.seed
    part = trained.part(split)
    path = target(out_, run_, f"codes-{part}.npz")
    samples.check_target(path)
    values = samples.encode(trained.model, trained.data, part, chosen, n=n, given=constants(given))
    samples.save(path, trained.model, values)
    return saved(path, values, json_, split=part, seed=chosen)


@app.command()
def evaluate(
    run_: RunArgument,
    split: Split = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="only the first rows")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="importance samples for each row")] = None,
    seed: Seed = None,
    given: Having = None,
    out_: Out = None,
    json_: Json = False,
) -> int:
    """Metrics of a trained model, each with its kind."""
    from gendsl.runtime.trained import evaluated

    if out_ is not None:
        check_file(out_)
    result = evaluated(
        run_, split=split, samples=samples, seed=seed, rows=n, given=constants(given), warn=warn
    )
    if out_ is not None:
        write_json(out_, result)
    if json_:
        put_json(result)
    else:
        summary(result, run_)
    return DONE


@app.command()
def verify(
    target: Annotated[
        str, typer.Argument(metavar="RUN|SPEC", help="a run directory, an exported file or a spec")
    ],
    set_: Sets = None,
    unset: Unsets = None,
    n: Annotated[int, typer.Option("--n", min=8, help="so many rows of the data")] = 32,
    split: Split = None,
    seed: Seed = None,
    given: Having = None,
    out_: Out = None,
    json_: Json = False,
) -> int:
    """Numeric certificates: log-determinants, round trips, densities, causality, bounds, samples, kernels."""
    from gendsl.runtime.initial import untrained
    from gendsl.runtime.result import evaluated_part
    from gendsl.runtime.samples import having
    from gendsl.runtime.trained import restored
    from gendsl.runtime.verify import as_json
    from gendsl.runtime.verify import verify as certify

    if out_ is not None:
        check_file(out_)
    if Path(target).is_dir() or zipfile.is_zipfile(target):
        if set_ or unset:
            raise UsageError("--set and --unset are for a spec: what was trained does not change")
        trained = restored(Path(target), warn=warn)
        model, data = trained.model, trained.data
    else:
        loaded = load(target, set_, unset)
        analysed(loaded, limit=True)
        _, model, data = untrained(loaded)
    part = None if split is None and not given else data.part(split or evaluated_part(model.graph.spec, data))
    found = certify(
        model,
        data,
        part=None if part is None else having(model, part, constants(given)),
        rows=n,
        seed=seed if seed is not None else model.graph.spec.run.seed,
    )
    if out_ is not None:
        write_json(out_, as_json(found))
    if json_:
        put_json(as_json(found))
    else:
        for c in found:
            mark = "ok    " if c.passed else "FAILED"
            print(f"{mark} {c.name:<44} {c.value:.3g} (bound {c.bound:.3g}) {c.note}")
    failed = [c.name for c in found if not c.passed]
    if failed:
        tell(f"error: {len(failed)} of {len(found)} certificates do not hold: {', '.join(failed)}")
        return FAILED
    return DONE


@app.command()
def report(run_: RunArgument, out_: Out = None, json_: Json = False) -> int:
    """Write report.html of a run directory again, or to --out FILE."""
    from gendsl.runtime.report import write_report

    if not (run_ / "spec.yaml").is_file():
        raise UsageError(f"{run_} is not a run directory")
    if out_ is not None:
        check_file(out_)
    path = write_report(run_, out_)
    if json_:
        put_json({"file": str(path)})
    else:
        print(f"wrote {path}")
    return DONE
