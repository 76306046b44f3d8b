"""YAML text -> nodes with places (docs/language.md, Text).

The parser's events are read in one loop with a stack of our own, never recursively, while depth, nodes and
aliases are counted: what would exhaust a composing loader (nested brackets, alias and merge bombs) is refused
as soon as it has passed a limit, and nothing is ever built that is larger than the limits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from yaml import events as ev

from gendsl.errors import Diagnostic, Place, Related, SpecError
from gendsl.schema.events import Events
from gendsl.schema.nodes import Entry, Map, Node, Scalar, Seq
from gendsl.schema.scalars import Unclear, resolve
from gendsl.schema.source import Source, decode
from gendsl.schema.suggest import did_you_mean, nearest

MAX_DEPTH = 32
"""How many maps and lists may be open inside each other."""
MAX_NODES = 50_000
"""How many keys, scalars, lists and maps there may be; an alias counts as all that its anchor holds."""
MAX_ALIASES = 256
MAX_SUGGESTIONS = 20
"""Problems before this many come with the nearest names; no more are shown."""

_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*|\s+|#[^\r\n]*)*+")
_TAG = re.compile(r"![^\s,\[\]{}]*")
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


def read(text: str | bytes, file: str) -> Map:
    """The map that a spec's text describes; every node knows its place in `file`.

    Raises SpecError with every problem of the text (GD101 to GD120), in the order of the text; reading goes
    on past a problem where what follows can still be understood.
    """
    source = decode(text, file)
    root = read_node(source, 0, len(source.text))
    if not isinstance(root, Map):
        raise SpecError([_not_a_map(root)], {file: source.text})
    return root


def read_node(source: Source, begin: int, end: int, flow: bool = False) -> Node:
    """The one value written in `source.text[begin:end]`; with `flow`, none that needs lines of its own.

    Raises SpecError as `read` does.
    """
    reader = _Reader(source, begin, end, flow)
    reader.run()
    if reader.problems or reader.root is None:
        raise SpecError(sorted(reader.problems, key=_order), {source.file: source.text})
    return reader.root


def _order(problem: Diagnostic) -> tuple[int, int]:
    return (0, 0) if problem.place is None else (problem.place.start.line, problem.place.start.column)


def _not_a_map(root: Node) -> Diagnostic:
    if isinstance(root, Scalar) and root.value is None:
        return Diagnostic("GD105", "this text holds no spec", root.place, help="begin with 'gendsl: 1'")
    found = "a list" if isinstance(root, Seq) else "a single value"
    advice = "begin with 'gendsl: 1' and write one 'key: value' on a line, with a space after ':'"
    return Diagnostic("GD106", f"a spec is a map of sections, this is {found}", root.place, help=advice)


class _Stop(Exception):
    """Reading cannot go on; the problem is recorded."""


@dataclass(frozen=True)
class _Anchor:
    """What an alias stands for; `node` is None while the anchor is still open."""

    node: Node | None
    weight: int
    height: int
    place: Place


@dataclass
class _Open:
    """A map or list that has begun and not ended."""

    start: int
    event: ev.CollectionStartEvent
    is_key: bool
    """It stands where a key belongs (an error): it is read and dropped."""
    entries: dict[str, Entry] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)
    awaiting: bool = False
    """In a map: a key was read and its value comes next."""
    key: str | None = None
    """The key that waits for its value; None where the key was refused."""
    key_place: Place | None = None
    key_end: int = 0
    weight: int = 1
    height: int = 1

    @property
    def is_map(self) -> bool:
        return isinstance(self.event, ev.MappingStartEvent)


class _Reader:
    """One pass over the events of one document."""

    def __init__(self, source: Source, begin: int, end: int, flow: bool) -> None:
        self.source = source
        self.events = Events(source, begin, end)
        self.flow = flow
        self.problems: list[Diagnostic] = []
        self.stack: list[_Open] = []
        self.anchors: dict[str, _Anchor] = {}
        self.root: Node | None = None
        self.nodes = 0
        self.aliases = 0

    def run(self) -> None:
        """Read everything: `root` is the value, `problems` what is wrong with it."""
        try:
            for event in self.events:
                self._event(event)
        except _Stop:
            pass
        self.problems += self.events.problems
        if self.root is None and not self.problems:
            place = self.source.point(self.events.begin)
            self._problem("GD105", "this text holds no spec", place, "begin with 'gendsl: 1'")

    def _event(self, event: ev.Event) -> None:
        match event:
            case ev.ScalarEvent():
                self._scalar(event)
            case ev.CollectionStartEvent():
                self._begin(event)
            case ev.CollectionEndEvent():
                self._end(event)
            case ev.AliasEvent():
                self._alias(event)
            case ev.DocumentStartEvent():
                self._document(event)

    def _document(self, event: ev.DocumentStartEvent) -> None:
        start = self.events.index(event.start_mark)
        place = self.source.place(start, self.source.line_end(start))
        if self.root is not None:
            self._problem("GD107", "a second document begins here", place, "one file holds one spec")
            raise _Stop
        if event.version or event.tags:
            advice = "remove the line that begins with '%'"
            self._problem("GD119", "a spec has no YAML directives", place, advice)

    def _scalar(self, event: ev.ScalarEvent) -> None:
        start, end = self._span(event)
        place = self.source.place(start, end)
        self._count(1, place)
        plain = bool(event.implicit[0])
        value = resolve(event.value) if plain else event.value
        if _NO_TEXT.search(event.value):
            message = "this string holds a NUL or half a surrogate pair"
            self._problem("GD103", message, place, "remove the escape")
        node = Scalar(None if isinstance(value, Unclear) else value, place)
        if event.anchor:
            self.anchors[event.anchor] = _Anchor(node, 1, 0, place)
        if self._at_key():
            self._key(value, event.value, plain, place, end)
            return
        if isinstance(value, Unclear):
            self._problem("GD114", f"unclear number: {value.why}", place, value.help)
        if start == end:
            self._empty(start)
        self._add(node, 1, 0)

    def _empty(self, index: int) -> None:
        """A value of no text is null after `key:`, and a slip where not even the ':' is there (`{a:1}`)."""
        top = self.stack[-1] if self.stack else None
        if top is None or top.key is None or top.key_place is None:
            return
        if ":" not in self.source.text[top.key_end : index]:
            advice = "write 'key: value', with a space after ':'"
            self._problem("GD120", f"the key '{_short(top.key)}' has no value", top.key_place, advice)

    def _key(self, value: object, text: str, plain: bool, place: Place, end: int) -> None:
        top = self.stack[-1]
        top.weight += 1
        top.awaiting, top.key, top.key_place, top.key_end = True, None, place, end
        if plain and text == "<<":
            advice = "write the keys out, or put them in a parent spec and name it under extends:"
            self._problem("GD111", "a spec has no merge keys", place, advice)
        elif not isinstance(value, str):
            found = "nothing" if text == "" else f"{_short(text)}, which YAML reads as {_kind(value)}"
            advice = "write a name before ':'" if text == "" else f"write '{_short(text)}' in quotes"
            self._problem("GD109", f"a key is a string, this is {found}", place, advice)
        elif value in top.entries:
            related = (Related("first written here", top.entries[value].key),)
            message = f"the key '{_short(value)}' is written twice"
            self._problem("GD108", message, place, "keep one of the two", related=related)
        else:
            top.key = value

    def _begin(self, event: ev.CollectionStartEvent) -> None:
        start, _ = self._span(event)
        place = self.source.point(start)
        self._count(1, place)
        if len(self.stack) >= MAX_DEPTH:
            self._deep(place)
        if self.flow and not event.flow_style:
            message = "a value on one line holds no '-' list and no bare 'key: value'"
            self._problem("GD137", message, place, "write a list as [a, b] and a map as {key: value}")
            raise _Stop
        is_key = self._at_key()
        if is_key:
            message = "a key is a string, this is a list or a map"
            self._problem("GD109", message, place, "write a name before ':'")
        if event.anchor:
            self.anchors[event.anchor] = _Anchor(None, 0, 0, place)
        self.stack.append(_Open(start, event, is_key))

    def _end(self, event: ev.CollectionEndEvent) -> None:
        done = self.stack.pop()
        if done.event.flow_style:
            end = min(self.events.index(event.end_mark), self.source.line_end(done.start))
            place = self.source.place(done.start, end)
        else:
            place = self.source.point(done.start)
        node: Node = Map(done.entries, place) if done.is_map else Seq(tuple(done.items), place)
        if done.event.anchor:
            self.anchors[done.event.anchor] = _Anchor(node, done.weight, done.height, place)
        if done.is_key:
            self.stack[-1].awaiting, self.stack[-1].key = True, None
            return
        self._add(node, done.weight, done.height)

    def _alias(self, event: ev.AliasEvent) -> None:
        place = self.source.place(self.events.index(event.start_mark), self.events.index(event.end_mark))
        name = str(event.anchor)
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            self._problem(
                "GD118", f"more than {MAX_ALIASES} aliases", place, "use constants: let: and ${name}"
            )
            raise _Stop
        if self._at_key():
            self._problem(
                "GD109", f"a key is a string, this is the alias '*{name}'", place, "write the key out"
            )
            self.stack[-1].awaiting, self.stack[-1].key = True, None
            return
        anchor = self.anchors.get(name)
        if anchor is None:
            self._unknown_anchor(name, place)
        elif anchor.node is None:
            related = (Related("the anchor begins here", anchor.place),)
            message = f"the alias '*{name}' stands inside its own anchor"
            self._problem("GD113", message, place, related=related)
        if anchor is None or anchor.node is None:
            self._add(Scalar(None, place), 1, 0)
            return
        self._count(anchor.weight, place)
        if len(self.stack) + anchor.height > MAX_DEPTH:
            self._deep(place)
        self._add(anchor.node, anchor.weight, anchor.height)

    def _unknown_anchor(self, name: str, place: Place) -> None:
        near = nearest(name, self.anchors) if len(self.problems) < MAX_SUGGESTIONS else []
        label = did_you_mean([f"*{anchor}" for anchor in near])
        advice = f"write '&{name}' before the value meant, or put text that begins with '*' in quotes"
        self._problem("GD112", f"no anchor '&{name}' comes before this alias", place, advice, label=label)

    def _add(self, node: Node, weight: int, height: int) -> None:
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        top.weight += weight
        top.height = max(top.height, height + 1)
        if not top.is_map:
            top.items.append(node)
            return
        if top.key is not None and top.key_place is not None:
            top.entries[top.key] = Entry(top.key_place, node)
        top.awaiting, top.key = False, None

    def _at_key(self) -> bool:
        return bool(self.stack) and self.stack[-1].is_map and not self.stack[-1].awaiting

    def _span(self, event: Any) -> tuple[int, int]:
        """The indices of a node's own text, without its anchor and tag; a tag is an error."""
        text = self.source.text
        start, end = self.events.index(event.start_mark), self.events.index(event.end_mark)
        if event.anchor or event.tag:
            found = _PROPERTIES.match(text, start)
            own = start if found is None else found.end()
            tag = _TAG.search(text, start, own) if event.tag else None
            if tag is not None:
                message = f"a spec has no YAML tags, this is '{_short(tag.group())}'"
                advice = "remove it; a string is written in quotes, a float with a point"
                self._problem("GD110", message, self.source.place(tag.start(), tag.end()), advice)
            start = own if isinstance(event, ev.CollectionStartEvent) else min(own, end)
        while end > start and text[end - 1] in " \t\r\n":
            end -= 1
        return start, end

    def _count(self, weight: int, place: Place) -> None:
        self.nodes += weight
        if self.nodes > MAX_NODES:
            advice = "an alias counts as all that its anchor holds"
            self._problem("GD117", f"more than {MAX_NODES} keys and values", place, advice)
            raise _Stop

    def _deep(self, place: Place) -> None:
        self._problem("GD116", f"more than {MAX_DEPTH} lists and maps inside each other", place)
        raise _Stop

    def _problem(
        self,
        code: str,
        message: str,
        place: Place,
        help: str = "",
        *,
        label: str = "",
        related: tuple[Related, ...] = (),
    ) -> None:
        self.problems.append(Diagnostic(code, message, place, help=help, label=label, related=related))


def _kind(value: object) -> str:
    if value is None:
        return "null"
    return "true or false" if isinstance(value, bool) else "a number"


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
