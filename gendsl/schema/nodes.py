"""The tree that the loader makes of a YAML text: every node keeps the place it was read from.

A path is a tuple of keys and indices (`("encoder", "z", "flow", 0, "type")`) from the root of the document.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gendsl.errors import Place

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Scalar:
    """null, a boolean, an integer, a float or a string; `place` covers its text."""

    value: bool | int | float | str | None
    place: Place


@dataclass(frozen=True)
class Seq:
    """A list; `place` is where it begins."""

    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True)
class Entry:
    """One key of a map with its value."""

    key: Place
    node: Node


@dataclass(frozen=True)
class Map:
    """A map in the order of the text; `place` is where it begins."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    place: Place | None = None


Node = Scalar | Seq | Map


def plain(node: Node) -> Any:
    """The node as dicts, lists and scalars."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Seq):
        return [plain(item) for item in node.items]
    return {key: plain(entry.node) for key, entry in node.entries.items()}


def locate(root: Node, path: Path, on: str = "value") -> Place | None:
    """The place of the key (`on="key"`) or value (`on="value"`) at `path`.

    A path may name what the text says in short: `net: mlp` stands for `net: {type: mlp}`, and a factor's flat
    `classes: 10` for `dist: {..., classes: 10}`. So an element that the text does not have is looked for
    beside
    the scalar that stands for it, and skipped when it is not there either; the last place found is the
    answer. A
    value that is not written (`encoder:` and nothing), or a map or list on lines of its own, is shown by its
    key.
    """
    node, beside = root, root
    place: Place | None = root.place
    for element in path:
        holder = node if _has(node, element) else beside if _has(beside, element) else None
        if holder is None:
            continue
        if isinstance(holder, Seq):
            assert isinstance(element, int)
            node = beside = holder.items[element]
            place = node.place
        elif isinstance(holder, Map):
            entry = holder.entries[str(element)]
            beside = holder
            node = entry.node
            place = entry.key if on == "key" or not _beside_its_key(entry) else node.place
    return place


def _beside_its_key(entry: Entry) -> bool:
    """Whether a value is written, and begins on the line of its key."""
    place, key = entry.node.place, entry.key
    if place is None or place.start == place.end:
        return False
    same = (place.file, place.start.line) == (key.file, key.start.line)
    return same or isinstance(entry.node, Scalar)


def tag_path(root: Node, path: Path) -> Path:
    """The rest of the way from a component to its name: `type` or `ref`; nothing where it is a bare word."""
    node = root
    for element in path:
        if not _has(node, element):
            return ()
        node = _child(node, element)
    for key in ("type", "ref"):
        if isinstance(node, Map) and key in node.entries and isinstance(node.entries[key].node, Scalar):
            return (key,)
    return ()


def mentioned(root: Node, path: Path, words: str) -> Path:
    """The parameter of the component at `path` that some words speak of, by its key or by its value.

    The path itself where they speak of none that is written. The parameters of a bare word may stand beside
    it.
    """
    node, beside = root, root
    for element in path:
        if not _has(node, element):
            return path
        beside = node
        node = _child(node, element)
    flat = isinstance(node, Scalar) and isinstance(beside, Map) and path[-1] in ("dist", "source")
    holder = beside if flat else node
    spoken = set(re.findall(r"\w+", words))
    for key, entry in holder.entries.items() if isinstance(holder, Map) else ():
        inner = entry.node.entries.get("type") if isinstance(entry.node, Map) else None
        value = inner.node if inner is not None else entry.node
        said = isinstance(value, Scalar) and isinstance(value.value, str) and value.value in spoken
        if not (key in _STRUCTURE or (flat and key == "net")) and (key in spoken or said):
            return (*path[:-1], key) if flat else (*path, key)
    return path


_STRUCTURE = frozenset({"type", "given", "dist", "shape", "flow", "source", "split", "bind"})


def _child(node: Node, element: str | int) -> Node:
    if isinstance(node, Seq):
        assert isinstance(element, int)
        return node.items[element]
    assert isinstance(node, Map)
    return node.entries[str(element)].node


def _has(node: Node, element: str | int) -> bool:
    if isinstance(node, Seq):
        return isinstance(element, int) and 0 <= element < len(node.items)
    return isinstance(node, Map) and str(element) in node.entries
