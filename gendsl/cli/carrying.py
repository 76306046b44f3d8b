"""Commands that carry a model elsewhere: export."""

from __future__ import annotations

import typer

from gendsl.cli.options import Json, Out, RunArgument
from gendsl.cli.output import DONE, check_file, put_json, warn

app = typer.Typer()


@app.command()
def export(run_: RunArgument, out_: Out = None, json_: Json = False) -> int:
    """Write a trained model into one file (spec, weights, hashes) that is used without its data; --out FILE.zip."""
    from gendsl.runtime import run as runs

    path = out_ or run_ / "model.zip"
    check_file(path)
    manifest = runs.export(run_, path, warn=warn)
    if json_:
        put_json({"file": str(path), "bytes": path.stat().st_size, **manifest})
    else:
        print(
            f"wrote {path}: {manifest['name']}, {manifest['parameters']:,} parameters at step {manifest['step']}; "
            f'gendsl.restore("{path}") gives the model back'
        )
    return DONE
