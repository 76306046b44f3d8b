"""What `extends` means: one document laid over its parent (docs/language.md, The head).

Maps merge, lists and scalars replace, `null` deletes, a map whose tag changes is replaced whole. A word that
stands for its tag (`net: mlp`) counts as `{type: mlp}` where the other side is a map. A factor whose `dist`
changes drops the old distribution's parameters and keeps `given`, `net`, `shape` and `flow`.
"""

from __future__ import annotations

from gendsl.schema.nodes import Entry, Map, Node, Path, Scalar

FACTOR_KEYS = ("given", "net", "shape", "flow")
"""What a factor keeps when its distribution changes; its other keys are the distribution's parameters."""

_FACTOR_SECTIONS = ("prior", "decoder", "encoder", "corruption")
_NAMED_SECTIONS = ("ordering", "energy", "nets")
_SLOTS = (
    "dist",
    "net",
    "loss",
    "penalty",
    "augment",
    "bound",
    "optim",
    "schedule",
    "extractor",
    "negatives",
    "of",
    "ordering",
)
_LISTS = ("flow", "stack", "as", "penalty", "of", "components")


def tag_key(path: Path) -> str | None:
    """The key that a bare word at `path` stands for; None where a word is only a word.

    `decoder.x.net: mlp` is `{type: mlp}`, `data.bind.y: label` is `{column: label}`.
    """
    key = path[-1] if path else None
    if isinstance(key, int):
        return "type" if len(path) > 1 and path[-2] in _LISTS else None
    if len(path) == 2 and path[0] in _FACTOR_SECTIONS:
        return "dist"
    if len(path) == 2 and path[0] in _NAMED_SECTIONS:
        return "type"
    if len(path) == 3 and path[:2] == ("data", "bind"):
        return "column"
    if len(path) == 3 and path[:2] in (("objective", "energy"), ("objective", "estimator")):
        return "type"
    return "type" if key in _SLOTS else None


def expand(word: Scalar, path: Path) -> Map | None:
    """The map that a bare word stands for, or None where it stands for none."""
    key = tag_key(path)
    if key is None or not isinstance(word.value, str):
        return None
    return Map({key: Entry(word.place, word)}, word.place)


def merge(parent: Map, child: Map) -> Map:
    """The child laid over its parent. Every node keeps the place it was written at."""
    return _maps(parent, child, ())


def _maps(parent: Map, child: Map, path: Path) -> Map:
    if _holds_tag(path) and _tag(parent) is not None and _tag(child) not in (None, _tag(parent)):
        kept = (
            {k: e for k, e in parent.entries.items() if k in FACTOR_KEYS} if "dist" in child.entries else {}
        )
        parent = Map(kept, parent.place)
    if "dist" in parent.entries or "dist" in child.entries:
        parent, child = _same_form(parent, child)
    entries = dict(parent.entries)
    for key, entry in child.entries.items():
        if isinstance(entry.node, Scalar) and entry.node.value is None:
            entries.pop(key, None)
            continue
        old = entries.get(key)
        entries[key] = Entry(entry.key, _nodes(old.node if old else None, entry.node, (*path, key)))
    return Map(entries, child.place)


def _nodes(parent: Node | None, child: Node, path: Path) -> Node:
    if isinstance(child, Scalar) and isinstance(parent, Map):
        child = expand(child, path) or child
    if not isinstance(child, Map):
        return child
    if isinstance(parent, Scalar):
        parent = expand(parent, path)
    return _maps(parent if isinstance(parent, Map) else Map(), child, path)


def _holds_tag(path: Path) -> bool:
    """Whether the keys of the map at `path` are parameters; those of a section and of `bind` are names."""
    return len(path) >= 2 and path != ("data", "bind")


def _tag(node: Map) -> tuple[str, object] | None:
    """What kind of thing a map describes: the key that says so, with its value."""
    for key in ("dist", "loss", "type", "ref"):
        entry = node.entries.get(key)
        if entry is not None and isinstance(entry.node, Map):
            inner = _tag(entry.node)
            return None if inner is None else (key, inner[1])
        if entry is not None and isinstance(entry.node, Scalar):
            return (key, entry.node.value)
    return None


def _same_form(parent: Map, child: Map) -> tuple[Map, Map]:
    """Parent and child with their parameters in one form: nested in `dist`, where either has them there."""
    if any(isinstance(m.entries["dist"].node, Map) for m in (parent, child) if "dist" in m.entries):
        return _nested(parent), _nested(child)
    return parent, child


def _nested(factor: Map) -> Map:
    """A factor with its flat parameters moved into `dist`; unchanged if it has both forms, or none."""
    flat = {k: e for k, e in factor.entries.items() if k not in (*FACTOR_KEYS, "dist")}
    dist = factor.entries.get("dist")
    if not flat or (dist is not None and isinstance(dist.node, Map)):
        return factor
    inside = flat if dist is None else {"type": Entry(dist.key, dist.node), **flat}
    key = next(iter(flat.values())).key if dist is None else dist.key
    kept = {k: e for k, e in factor.entries.items() if k in FACTOR_KEYS}
    return Map({**kept, "dist": Entry(key, Map(inside, key))}, factor.place)
