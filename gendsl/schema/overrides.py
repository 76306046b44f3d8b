"""`--set a.b[0].c=VALUE` and `--unset a.b`: changes to a document, each with its place in the option's text.

The texts of the options are a file of their own, `<--set>`, one option on a line, so that a message about a
value that was set points into it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gendsl.errors import Diagnostic, Place, SpecError
from gendsl.schema.merge import expand
from gendsl.schema.nodes import Entry, Map, Node, Path, Scalar, Seq
from gendsl.schema.source import Source, decode
from gendsl.schema.suggest import did_you_mean, listing, nearest
from gendsl.schema.text import MAX_DEPTH, read_node

SET_FILE = "<--set>"
UNSET_FILE = "<--unset>"

_ELEMENT = re.compile(r"\.?([^.\[\]=\s]+)|\[([0-9]{1,9})\]")


@dataclass(frozen=True)
class Step:
    """One element of a path with its place in the option."""

    element: str | int
    place: Place


@dataclass(frozen=True)
class Setting:
    """A path with the value to put there; no value means: remove what is there."""

    steps: tuple[Step, ...]
    value: Node | None


def parse_sets(options: Sequence[str]) -> tuple[tuple[Setting, ...], Source]:
    """The settings of the `--set` options, VALUE read by the loader as a value on one line.

    Raises SpecError with every problem: GD137 for an option that is not PATH=VALUE, and those of
    `text.read_node`.
    """
    return _parse(options, SET_FILE)


def parse_unsets(options: Sequence[str]) -> tuple[tuple[Setting, ...], Source]:
    """The settings of the `--unset` options. Raises SpecError (GD137) for what is not a path."""
    return _parse(options, UNSET_FILE)


def _parse(options: Sequence[str], file: str) -> tuple[tuple[Setting, ...], Source]:
    source = decode("\n".join(options), file)
    problems: list[Diagnostic] = []
    settings: list[Setting] = []
    begin = 0
    for option in options:
        try:
            settings.append(_setting(source, begin, begin + len(option)))
        except SpecError as error:
            problems += error.diagnostics
        begin += len(option) + 1
    if problems:
        raise SpecError(problems, {file: source.text})
    return tuple(settings), source


def _setting(source: Source, begin: int, end: int) -> Setting:
    if source.file == UNSET_FILE:
        return Setting(_steps(source, begin, end), None)
    equals = source.text.find("=", begin, end)
    if equals < 0 or not source.text[equals + 1 : end].strip():
        advice = "write PATH=VALUE, as in train.optim.lr=0.001; --unset PATH removes a key"
        message = "an option without a value" if equals >= 0 else "an option without '='"
        raise SpecError([Diagnostic("GD137", message, source.place(begin, end), help=advice)])
    steps = _steps(source, begin, equals)
    return Setting(steps, read_node(source, equals + 1, end, flow=True))


def _steps(source: Source, begin: int, end: int) -> tuple[Step, ...]:
    steps: list[Step] = []
    at = begin
    while at < end:
        found = _ELEMENT.match(source.text, at, end)
        if found is None or (at == begin) != (source.text[at] not in ".[") or len(steps) == MAX_DEPTH:
            break
        group = 1 if found.group(1) is not None else 2
        element = found.group(1) if group == 1 else int(found.group(2))
        steps.append(Step(element, source.place(found.start(group), found.end(group))))
        at = found.end()
    if at < end or not steps:
        advice = f"a path is written a.b[0].c, of at most {MAX_DEPTH} parts"
        place = source.point(at) if at < end else source.place(begin, end)
        raise SpecError([Diagnostic("GD137", "this is not a path", place, help=advice)])
    return tuple(steps)


def apply(root: Map, settings: Sequence[Setting]) -> Map:
    """The root with the settings applied in turn.

    Raises SpecError with every problem, at its place in the option: GD138 a path that leads through a scalar
    or past the end of a list, GD139 nothing to remove.
    """
    problems: list[Diagnostic] = []
    for setting in settings:
        try:
            _allowed(setting.steps[0])
            changed = _put(root, setting, 0)
        except SpecError as error:
            problems += error.diagnostics
            continue
        assert isinstance(changed, Map)
        root = changed
    if problems:
        raise SpecError(problems)
    return root


def _allowed(first: Step) -> None:
    if first.element in ("extends", "gendsl"):
        message = f"'{first.element}' cannot be set or removed by an option"
        raise SpecError([Diagnostic("GD138", message, first.place, help="write it in the spec itself")])


def _put(node: Node | None, setting: Setting, depth: int) -> Node:
    """The node with what the rest of the path names replaced; None is a node that is not there yet."""
    step = setting.steps[depth]
    last = depth + 1 == len(setting.steps)
    path: Path = tuple(s.element for s in setting.steps[:depth])
    if isinstance(node, Scalar) and isinstance(step.element, str):
        node = None if node.value is None and setting.value is not None else expand(node, path) or node
    if isinstance(step.element, int):
        return _put_item(node, setting, depth, step.element)
    if node is None and setting.value is not None:
        node = Map({}, step.place)
    if not isinstance(node, Map):
        raise _wrong_holder(node, step, path)
    entries = dict(node.entries)
    old = entries.get(step.element)
    if setting.value is None and old is None:
        label = did_you_mean(nearest(step.element, entries))
        advice = f"keys here: {listing(entries)}" if entries else "there are no keys here"
        raise SpecError(
            [Diagnostic("GD139", f"no key '{step.element}' to remove", step.place, label=label, help=advice)]
        )
    if last and setting.value is None:
        del entries[step.element]
    else:
        new = setting.value if last else _put(old.node if old else None, setting, depth + 1)
        assert new is not None
        entries[step.element] = Entry(old.key if old else step.place, new)
    return Map(entries, node.place)


def _put_item(node: Node | None, setting: Setting, depth: int, index: int) -> Node:
    step = setting.steps[depth]
    if not isinstance(node, Seq):
        raise _wrong_holder(node, step, tuple(s.element for s in setting.steps[:depth]))
    items = list(node.items)
    if index >= len(items):
        size = f"the list has {len(items)} item{'s' if len(items) != 1 else ''}"
        advice = f"{size}, counted from 0; set the whole list to add one"
        raise SpecError([Diagnostic("GD138", f"no item {index}", step.place, help=advice)])
    if depth + 1 < len(setting.steps):
        items[index] = _put(items[index], setting, depth + 1)
    elif setting.value is None:
        del items[index]
    else:
        items[index] = setting.value
    return Seq(tuple(items), node.place)


def _wrong_holder(node: Node | None, step: Step, path: Path) -> SpecError:
    """A key where there is no map, or an index where there is no list."""
    kind = "list" if isinstance(step.element, int) else "map"
    found = "a list" if isinstance(node, Seq) else "a map" if isinstance(node, Map) else "a single value"
    where = path_text(path)
    message = f"'{where}' is {found}, not a {kind}" if node is not None else f"'{where}' is not there"
    advice = f"{where}[0] names an item of a list, {where}.key a key of a map"
    return SpecError([Diagnostic("GD138", message, step.place, help=advice)])


def path_text(path: Path) -> str:
    """A path as it is written in options: `encoder.z.flow[0].type`."""
    parts = [f"[{element}]" if isinstance(element, int) else f".{element}" for element in path]
    return "".join(parts).removeprefix(".")
