"""Pydantic's errors -> diagnostics with places (GD201-GD205, GD210-GD213), one for each mistake.

One mistake makes several errors: every branch of a union complains, a misspelt key is unknown and the right
one missing, the parameters of an unknown distribution are unknown too. Only the mistake itself is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gendsl.errors import Diagnostic
from gendsl.schema.nodes import Map, Path, Scalar, Seq, locate
from gendsl.schema.registry import table
from gendsl.schema.spec import Spec
from gendsl.schema.suggest import did_you_mean, listing, nearest
from gendsl.schema.unknown import Advice, dotted, gathered, unknown_key, unknown_tag
from gendsl.schema.walk import Spot, Type, fields, tag_of, walk
from gendsl.schema.wrong import (
    OUT_OF_RANGE,
    code_of,
    missing,
    value_of,
    wrong_name,
    wrong_together,
    wrong_value,
)

NAMED_SECTIONS = frozenset(
    (
        "variables",
        "prior",
        "decoder",
        "flow",
        "energy",
        "ordering",
        "corruption",
        "encoder",
        "adversary",
        "nets",
    )
)
"""Sections whose keys are names that the user chooses."""

VALUES = (
    "int",
    "float",
    "string",
    "bool",
    "tuple",
    "list",
    "dict",
    "model",
    "literal",
    "wrong_kind",
    "is_instance",
)
"""Beginnings of the types of pydantic's errors that speak of one value, as those out of range do; all others speak of a
whole map.
"""


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


# -- one mistake, several errors ---------------------------------------------------------------------------


def _without_branches(details: list[ErrorDetails], root: Map) -> list[ErrorDetails]:
    """For each union one complaint: of the branch that the text chose, or the first for the whole."""
    kept: list[ErrorDetails] = []
    met: set[Path] = set()
    for detail in details:
        spot = walk(_plain_loc(detail), root)[-1]
        union, branch = spot.union, spot.branch
        if detail["type"] == "too_short" and value_of(spot):
            continue  # its items are wrong, and say so themselves
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
    for branch in union.expects.branches:
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
        return one.kind == "extra_forbidden" and (one.meant == other.key or not one.diagnostic.label)
    return other.kind == "extra_forbidden" and _unnamed(one, other)


def _unnamed(one: Finding, other: Finding) -> bool:
    """Whether a key is unknown only because the component that it may belong to is not known."""
    model, written = one.holder.model, one.holder.node
    part = gathered(model) if model is not None else None
    if model is None or part is None or other.meant in fields(model):
        return False
    if isinstance(written, Map) and part[0] not in written.entries:
        parameter = any(other.key in fields(component) for component in table(part[1]).values())
        return part[0] in (one.key, one.meant) and (parameter or one.kind != "missing")
    return one.key == part[0]


def _section_inside(finding: Finding) -> Path | None:
    """The path of a section that was written inside another one, where that is what is wrong."""
    path = (*finding.holder.path, finding.key) if finding.key else finding.holder.path
    inside = len(path) >= 2 and path[0] in NAMED_SECTIONS and path[1] in fields(Spec)
    return path[:2] if inside else None


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


# -- one error ---------------------------------------------------------------------------------------------


def _plain_loc(detail: ErrorDetails) -> Path:
    return tuple(element for element in detail["loc"] if element != "[key]")


def _finding(detail: ErrorDetails, root: Map) -> Finding:
    loc, kind = _plain_loc(detail), detail["type"]
    way = walk(loc, root)
    spot, holder = way[-1], way[-2] if len(way) > 1 else way[-1]
    key = str(loc[-1]) if loc else ""
    if kind == "extra_forbidden":
        advice = unknown_key(key, holder)
        return Finding(_advised(advice, root, spot.path, "key"), kind, holder, key, advice.meant)
    if kind == "missing" and isinstance(loc[-1], str):
        flat = isinstance(holder.node, Scalar) and len(way) > 2
        return Finding(missing(key, holder, root), kind, way[-3] if flat else holder, key)
    if kind in ("unknown_tag", "tag_missing"):
        return Finding(_component(detail, spot, root), kind, holder, str(spot.path[-1]))
    if "[key]" in detail["loc"]:
        return Finding(wrong_name(spot, holder, root), "name", holder, key)
    return Finding(_value(detail, spot, holder, root), kind, holder, key)


def _value(detail: ErrorDetails, spot: Spot, holder: Spot, root: Map) -> Diagnostic:
    """A wrong value, or a map whose values do not go together."""
    kind = detail["type"]
    if kind == "missing":
        return wrong_value(holder, "GD204", root)
    if kind == "both_forms":
        slot, key = detail["ctx"]["slot"], detail["ctx"]["key"]
        help_ = f"write it inside `{slot}`, or write `{slot}` as a bare name"
        return Diagnostic("GD205", detail["msg"], locate(root, (*spot.path, key), "key"), help=help_)
    if kind != "slot_type" and not kind.startswith((*VALUES, *OUT_OF_RANGE)):
        return wrong_together(detail["msg"].removeprefix("Value error, "), spot, root)
    if spot.union is not None and _chosen(spot.union) is None:
        spot = spot.union
    return wrong_value(spot, code_of(kind, spot), root)


def _component(detail: ErrorDetails, spot: Spot, root: Map) -> Diagnostic:
    """A component of an unknown name, or without one."""
    kind = detail["ctx"]["kind"]
    if detail["type"] == "unknown_tag":
        path = (*spot.path, "type") if isinstance(spot.node, Map) else spot.path
        return _advised(unknown_tag(kind, detail["ctx"]["tag"]), root, path)
    listed = f"known here: {listing(list(table(kind)), 40)}   (gendsl components {kind})"
    entries = spot.node.entries if isinstance(spot.node, Map) else {}
    for name, entry in entries.items():
        path = (*spot.path, name)
        at = locate(root, path, "key")
        if name in table(kind):
            return Diagnostic("GD212", detail["msg"], at, label=f"write {{type: {name}, ...}}", help=listed)
        type_meant = bool(nearest(name, ["type"]))
        if len(entries) == 1 and not type_meant and (kind == "step" or nearest(name, table(kind))):
            return _advised(unknown_tag(kind, name), root, path, "key")
        if type_meant or tag_of(kind, entry.node) in table(kind):
            message = f"unknown key {name!r} in {dotted(spot.path)}"
            return Diagnostic("GD201", message, at, label=did_you_mean(["type"]), help=listed)
    return Diagnostic("GD212", detail["msg"], locate(root, spot.path, "key"), help=listed)


def _advised(advice: Advice, root: Map, path: Path, on: str = "value") -> Diagnostic:
    return Diagnostic(
        advice.code, advice.message, locate(root, path, on), help=advice.help, label=advice.label
    )
