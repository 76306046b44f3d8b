"""The command that compares two models: diff."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gendsl.cli.loading import analysed, load
from gendsl.cli.options import Json
from gendsl.cli.output import DONE, number_words, put_json
from gendsl.errors import RunError

if TYPE_CHECKING:
    from gendsl.compiler.compare import Side

app = typer.Typer()


@app.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="a spec or a run directory")],
    b: Annotated[str, typer.Argument(metavar="B", help="another")],
    json_: Json = False,
) -> int:
    """What two specs or runs differ in: spec, objective, parameters, queries, and numbers by their kinds."""
    from gendsl.compiler.compare import compare

    found = compare(_side(a), _side(b))
    if json_:
        put_json(found)
        return DONE
    print(f"a: {found['a']} ({a})\nb: {found['b']} ({b})")
    if found["equal"]:
        print("\nno differences")
    _section("spec", {path: (_plain(p["a"]), _plain(p["b"])) for path, p in found["spec"].items()})
    _section(
        "objective", {name: (_fields(p["a"]), _fields(p["b"])) for name, p in found["objective"].items()}
    )
    count = found["parameters"]
    if count["a"] != count["b"]:
        print(f"\nparameters\n  {count['a']:,} -> {count['b']:,}")
    asked = {name: (_answer(p["a"]), _answer(p["b"])) for name, p in found["capabilities"].items()}
    _section("it can be asked to", asked)
    for part, metrics in found["metrics"].items():
        print(f"\nmetrics on {part}")
        for name, pair in metrics.items():
            _metric(name, pair)
    return DONE


def _side(what: str) -> Side:
    """A spec as the compiler sees it now, or a run as it was. Raises SpecError, UsageError, RunError."""
    from gendsl.compiler.compare import Side

    path = Path(what)
    if path.is_dir() and (path / "resolved.yaml").is_file():
        from gendsl.schema.load import load as load_spec
        from gendsl.schema.spec import resolved as resolved_spec

        result = path / "result.json"
        body = resolved_spec(load_spec(path / "resolved.yaml"))
        explained = _read(path / "graph.json", "name", "hash", "objective", "parameters", "capabilities")
        return Side(body, explained, _read(result, "metrics", "data") if result.is_file() else None)
    from gendsl.compiler.explain import as_json
    from gendsl.compiler.resolve import resolved

    graph = analysed(load(what, None, None))
    return Side(resolved(graph), as_json(graph))


def _read(path: Path, *needed: str) -> dict[str, Any]:
    """A JSON object with the keys needed. Raises RunError."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is damaged: it is not JSON") from error
    if not isinstance(found, dict) or not found.keys() >= set(needed):
        raise RunError(f"{path} is damaged: it is not an object with {', '.join(needed)}")
    return found


def _section(title: str, lines: Mapping[str, tuple[str, str]]) -> None:
    if lines:
        print(f"\n{title}")
        width = max(len(name) for name in lines)
        for name, (before, after) in lines.items():
            print(f"  {name:<{width}}  {before} -> {after}")


def _plain(value: Any) -> str:
    return "absent" if value is None else value if isinstance(value, str) else json.dumps(value)


def _fields(term: Mapping[str, Any] | None) -> str:
    """What differs of a term, or the whole of one that the other side has not."""
    if term is None:
        return "absent"
    if "formula" in term and "weight" in term:
        return f"{term['weight']:g} * {term['formula']}"
    return ", ".join(f"{key} {_plain(value)}" for key, value in term.items())


def _answer(capability: Mapping[str, Any] | None) -> str:
    if capability is None:
        return "absent"
    if capability.get("how", "") is None:
        return f"no: {capability.get('why', '')}"
    return ", ".join(str(capability[key]) for key in ("how", "kind", "why") if capability.get(key))


def _metric(name: str, pair: Mapping[str, Any]) -> None:
    for side in ("a", "b"):
        print(f"  {name if side == 'a' else '':<20} {side}: {number_words(pair[side])}")
    if pair["comparable"]:
        error = f" +- {pair['stderr']:.3g}" if pair["stderr"] is not None else ""
        print(f"  {'':<20} b - a: {pair['difference']:+.4f}{error}")
    else:
        print(f"  {'':<20} not compared: {pair['why']}")
