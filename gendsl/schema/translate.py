"""Pydantic's errors -> diagnostics with places (GD201-GD205, GD210-GD213), one for each mistake.

One mistake makes several errors: every branch of a union complains, a misspelt key is unknown and the right one
missing, the parameters of an unknown distribution are unknown too. Only the mistake itself is reported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gendsl.errors import Diagnostic, Related
from gendsl.schema.expected import NAME, choices, expected, options, shown
from gendsl.schema.nodes import Map, Path, Scalar, Seq, locate, plain
from gendsl.schema.registry import KINDS, table
from gendsl.schema.spec import Spec
from gendsl.schema.suggest import did_you_mean, listing, nearest
from gendsl.schema.unknown import Advice, dotted, gathered, later_value, unknown_key, unknown_tag
from gendsl.schema.walk import Spot, Type, fields, tag_of, type_of, walk

RANGES = ("greater_than", "less_than", "too_short", "too_long", "multiple_of", "finite_number", "string_too")
"""Beginnings of the types of pydantic's errors that speak of a value of the right type."""

NAMED_SECTIONS = frozenset(
    "variables prior decoder flow energy ordering corruption encoder adversary nets".split()
)
"""Sections whose keys are names that the user chooses."""


@dataclass(frozen=True)
class Finding:
    """A diagnostic with what decides whether another one explains it: the map it speaks of, and the key."""

    diagnostic: Diagnostic
    kind: str
    holder: Spot
    key: str = ""
    meant: str = ""


def diagnostics(error: ValidationError, root: Map) -> list[Diagnostic]:
    """One diagnostic for each mistake, in the order of the text."""
    found = [_finding(detail, root) for detail in _without_branches(error.errors(include_url=False), root)]
    found = [*_nested_sections(found, root), *(f for f in found if _section_inside(f) is None)]
    kept = [f.diagnostic for f in found if not any(_explains(other, f) for other in found if other is not f)]
    return sorted(dict.fromkeys(kept), key=_order)


def _order(diagnostic: Diagnostic) -> tuple[str, int, int]:
    at = diagnostic.place
    return (at.file, at.start.line, at.start.column) if at is not None else ("", 0, 0)


# -- one mistake, several errors ----------------------------------------------------------------------------------


def _without_branches(details: list[ErrorDetails], root: Map) -> list[ErrorDetails]:
    """For each union its one complaint: of the branch that the text chose, or the first branch's for the whole."""
    kept: list[ErrorDetails] = []
    met: set[Path] = set()
    for detail in details:
        spot = walk(_plain_loc(detail), root)[-1]
        if detail["type"] == "too_short" and plain(spot.node or Map()):
            continue  # its items are wrong, and say so themselves
        union, branch = spot.union, spot.branch
        if union is None or branch is None:
            kept.append(detail)
        elif _chosen(union) is not None:
            if branch == _chosen(union):
                kept.append(detail)
        elif union.path not in met:
            met.add(union.path)
            kept.append(detail)
    return kept


def _chosen(union: Spot) -> Type | None:
    """The branch of a union that a map or a list is meant for."""
    for branch in union.type.branches:
        if isinstance(union.node, Map) and branch.model is not None:
            return branch
        if isinstance(union.node, Seq) and get_origin(branch.bare) is tuple:
            return branch
    return None


def _explains(one: Finding, other: Finding) -> bool:
    """Whether the one mistake is the reason of the other finding, in the same map."""
    if one.kind == "name":
        return (*one.holder.path, one.key) == (*other.holder.path, other.key)[: len(one.holder.path) + 1]
    if one.holder.path != other.holder.path or one.key == other.key:
        return False
    if one.diagnostic.code == other.diagnostic.code == "GD211":
        return one.kind == "literal_error" and other.kind != "literal_error"
    if other.kind == "missing":
        return one.kind == "extra_forbidden" and one.meant == other.key
    if other.kind != "extra_forbidden" or one.holder.model is None:
        return False
    part, written = gathered(one.holder.model), one.holder.node
    if part is None or other.meant in fields(one.holder.model):
        return False
    unnamed = isinstance(written, Map) and part[0] not in written.entries
    return one.key == part[0] or (unnamed and one.meant == part[0])


def _section_inside(finding: Finding) -> Path | None:
    """The path of a section that was written inside another one, where that is what is wrong."""
    path = (*finding.holder.path, finding.key) if finding.key else finding.holder.path
    if len(path) >= 2 and path[0] in NAMED_SECTIONS and path[1] in fields(Spec):
        return path[:2]
    return None


def _nested_sections(found: list[Finding], root: Map) -> list[Finding]:
    inside = dict.fromkeys(path for f in found if (path := _section_inside(f)) is not None)
    return [
        Finding(
            Diagnostic(
                "GD201",
                f"the section {path[1]!r} stands inside {path[0]!r}",
                locate(root, path, "key"),
                label="write it at the left margin",
            ),
            "section",
            Spot(Type(None), None, path),
        )
        for path in inside
    ]


# -- one error --------------------------------------------------------------------------------------------------------


def _plain_loc(detail: ErrorDetails) -> Path:
    return tuple(e for e in detail["loc"] if e != "[key]")


def _finding(detail: ErrorDetails, root: Map) -> Finding:
    loc, kind = _plain_loc(detail), detail["type"]
    way = walk(loc, root)
    spot, holder = way[-1], way[-2] if len(way) > 1 else way[-1]
    if kind == "extra_forbidden":
        key = str(loc[-1])
        advice = unknown_key(key, holder)
        return Finding(_advised(advice, root, spot.path, "key"), kind, holder, key, advice.meant)
    if kind == "missing" and isinstance(loc[-1], str):
        return Finding(_missing(loc[-1], holder, root), kind, holder, loc[-1])
    if kind == "missing":
        return Finding(_wrong(holder, "GD204", root), kind, holder)
    if kind in ("unknown_tag", "tag_missing", "slot_type"):
        return _component(detail, spot, holder, root)
    if kind == "both_forms":
        context = detail["ctx"]
        help_ = f"write it inside `{context['slot']}`, or write `{context['slot']}` as a bare name"
        at = locate(root, (*spot.path, context["key"]), "key")
        return Finding(Diagnostic("GD205", detail["msg"], at, help=help_), kind, spot)
    if "[key]" in detail["loc"]:
        return Finding(_name(spot, holder, root), "name", holder, str(loc[-1]))
    if kind == "value_error" or kind not in _TYPES and not kind.startswith(RANGES):
        return Finding(_model(detail["msg"].removeprefix("Value error, "), spot, root), kind, holder)
    if spot.union is not None and _chosen(spot.union) is None:
        spot = spot.union
    return Finding(_wrong(spot, _code(kind, spot), root), kind, holder, str(loc[-1]) if loc else "")


_TYPES = frozenset(
    "int_type int_from_float float_type string_type bool_type tuple_type list_type dict_type model_type "
    "literal_error string_pattern_mismatch wrong_kind is_instance_of".split()
)


def _code(kind: str, spot: Spot) -> str:
    """GD204 for a value of the right type that is not possible, GD203 for one of another type."""
    value = plain(spot.node) if spot.node is not None else None
    if kind == "string_pattern_mismatch" or kind.startswith(RANGES):
        return "GD204"
    if isinstance(value, str) and options(spot.type):
        return "GD204"
    if isinstance(value, int) and not isinstance(value, bool) and get_origin(spot.type.bare) is Literal:
        return "GD204" if options(spot.type)[0].isdigit() else "GD203"
    numbers = [b for b in spot.type.branches if b.bare in (int, float)]
    if numbers and isinstance(value, int | float) and not isinstance(value, bool):
        return "GD203" if isinstance(value, float) and all(b.bare is int for b in numbers) else "GD204"
    return "GD203"


def _wrong(spot: Spot, code: str, root: Map) -> Diagnostic:
    """A value that is not what its key takes."""
    value = plain(spot.node) if spot.node is not None else None
    if later_value(str(spot.path[-1]) if spot.path else "", value):
        message = f"{value!r} is part of the language but not built yet in this version"
        return Diagnostic("GD211", message, locate(root, spot.path), help=f"known here: {', '.join(options(spot.type))}")
    words = expected(spot.type)
    name = f"`{dotted(spot.path)}`"
    label = did_you_mean(nearest(value, options(spot.type))) if isinstance(value, str) else ""
    empty = value in ([], {}) and (words.startswith("a list") or words in ("a map", "a name or a list of names"))
    message = f"{name} must not be empty" if empty else f"{name} must be {words}, not {shown(value)}"
    return Diagnostic(code, message, locate(root, spot.path), label=label or _rewritten(spot), help=_advice(spot))


def _rewritten(spot: Spot) -> str:
    """The way to write what was probably meant, where it is plain."""
    node, model = spot.node, spot.type.model
    if get_origin(spot.type.bare) is tuple and isinstance(node, Scalar) and _is_item(node.value, spot.type.items[0]):
        return f"write [{node.value}]"
    if isinstance(node, Map) and get_origin(spot.type.bare) is tuple and spot.type.items[0].slot is not None:
        return "write a list: [{...}]"
    part = gathered(model) if model is not None else None
    if part is not None and isinstance(node, Scalar) and node.value in table(part[1]):
        return f"write {{{part[0]}: {node.value}}}"
    number = _number(node.value) if isinstance(node, Scalar) and isinstance(node.value, str) else None
    if number is not None and get_origin(spot.type.bare) is tuple and _takes_numbers(spot.type.items[0]):
        return f"write [{number}]"
    if number is not None and _takes_numbers(spot.type):
        return f"write {number} without quotes"
    return ""


def _is_item(value: object, item: Type) -> bool:
    """Whether a single value is what a list could hold."""
    if item.slot is not None:
        return isinstance(value, str) and value in table(item.slot.kind)
    return type(value) is item.bare or (type(value) is int and item.bare is float)


def _number(text: str) -> str | None:
    return text if re.fullmatch(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?", text) else None


def _takes_numbers(wanted: Type) -> bool:
    return wanted.bare in (int, float) or any(_takes_numbers(branch) for branch in wanted.branches)


def _advice(spot: Spot) -> str:
    if spot.type.model is not None and spot.model is not None:
        return f"its keys: {listing(list(fields(spot.model)), 40)}"
    return ""


def _name(spot: Spot, holder: Spot, root: Map) -> Diagnostic:
    """A key that is the user's to choose, and cannot be."""
    key = str(spot.path[-1])
    at = locate(root, spot.path, "key")
    allowed = [str(v) for v in get_args(get_args(holder.type.bare)[0])]
    if get_origin(get_args(holder.type.bare)[0]) is not None and allowed and "str" not in allowed[0]:
        message = f"{key!r} must be {choices(allowed)}"
        return Diagnostic("GD201", message, at, label=did_you_mean(nearest(key, allowed)))
    return Diagnostic("GD204", f"{shown(key)} must be {NAME}", at)


def _model(message: str, spot: Spot, root: Map) -> Diagnostic:
    """A rule between several keys of one map: at the last of those that the message names."""
    holder = spot.node if isinstance(spot.node, Map) else spot.beside
    base = spot.path if isinstance(spot.node, Map) else spot.path[:-1]
    written = holder.entries if holder is not None else {}
    named = [key for key in dict.fromkeys(re.findall(r"\w+", message)) if key in written]
    named.sort(key=list(written).index)
    if not named:
        return Diagnostic("GD204", message, locate(root, spot.path, "key"))
    related = tuple(Related(f"`{key}` is here", locate(root, (*base, key), "key")) for key in named[:-1])
    return Diagnostic("GD204", message, locate(root, (*base, named[-1]), "key"), related=related)


def _missing(key: str, holder: Spot, root: Map) -> Diagnostic:
    """A key without a default: reported under the key that encloses it."""
    what = dotted(holder.path) or "the spec"
    if holder.type.slot is not None and isinstance(holder.node, Scalar):
        what = f"the {KINDS[holder.type.slot.kind]} {holder.node.value!r}"
    wanted = type_of(fields(holder.model)[key]) if holder.model is not None else Type(None)
    help_ = f"`{key}` is {expected(wanted)}" if wanted.bare is not str else ""
    if wanted.slot is not None:
        help_ += f"; known: {listing(list(table(wanted.slot.kind)), 40)}"
    return Diagnostic("GD202", f"{what} needs `{key}`", locate(root, holder.path, "key"), help=help_)


# -- components ---------------------------------------------------------------------------------------------------------


def _component(detail: ErrorDetails, spot: Spot, holder: Spot, root: Map) -> Finding:
    kind = spot.type.slot.kind if spot.type.slot is not None else ""
    key = str(spot.path[-1])
    if detail["type"] == "slot_type" or not kind:
        return Finding(_wrong(spot, "GD203", root), "slot_type", holder, key)
    if detail["type"] == "unknown_tag":
        path = (*spot.path, "type") if isinstance(spot.node, Map) else spot.path
        return Finding(_advised(unknown_tag(kind, detail["ctx"]["tag"]), root, path), "unknown_tag", holder, key)
    listed = f"known here: {listing(list(table(kind)), 40)}   (gendsl components {kind})"
    entries = spot.node.entries if isinstance(spot.node, Map) else {}
    for name, entry in entries.items():
        if name in table(kind):
            label = f"write {{type: {name}, ...}}"
            at = locate(root, (*spot.path, name), "key")
            return Finding(Diagnostic("GD212", detail["msg"], at, label=label, help=listed), "tag_missing", holder, key)
        if len(entries) == 1 and (kind == "step" or (nearest(name, table(kind)) and not nearest(name, ["type"]))):
            advice = unknown_tag(kind, name)
            return Finding(_advised(advice, root, (*spot.path, name), "key"), "unknown_tag", holder, key)
        if nearest(name, ["type"]) or tag_of(kind, entry.node) in table(kind):
            label = did_you_mean(["type"])
            at = locate(root, (*spot.path, name), "key")
            message = f"unknown key {name!r} in {dotted(spot.path)}"
            return Finding(Diagnostic("GD201", message, at, label=label, help=listed), "tag_missing", holder, key)
    at = locate(root, spot.path, "key")
    return Finding(Diagnostic("GD212", detail["msg"], at, help=listed), "tag_missing", holder, key)


def _advised(advice: Advice, root: Map, path: Path, on: str = "value") -> Diagnostic:
    return Diagnostic(advice.code, advice.message, locate(root, path, on), help=advice.help, label=advice.label)
