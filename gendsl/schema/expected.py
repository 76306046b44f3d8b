"""What a value has to be, in words, read off a field's annotation: "a whole number of 1 or more"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BeforeValidator, StringConstraints

from gendsl.schema.fields import Name, Words
from gendsl.schema.registry import KINDS
from gendsl.schema.walk import Type, fields, unwrap

NAME = "a name (a letter or '_', then letters, digits and '_')"
_NAME = unwrap(Name)


def expected(wanted: Type) -> str:
    """The words for a type: "a number above 0", "one of static, dynamic", "a list of whole numbers"."""
    bare = wanted.bare
    if wanted.slot is not None:
        noun = KINDS[wanted.slot.kind]
        return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}: its name, or a map with `type`"
    if wanted.branches:
        numbers = all(branch.bare in (int, float) for branch in wanted.branches)
        words = dict.fromkeys(_branch(branch) for branch in wanted.branches)
        return "a number" if numbers else " or ".join(words)
    if get_origin(bare) is Literal:
        return choices(options(wanted))
    return _list(wanted) if get_origin(bare) is tuple else _plain(wanted)


def _plain(wanted: Type) -> str:
    if wanted.bare is bool:
        return "true or false"
    if wanted.bare in (int, float):
        return ("a whole number" if wanted.bare is int else "a number") + _range(wanted)
    return _text(wanted) if wanted.bare is str else "a map"


def options(wanted: Type) -> list[str]:
    """The words that a Literal allows, of a union's branches too."""
    found = [str(value) for value in get_args(wanted.bare)] if get_origin(wanted.bare) is Literal else []
    for branch in wanted.branches:
        found += options(branch)
    return found


def choices(names: list[str]) -> str:
    """ "auto", or "one of learned, shared"."""
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}"


def shown(value: Any) -> str:
    """A value as a message quotes it."""
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list | tuple):
        text = f"[{', '.join(shown(item) for item in value)}]"
        return "a list" if len(text) > 40 or any(isinstance(item, list | dict) for item in value) else text
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if isinstance(value, str):
        return repr(text if len(text) <= 40 else text[:37] + "...")
    return text


def _branch(branch: Type) -> str:
    names = options(branch)
    if names:
        return ", ".join(names)
    if branch.model is not None:
        return f"a map {{{', '.join(f'{key}: ...' for key in fields(branch.model))}}}"
    return expected(branch)


def _text(wanted: Type) -> str:
    for each in wanted.metadata:
        if isinstance(each, Words):
            return each.text
        if isinstance(each, StringConstraints) and each in _NAME.metadata:
            return NAME
    if any(getattr(each, "max_length", None) == 1 for each in wanted.metadata):
        return "one character"
    return "text"


def _list(wanted: Type) -> str:
    parts = get_args(wanted.bare)
    item = wanted.items[0] if wanted.items else Type(str)
    many = _plural(item)
    if Ellipsis not in parts:
        return f"a list of {len(parts)} {many}"
    if any(isinstance(each, BeforeValidator) for each in wanted.metadata):
        return "a name or a list of names"
    return f"a list of {many}"


def _plural(item: Type) -> str:
    if item.slot is not None:
        noun = KINDS[item.slot.kind]
        return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    if item.bare in (int, float):
        return ("whole numbers" if item.bare is int else "numbers") + _range(item)
    return "names" if item.bare is str else "maps"


def _range(wanted: Type) -> str:
    """Bounds as words: " of 1 or more", " above 0", " from 0 to 1"."""
    bounds = dict(_bounds(wanted.metadata))
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    words = ""
    if low is not None and (high is None or abs(high) >= 2**31 - 1):
        words = f" of {low:g} or more" if "ge" in bounds else f" above {low:g}"
    elif low is not None and high is not None:
        first = f"of {low:g} or more" if "ge" in bounds else f"above {low:g}"
        last = f"at most {high:g}" if "le" in bounds else f"below {high:g}"
        words = f" {first} and {last}"
    elif high is not None:
        words = f" of at most {high:g}" if "le" in bounds else f" below {high:g}"
    return words + (f", a multiple of {bounds['multiple_of']:g}" if "multiple_of" in bounds else "")


def _bounds(metadata: tuple[Any, ...]) -> Iterator[tuple[str, float]]:
    for each in metadata:
        for name in ("ge", "gt", "le", "lt", "multiple_of"):
            value = getattr(each, name, None)
            if isinstance(value, int | float):
                yield name, value
