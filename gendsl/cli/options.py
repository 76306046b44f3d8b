"""Options and arguments that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer


def _device(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", value):
        raise typer.BadParameter(f"{value!r} is none of auto, cpu, cuda, cuda:1, mps")
    return value


SpecArgument = Annotated[
    str, typer.Argument(metavar="SPEC", help="a spec file, or the name of one that ships with gendsl")
]
RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="a run directory, or a file that export wrote")
]
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
Having = Annotated[
    list[str] | None, typer.Option("--given", metavar="Y=3", help="only rows with this condition; repeatable")
]
Split = Annotated[str | None, typer.Option(help="part of the data: train, valid, test")]
Out = Annotated[Path | None, typer.Option("--out", help="where to write")]
