"""Commands that complete and code rows with a trained model: impute, compress, decompress."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gendsl.cli.asking import constants, saved, target
from gendsl.cli.options import Given, Json, Out, RunArgument, Seed, Split
from gendsl.cli.output import DONE, check_file, put_json, tell, warn
from gendsl.errors import UsageError

app = typer.Typer()

HALF = 0.5
"""The share of entries that is removed where none is missing."""


@app.command()
def impute(
    run_: RunArgument,
    n: Annotated[int, typer.Option("--n", min=1, help="draws of each row")] = 1,
    seed: Seed = None,
    split: Split = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="remove this share of the entries at random; half, if nothing is missing"
        ),
    ] = None,
    rows: Annotated[int | None, typer.Option("--rows", min=1, help="only the first rows")] = None,
    given: Given = None,
    particles: Annotated[
        int, typer.Option(min=1, help="importance samples for each draw, where they are needed")
    ] = 100,
    out_: Out = None,
    json_: Json = False,
) -> int:
    """Draws of the missing entries given the known ones, for the rows of one part; --out FILE.npz or FILE.png."""
    from gendsl.runtime import impute as runtime
    from gendsl.runtime.trained import restored

    trained = restored(run_, warn=warn)
    chosen = seed if seed is not None else trained.graph.spec.run.seed
    part = trained.part(split)
    path = target(out_, run_, f"imputations-{part}.npz")
    if rate is None and runtime.complete(trained.model, trained.data.parts[part]):
        rate = HALF
        tell(f"nothing is missing in the part {part}: half of its entries are removed at random (--rate)")
    values = runtime.impute(
        trained.model,
        trained.data,
        part,
        n=n,
        seed=chosen,
        rate=rate,
        path=path,
        first=rows,
        given=constants(given),
        particles=particles,
        say=tell,
    )
    return saved(path, values, json_, split=part, seed=chosen, n=n, removed=rate or 0.0)


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
    from gendsl.runtime.trained import restored

    if out_ is None:
        raise UsageError("say where to write: --out FILE")
    check_file(out_)
    trained = restored(run_, warn=warn)
    runtime.refuse(trained.model)
    part, seed = trained.part(split), trained.graph.spec.run.seed
    rows = runtime.rows_of(trained.model, None if file else trained.data, file or part, seed)
    packed = runtime.compress(trained.model, rows)
    size = runtime.write(out_, trained.model, packed)
    said = {"file": str(out_), "rows": packed.rows, "bytes": size, "coded_bytes": packed.size}
    if json_:
        put_json(
            {**said, "claimed_bits": packed.claimed, "kind": str(trained.graph.capabilities["compress"].kind)}
        )
    else:
        print(
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
    from gendsl.runtime.samples import check_target, save_arrays
    from gendsl.runtime.trained import restored

    if out_ is None or out_.suffix != ".npz":
        raise UsageError("say where to write: --out FILE.npz")
    check_target(out_)
    trained = restored(run_, warn=warn)
    runtime.refuse(trained.model)
    values = runtime.decompress(trained.model, runtime.read(file, trained.model))
    save_arrays(out_, values)
    return saved(out_, values, json_)
