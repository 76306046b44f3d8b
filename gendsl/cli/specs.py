"""Commands that look at a spec: check, explain, graph, resolve."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from gendsl.cli.loading import analysed, load
from gendsl.cli.options import Device, Json, Sets, SpecArgument, Unsets
from gendsl.cli.output import DONE, diagnostics_json, put_json, show
from gendsl.errors import UsageError

app = typer.Typer()


@app.command()
def check(
    spec: SpecArgument, set_: Sets = None, unset: Unsets = None, json_: Json = False, device: Device = None
) -> int:
    """Check a spec: every problem, at its line and column."""
    loaded = load(spec, set_, unset)
    graph = analysed(loaded, device, limit=True)
    document = loaded.document
    assert document is not None
    notes = (*document.warnings, *graph.notes)
    if json_:
        put_json(diagnostics_json(notes, valid=True))
        return DONE
    if notes:
        show(notes, document.sources)
    from gendsl.compiler.explain import headline

    print(f"{loaded.name}: valid, {graph.resources.parameters:,} parameters, {headline(graph)}")
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
            put_json({"code": spec.upper(), "title": code.title, "text": code.text})
        else:
            print(f"{spec.upper()}: {code.title}\n\n{code.text}")
        return DONE
    loaded = load(spec, set_, unset)
    graph = analysed(loaded, device)
    if json_:
        put_json(as_json(graph))
    else:
        sys.stdout.write(as_text(graph, estimates=estimates))
    return DONE


@app.command("graph")
def graph_(
    spec: SpecArgument,
    format_: Annotated[str, typer.Option("--format", help="text, mermaid, dot or json")] = "text",
    set_: Sets = None,
    unset: Unsets = None,
    json_: Json = False,
) -> int:
    """The factor graph of a spec; --json is --format json."""
    from gendsl.compiler import diagram
    from gendsl.compiler.explain import as_json

    graph = analysed(load(spec, set_, unset))
    makers = {"text": diagram.text, "mermaid": diagram.mermaid, "dot": diagram.dot}
    if json_ and format_ not in ("text", "json"):
        raise UsageError(f"--format {format_} is not JSON: leave out --json")
    if json_ or format_ == "json":
        body = as_json(graph)
        put_json({"variables": body["variables"], "factors": body["factors"], "players": body["players"]})
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

    loaded = load(spec, set_, unset)
    body = resolved(analysed(loaded))
    if not blame:
        if json_:
            put_json(body)
        else:
            sys.stdout.write(dump(body))
        return DONE
    assert loaded.document is not None
    rows = [(path, f"{p.file}:{p.start.line}:{p.start.column}") for path, p in places(loaded.document.root)]
    written = [path for path, _ in rows]
    rows += [(path, "default") for path in _leaves(body) if not any(_same(path, w) for w in written)]
    if json_:
        put_json([{"path": path, "from": where} for path, where in rows])
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
