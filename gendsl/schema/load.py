"""From a file, a shipped spec's name or a text to a Spec: the loader, the plug-ins, the models, the diagnostics."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from gendsl.errors import Diagnostic, SpecError, UsageError
from gendsl.schema import overlay
from gendsl.schema.nodes import Map, Scalar, Seq, locate, plain
from gendsl.schema.registry import load_plugin
from gendsl.schema.spec import Spec
from gendsl.schema.suggest import did_you_mean, nearest

SHIPPED = Path(__file__).resolve().parent.parent / "specs"
VERSION = 1


def shipped() -> dict[str, Path]:
    """The specs that ship with gendsl, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def find(name: str) -> Path:
    """A spec's file: the path itself, or the shipped spec of that name. Raises UsageError where there is neither."""
    path = Path(name)
    if path.is_file():
        return path
    known = shipped()
    if name in known:
        return known[name]
    near = nearest(path.stem, list(known))
    hint = f"; {did_you_mean(near)} (shipped specs need no path)" if near else ""
    raise UsageError(f"there is no spec file {name!r}{hint}")


def load(source: str | Path, *, sets: Sequence[str] = (), unsets: Sequence[str] = ()) -> Spec:
    """The spec of a file or of a shipped name, with `--set` and `--unset` applied.

    Raises UsageError where there is no such file, SpecError with every diagnostic where it is not a spec.
    """
    return parse(find(str(source)), sets=sets, unsets=unsets)


def loads(text: str, *, sets: Sequence[str] = (), unsets: Sequence[str] = ()) -> Spec:
    """The spec of a text. Raises SpecError."""
    return parse(text, sets=sets, unsets=unsets)


def parse(source: str | Path, *, sets: Sequence[str] = (), unsets: Sequence[str] = ()) -> Spec:
    """The spec of a path (a Path) or a text (a str)."""
    document = overlay.load(source, sets=sets, unsets=unsets, find=shipped().get)
    problems = [*_version(document.root), *_plugins(document.root)]
    if problems:
        raise SpecError(problems, document.sources)
    body = plain(document.root)
    if "name" not in body and isinstance(source, Path):
        body["name"] = _name(source.stem)
    try:
        spec = Spec.model_validate(body)
    except ValidationError as error:
        from gendsl.schema.translate import diagnostics

        raise SpecError(diagnostics(error, document.root), document.sources) from None
    return spec.with_document(document)


def _name(stem: str) -> str:
    """A file's name as the name of a spec, which allows fewer characters."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", stem).lstrip("_.-")[:100] or "model"


def _version(root: Map) -> list[Diagnostic]:
    entry = root.entries.get("gendsl")
    if entry is None:
        return [
            Diagnostic(
                "GD220",
                "the first key must be `gendsl: 1`, the version of the grammar",
                next((e.key for e in root.entries.values()), root.place),
                help="write gendsl: 1 as the first line",
            )
        ]
    value = entry.node.value if isinstance(entry.node, Scalar) else None
    if value == VERSION and not isinstance(value, bool):
        return []
    return [
        Diagnostic(
            "GD220",
            f"this gendsl reads version {VERSION} of the grammar",
            locate(root, ("gendsl",)),
            help="write gendsl: 1",
        )
    ]


def _plugins(root: Map) -> list[Diagnostic]:
    entry = root.entries.get("requires")
    if entry is None or not isinstance(entry.node, Seq):
        return []
    problems = []
    for i, item in enumerate(entry.node.items):
        name = item.value if isinstance(item, Scalar) else None
        if not isinstance(name, str):
            continue
        place = locate(root, ("requires", i))
        try:
            load_plugin(name)
        except LookupError:
            problems.append(
                Diagnostic(
                    "GD901",
                    f"the plug-in {name!r} is not installed",
                    place,
                    help="install the package that has it in its entry points, group gendsl.components",
                )
            )
        except (ImportError, ValueError, AttributeError, TypeError) as error:
            problems.append(Diagnostic("GD902", f"the plug-in {name!r} failed to load: {error}", place))
    return problems
