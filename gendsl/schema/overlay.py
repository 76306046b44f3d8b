"""A document made of several: a spec, the parents it extends, and the changes of the command line.

The order is: the oldest parent, its children laid over it one by one (`merge`), `--unset`, `--set`
(`overrides`), and last the constants (`constants`), so that `--set let.width=32` and a child's `let:` reach
every use.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path as FilePath

from gendsl.errors import Diagnostic, Place, Related, SpecError, UsageError
from gendsl.schema.constants import substitute
from gendsl.schema.merge import merge
from gendsl.schema.nodes import Entry, Map, Node, Path, Scalar, Seq
from gendsl.schema.overrides import apply, parse_sets, parse_unsets, path_text
from gendsl.schema.source import MAX_BYTES, decode
from gendsl.schema.suggest import did_you_mean, nearest
from gendsl.schema.text import read

TEXT_FILE = "<text>"


@dataclass(frozen=True)
class Document:
    """One merged spec. Each node keeps the file and place it came from."""

    root: Map
    """Without `extends` and `let`."""
    sources: dict[str, str]
    """File -> text of all that was read, for `gendsl.schema.render`."""
    file: str
    """The file that was asked for, or `<text>`."""
    warnings: tuple[Diagnostic, ...] = field(default=())


@dataclass(frozen=True)
class _Link:
    """One document of a chain of parents."""

    file: str
    folder: FilePath
    identity: str
    root: Map
    extends: Entry | None


def load(
    source: FilePath | str,
    *,
    sets: Sequence[str] = (),
    unsets: Sequence[str] = (),
    find: Callable[[str], FilePath | None],
) -> Document:
    """Read a spec with its parents and lay them over one another.

    Args:
        source: the path of a file, or (a str) the text itself, whose parents are relative to the current
        folder. sets, unsets: the texts of `--set` and `--unset` options.
        find: gives the path of a shipped spec by its name, None where there is none.

    Raises:
        UsageError: `source` is no file.
        SpecError: with its `sources`; the codes are GD101 to GD139.
    """
    sources: dict[str, str] = {}
    try:
        chain = _chain(source, find, sources)
        root = chain[-1].root
        for link in reversed(chain[:-1]):
            root = merge(Map({k: e for k, e in root.entries.items() if k != "name"}, root.place), link.root)
        for options, parse in ((unsets, parse_unsets), (sets, parse_sets)):
            if options:
                settings, text = parse(options)
                sources[text.file] = text.text
                root = apply(root, settings)
    except SpecError as error:
        raise SpecError(error.diagnostics, {**sources, **error.sources}) from None
    root = Map({k: e for k, e in root.entries.items() if k != "extends"}, root.place)
    root, problems = substitute(root)
    if any(problem.severity == "error" for problem in problems):
        raise SpecError([p for p in problems if p.severity == "error"], sources)
    file = chain[0].file
    warnings = tuple(p for p in problems if p.place is not None and p.place.file == file)
    return Document(root, sources, file, warnings)


def _chain(
    source: FilePath | str, find: Callable[[str], FilePath | None], sources: dict[str, str]
) -> list[_Link]:
    """The document and its parents, youngest first."""
    if isinstance(source, str):
        chain = [_link(source, TEXT_FILE, FilePath(), TEXT_FILE, sources)]
    else:
        if not source.is_file():
            raise UsageError(f"no such file: {source}")
        chain = [_file(source, sources)]
    while (entry := chain[-1].extends) is not None:
        parent = _parent(entry, chain[-1], find)
        met = [link.identity for link in chain]
        identity = str(parent.resolve())
        if identity in met:
            cycle = chain[met.index(identity) :]
            raise SpecError([_cycle(cycle, chain[-1])])
        try:
            chain.append(_file(parent, sources))
        except OSError as error:
            message = f"cannot read the parent spec '{parent}': {error.strerror}"
            raise SpecError([Diagnostic("GD130", message, entry.node.place)]) from None
    return chain


def _file(path: FilePath, sources: dict[str, str]) -> _Link:
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    file = os.path.normpath(path)
    return _link(data, file, path.parent, str(path.resolve()), sources)


def _link(text: str | bytes, file: str, folder: FilePath, identity: str, sources: dict[str, str]) -> _Link:
    readable = decode(text, file).text
    sources[file] = readable
    root = read(readable, file)
    return _Link(file, folder, identity, root, root.entries.get("extends"))


def _parent(entry: Entry, child: _Link, find: Callable[[str], FilePath | None]) -> FilePath:
    node = entry.node
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value:
        advice = "write extends: vae, or extends: other.yaml"
        raise SpecError([Diagnostic("GD132", "'extends' names one parent spec", node.place, help=advice)])
    name = node.value
    beside = child.folder / name
    if beside.is_file():
        return beside
    bare = "/" not in name and not name.endswith((".yaml", ".yml"))
    found = find(name) if bare else None
    if found is not None:
        return found
    others = sorted(path.name for path in beside.parent.glob("*.y*ml")) if beside.parent.is_dir() else []
    kind = "no file and no shipped spec of this name" if bare else "no such file"
    label = did_you_mean([str(FilePath(name).parent / other) for other in nearest(beside.name, others)])
    advice = "a path is relative to the file that it is written in; a bare name is a shipped spec"
    raise SpecError(
        [Diagnostic("GD130", f"cannot extend '{name}': {kind}", node.place, help=advice, label=label)]
    )


def _cycle(cycle: list[_Link], last: _Link) -> Diagnostic:
    names = [link.file for link in cycle]
    related = tuple(
        Related(f"extends {parent.file}", link.extends.node.place)
        for link, parent in pairwise(cycle)
        if link.extends is not None
    )
    message = f"these specs extend each other: {' -> '.join([*names, names[0]])}"
    place = last.extends.node.place if last.extends is not None else None
    return Diagnostic("GD131", message, place, help="remove one extends:", related=related)


def blame(root: Node) -> list[tuple[str, Place]]:
    """The path and place of every value that is written somewhere, in the order of the document."""
    found: list[tuple[str, Place]] = []
    todo: list[tuple[Path, Node]] = [((), root)]
    while todo:
        path, node = todo.pop()
        if isinstance(node, Map) and node.entries:
            todo.extend(((*path, key), entry.node) for key, entry in reversed(list(node.entries.items())))
        elif isinstance(node, Seq) and node.items:
            todo.extend(((*path, i), item) for i, item in reversed(list(enumerate(node.items))))
        elif node.place is not None:
            found.append((path_text(path), node.place))
    return found
