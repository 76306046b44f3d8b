"""Commands on the language itself: schema, components, new."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from gendsl.cli.options import Json
from gendsl.cli.output import DONE, aside, put_json
from gendsl.errors import UsageError

app = typer.Typer()


@app.command()
def schema(json_: Json = False) -> int:
    """The JSON Schema of specs, for editors; JSON with and without --json."""
    from gendsl.schema.jsonschema import json_schema

    put_json(json_schema())
    return DONE


@app.command()
def components(
    kind: Annotated[str | None, typer.Argument(metavar="KIND", help="dist, flow, net, ...")] = None,
    tag: Annotated[str | None, typer.Argument(metavar="TAG", help="one of them, in detail")] = None,
    json_: Json = False,
) -> int:
    """What a spec can name: the kinds, the components of a kind, or one with its parameters."""
    from gendsl.schema.catalogue import PARTS, detail, listing
    from gendsl.schema.registry import KINDS
    from gendsl.schema.suggest import did_you_mean, nearest

    if kind is not None and kind not in KINDS:
        near = did_you_mean(nearest(kind, list(KINDS)))
        raise UsageError(f"there is no kind {kind!r}{aside(near)}; kinds: {', '.join(KINDS)}")
    found = listing(kind)
    if kind is not None and tag is not None:
        if tag not in found[kind]:
            near = did_you_mean(nearest(tag, list(found[kind])))
            raise UsageError(
                f"there is no {KINDS[kind]} {tag!r}{aside(near)}; known: {', '.join(found[kind])}"
            )
        body = detail(kind, tag)
        if json_:
            put_json(body)
            return DONE
        print(f"{KINDS[kind]} {tag}\n\n{body['description']}\n")
        for word in PARTS:
            if word.lower() in body:
                print(f"{word}: {body[word.lower()]}\n")
        for name, about in body["parameters"].items():
            print(f"  {name}: {about['type']} = {about['default']}  {about['description']}".rstrip())
        return DONE
    if json_:
        put_json(found)
        return DONE
    for each, tags in found.items():
        print(f"{each}: {KINDS[each]}")
        for name, words in tags.items():
            print(f"  {name:<22} {words}")
    return DONE


@app.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="the file to make")],
    like: Annotated[str, typer.Option(help="a shipped spec to start from")] = "vae",
    json_: Json = False,
) -> int:
    """Start a spec of your own from one that ships."""
    from gendsl.schema.load import shipped
    from gendsl.schema.suggest import did_you_mean, nearest

    known = shipped()
    if like not in known:
        near = did_you_mean(nearest(like, list(known)))
        raise UsageError(f"no shipped spec is called {like!r}{aside(near)}; there are: {', '.join(known)}")
    if file.exists():
        raise UsageError(f"{file} exists; nothing was changed")
    if not file.parent.is_dir():
        raise UsageError(f"there is no folder {file.parent}")
    shutil.copyfile(known[like], file)
    if json_:
        put_json({"file": str(file), "like": like})
        return DONE
    print(f"wrote {file}; next: gendsl check {file}, gendsl run {file}")
    return DONE
