"""Constants: `let: {width: 64}` names a scalar or a list, and `${width}`, as a whole scalar, stands for it.

A constant may name constants that are written before it. What a use is replaced by takes the place of the
use, so that a later message points at the line where the value matters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from gendsl.errors import Diagnostic, Place, Related
from gendsl.schema.nodes import Entry, Map, Node, Scalar, Seq
from gendsl.schema.suggest import did_you_mean, listing, nearest
from gendsl.schema.text import MAX_DEPTH, MAX_NODES, MAX_SUGGESTIONS

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USE = re.compile(r"\$\{([^{}]*)\}")


@dataclass(frozen=True)
class _Constant:
    node: Node
    key: Place
    weight: int
    height: int


def substitute(root: Map) -> tuple[Map, tuple[Diagnostic, ...]]:
    """The root without `let`, every `${name}` replaced, and the problems found.

    GD133 an unknown constant, GD134 `${...}` in a longer string, GD135 a malformed `let`; GD136 (a warning) a
    constant that nothing uses; GD116 and GD117 if what the constants stand for passes the limits of
    `text.read`.
    """
    let = root.entries.get("let")
    work = _Substitution(let)
    if let is not None and isinstance(let.node, Map):
        work.define(let.node)
    elif let is not None:
        work.report("GD135", "'let' is a map of constants", let.node.place, "write let: {name: value}")
    work.nodes = 0
    entries = {k: Entry(e.key, work.replace(e.node, 1)) for k, e in root.entries.items() if k != "let"}
    if not work.problems:
        work.unused()
    return Map(entries, root.place), tuple(dict.fromkeys(work.problems))


class _Substitution:
    def __init__(self, let: Entry | None) -> None:
        self.problems: list[Diagnostic] = []
        self.constants: dict[str, _Constant] = {}
        self.used: set[str] = set()
        self.refused: set[str] = set()
        names = let.node.entries if let is not None and isinstance(let.node, Map) else {}
        self.names = dict.fromkeys(sorted(names))
        self.nodes = 0
        self.full = False

    def define(self, let: Map) -> None:
        """Take in the constants, in the order of the text."""
        for name, entry in let.entries.items():
            self.nodes = 0
            if not _NAME.fullmatch(name):
                self.refused.add(name)
                advice = "use letters, digits and '_', with a letter first"
                self.report("GD135", f"'{name}' cannot name a constant", entry.key, advice)
            elif any(isinstance(node, Map) for node in _walk(entry.node)):
                self.refused.add(name)
                advice = (
                    "name a network under nets: and refer to it as {ref: name}; for the rest use extends:"
                )
                self.report("GD135", f"the constant '{name}' holds a map", entry.key, advice)
            else:
                node = self.replace(entry.node, 1)
                self.constants[name] = _Constant(node, entry.key, self.nodes, _height(node))

    def replace(self, node: Node, depth: int) -> Node:
        """The node with its constants filled in; `depth` is the number of maps and lists around it."""
        if isinstance(node, Map):
            self.nodes += 1
            entries = {k: Entry(e.key, self.replace(e.node, depth + 1)) for k, e in node.entries.items()}
            return Map(entries, node.place)
        if isinstance(node, Seq):
            self.nodes += 1
            return Seq(tuple(self.replace(item, depth + 1) for item in node.items), node.place)
        self.nodes += 1
        if not isinstance(node.value, str) or "${" not in node.value:
            return node
        found = _USE.fullmatch(node.value)
        if found is None:
            advice = "write the whole value as ${name}, or the text without constants"
            self.report(
                "GD134", "a constant stands for a whole value, not for part of a string", node.place, advice
            )
            return node
        return self._filled(found.group(1).strip(), node, depth)

    def _filled(self, name: str, use: Scalar, depth: int) -> Node:
        constant = self.constants.get(name)
        self.used.add(name)
        if constant is None:
            if name not in self.refused:
                self._unknown(name, use.place)
            return use
        self.nodes += constant.weight
        if self.nodes > MAX_NODES or depth + constant.height > MAX_DEPTH:
            if not self.full:
                code, limit = (
                    ("GD117", "keys and values")
                    if self.nodes > MAX_NODES
                    else ("GD116", "lists and maps deep")
                )
                bound = MAX_NODES if code == "GD117" else MAX_DEPTH
                related = (Related("the constant", constant.key),)
                message = f"with its constants this spec is more than {bound} {limit}"
                self.problems.append(Diagnostic(code, message, use.place, related=related))
            self.full = True
            return use
        return replace(constant.node, place=use.place)

    def _unknown(self, name: str, place: Place) -> None:
        if name in self.names:
            advice = "a constant may name constants that are written before it"
            self.report("GD133", f"the constant '{name}' is not known yet here", place, advice)
            return
        near = nearest(name, self.names) if len(self.problems) < MAX_SUGGESTIONS else []
        known = (
            f"known here: {listing(self.names)}"
            if self.names
            else "no constants here: add let: {name: value}"
        )
        label = did_you_mean([f"${{{n}}}" for n in near])
        self.problems.append(
            Diagnostic("GD133", f"unknown constant '{name}'", place, label=label, help=known)
        )

    def unused(self) -> None:
        """Warn of the constants that nothing uses."""
        for name, constant in self.constants.items():
            if name not in self.used:
                message = f"the constant '{name}' is not used"
                self.problems.append(Diagnostic("GD136", message, constant.key, severity="warning"))

    def report(self, code: str, message: str, place: Place | None, advice: str) -> None:
        self.problems.append(Diagnostic(code, message, place, help=advice))


def _walk(node: Node) -> Iterator[Node]:
    """The node and all that it holds."""
    todo = [node]
    while todo:
        found = todo.pop()
        yield found
        if isinstance(found, Seq):
            todo.extend(found.items)
        elif isinstance(found, Map):
            todo.extend(entry.node for entry in found.entries.values())


def _height(node: Node) -> int:
    """How many lists are open inside each other in it."""
    return 1 + max((_height(item) for item in node.items), default=0) if isinstance(node, Seq) else 0
