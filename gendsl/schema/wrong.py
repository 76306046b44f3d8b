"""Messages for values: of the wrong type, out of range, missing; and names that cannot be names.

Each says what the key takes, what it was given, and, where that is plain, how to write what was meant.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

from gendsl.errors import Diagnostic, Related
from gendsl.schema.expected import NAME, choices, expected, options, shown
from gendsl.schema.nodes import Map, Path, Scalar, locate, plain
from gendsl.schema.registry import KINDS, table
from gendsl.schema.suggest import did_you_mean, listing, nearest
from gendsl.schema.unknown import dotted, gathered, later_value
from gendsl.schema.walk import Spot, Type, fields, type_of

OUT_OF_RANGE = ("greater_than", "less_than", "too_", "multiple_of", "finite_number", "string_")
"""Beginnings of the types of pydantic's errors that speak of a value of the right type."""


def value_of(spot: Spot) -> Any:
    """What the text says at a spot, None where it says nothing."""
    return plain(spot.node) if spot.node is not None else None


def code_of(kind: str, spot: Spot) -> str:
    """GD204 for a value of the right type that is not possible, GD203 for one of another type."""
    value, wanted = value_of(spot), spot.expects
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind.startswith(OUT_OF_RANGE) and kind != "string_type":
        right = True
    elif isinstance(value, str):
        right = bool(options(wanted))
    elif number and get_origin(wanted.bare) is Literal:
        right = options(wanted)[0].isdigit()
    else:
        takes = [branch.bare for branch in wanted.branches if branch.bare in (int, float)]
        right = number and bool(takes) and (float in takes or isinstance(value, int))
    return "GD204" if right else "GD203"


def wrong_value(spot: Spot, code: str, root: Map) -> Diagnostic:
    """A value that is not what its key takes."""
    value, words, at = value_of(spot), expected(spot.expects), locate(root, spot.path)
    if later_value(str(spot.path[-1]) if spot.path else "", value):
        message = f"{value!r} is part of the language but not built yet in this version"
        return Diagnostic("GD211", message, at, help=f"known here: {', '.join(options(spot.expects))}")
    name = f"`{dotted(spot.path)}`"
    message = f"{name} must be {words}, not {shown(value)}"
    if value in ([], {}) and (words.startswith("a list") or words in ("a map", "a name or a list of names")):
        message = f"{name} must not be empty"
    label = did_you_mean(nearest(value, options(spot.expects))) if isinstance(value, str) else ""
    model = spot.expects.model
    help_ = f"its keys: {listing(list(fields(model)), 40)}" if model is not None else ""
    return Diagnostic(code, message, at, label=label or rewritten(spot), help=help_)


SAID = MappingProxyType(
    {"yes": "true", "on": "true", "y": "true", "true": "true", "no": "false", "off": "false", "n": "false"}
)
"""Words that older YAML, or a quoted truth, has for true and false."""


def rewritten(spot: Spot) -> str:
    """The way to write what was probably meant, where it is plain."""
    items = spot.expects.items if get_origin(spot.expects.bare) is tuple else ()
    if isinstance(spot.node, Map):
        return "write a list: [{...}]" if items and items[0].slot is not None else ""
    value = spot.node.value if isinstance(spot.node, Scalar) else None
    part = gathered(spot.expects.model) if spot.expects.model is not None else None
    number = (
        value if isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?", value) else None
    )
    if items and (_is_item(value, items[0]) or (number is not None and _takes_numbers(items[0]))):
        return f"write [{value}]"
    if part is not None and value in table(part[1]):
        return f"write {{{part[0]}: {value}}}"
    if spot.expects.bare is bool and isinstance(value, str) and value.lower() in SAID:
        return f"write {SAID[value.lower()]}"
    return f"write {number} without quotes" if number is not None and _takes_numbers(spot.expects) else ""


def _is_item(value: object, item: Type) -> bool:
    """Whether a single value is what a list could hold."""
    if item.slot is not None:
        return isinstance(value, str) and value in table(item.slot.kind)
    return type(value) is item.bare or (type(value) is int and item.bare is float)


def _takes_numbers(wanted: Type) -> bool:
    return wanted.bare in (int, float) or any(_takes_numbers(branch) for branch in wanted.branches)


def wrong_name(spot: Spot, holder: Spot, root: Map) -> Diagnostic:
    """A key that is the user's to choose, and cannot be."""
    key = str(spot.path[-1])
    at = locate(root, spot.path, "key")
    names = get_args(holder.expects.bare)[0]
    if get_origin(names) is Literal:
        allowed = [str(name) for name in get_args(names)]
        label = did_you_mean(nearest(key, allowed))
        return Diagnostic("GD201", f"{key!r} must be {choices(allowed)}", at, label=label)
    return Diagnostic("GD204", f"{shown(key)} must be {NAME}", at)


def wrong_together(message: str, spot: Spot, root: Map) -> Diagnostic:
    """A rule between several keys of one map: at the last of those that the message names."""
    inside = isinstance(spot.node, Map)
    holder = spot.node if isinstance(spot.node, Map) else spot.beside
    base: Path = spot.path if inside else spot.path[:-1]
    written = holder.entries if holder is not None else {}
    spoken = re.findall(r"\w+", message)
    named = [key for key in written if key in spoken]
    if not named:
        return Diagnostic("GD204", message, locate(root, spot.path, "key"))
    related = tuple(Related(f"`{key}` is here", locate(root, (*base, key), "key")) for key in named[:-1])
    return Diagnostic("GD204", message, locate(root, (*base, named[-1]), "key"), related=related)


def missing(key: str, holder: Spot, root: Map) -> Diagnostic:
    """A key without a default: reported under the key that encloses it."""
    what = dotted(holder.path) or "the spec"
    if holder.expects.slot is not None and isinstance(holder.node, Scalar):
        what = f"the {KINDS[holder.expects.slot.kind]} {holder.node.value!r}"
    wanted = type_of(fields(holder.model)[key]) if holder.model is not None else Type(str)
    help_ = f"`{key}` is {expected(wanted)}" if wanted.bare is not str else ""
    if wanted.slot is not None:
        help_ += f"; known: {listing(list(table(wanted.slot.kind)), 40)}"
    return Diagnostic("GD202", f"{what} needs `{key}`", locate(root, holder.path, "key"), help=help_)
