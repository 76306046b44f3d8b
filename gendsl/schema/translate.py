"""Pydantic's errors -> diagnostics with places, nearest names and the words of other libraries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gendsl.errors import Diagnostic, Place
from gendsl.schema.components.later import LATER, RESERVED
from gendsl.schema.foreign import FOREIGN
from gendsl.schema.nodes import Map, Path, locate, plain
from gendsl.schema.registry import KINDS, Slot, table
from gendsl.schema.spec import Spec
from gendsl.schema.suggest import did_you_mean, nearest

RANGE = ("greater", "less", "too_short", "too_long", "string_pattern", "multiple_of", "literal", "value_error", "finite")
"""Beginnings of the types of pydantic's errors that speak of a value of the right type."""


def diagnostics(error: ValidationError, root: Map) -> list[Diagnostic]:
    """One diagnostic for each place that is wrong, in the order of the text."""
    found: dict[tuple[Place | None, str], list[tuple[Diagnostic, bool]]] = {}
    for detail in error.errors(include_url=False):
        diagnostic = _one(detail, root)
        branch = _is_branch(detail["loc"], root)
        found.setdefault((diagnostic.place, diagnostic.code[:3]), []).append((diagnostic, branch))
    merged = [_merge(group) for group in found.values()]
    branches = [d.place for group in found.values() for d, branch in group if branch]
    kept = [d for d in merged if not _shadowed(d, merged, branches)]
    return sorted(kept, key=lambda d: (d.place.start.line, d.place.start.column) if d.place else (0, 0))


def _merge(group: list[tuple[Diagnostic, bool]]) -> Diagnostic:
    """Branches of a union all complain at one place: their expectations joined."""
    first = group[0][0]
    expected = list(dict.fromkeys(d.message for d, _ in group))
    if len(expected) == 1:
        return first
    wants = [m.split("expected ", 1)[1] for m in expected if "expected " in m]
    if len(wants) < 2:
        return first
    tail = wants[0].rsplit(", found", 1)
    found = f", found{tail[1]}" if len(tail) == 2 else ""
    words = [w.rsplit(", found", 1)[0] for w in wants]
    return Diagnostic("GD203", f"expected {' or '.join(words)}{found}", first.place, help=first.help, label=first.label)


def _shadowed(diagnostic: Diagnostic, others: list[Diagnostic], branches: list[Place | None]) -> bool:
    """Whether a union's complaint about a whole map is explained by a deeper complaint inside it."""
    place = diagnostic.place
    if place is None or place not in branches:
        return False
    for other in others:
        inner = other.place
        if inner is None or other is diagnostic or inner not in branches or inner.file != place.file:
            continue
        if inner.start > place.start and inner.start.line - place.start.line < 50 and diagnostic.code == "GD203":
            return True
    return False


def _is_branch(loc: tuple[str | int, ...], root: Map) -> bool:
    """Whether a loc names a branch of a union: an element that the text does not have, or pydantic's own label."""
    return any(isinstance(e, str) and ("[" in e or e in ("int", "float", "str", "bool", "constrained-float")) for e in loc) or (
        any(isinstance(e, str) and e[:1].isupper() for e in loc)
    )


def _one(detail: ErrorDetails, root: Map) -> Diagnostic:
    loc = tuple(e for e in detail["loc"] if e != "[key]")
    on_key = detail["loc"] != loc
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(loc, root)
    if kind == "missing":
        place = locate(root, loc[:-1], "key") if len(loc) > 1 else locate(root, (), "key")
        where = _dotted(loc[:-1], root)
        return Diagnostic(
            "GD202", f"{where or 'the spec'} needs `{loc[-1]}`", place, help=_needs(loc, root)
        )
    if kind in ("unknown_tag", "tag_missing"):
        return _tag(kind, context, detail, loc, root)
    place = locate(root, loc, "key" if on_key else "value")
    if kind == "both_forms":
        inner = (*loc, context["key"])
        return Diagnostic(
            "GD205",
            detail["msg"],
            locate(root, inner, "key"),
            help=f"write it inside `{context['slot']}`, or write `{context['slot']}` as a bare name",
        )
    if kind == "wrong_kind" or kind == "slot_type":
        return Diagnostic("GD203", detail["msg"], place)
    if kind.startswith(RANGE):
        return _range(kind, context, detail, place, loc, on_key)
    shown = _show(detail["input"])
    return Diagnostic("GD203", f"expected {_expected(kind, detail)}, found {shown}", place)


def _range(
    kind: str, context: Mapping[str, Any], detail: ErrorDetails, place: Place | None, loc: Path, on_key: bool
) -> Diagnostic:
    value = _show(detail["input"])
    name = loc[-1] if loc else "value"
    if kind == "literal_error":
        allowed = [w.strip().strip("'") for w in str(context.get("expected", "")).replace(" or ", ", ").split(",")]
        near = nearest(str(detail["input"]), allowed)
        code = "GD203" if not isinstance(detail["input"], str) else "GD204"
        return Diagnostic(code, f"expected {', '.join(allowed)}, found {value}", place, label=did_you_mean(near))
    if kind == "string_pattern_mismatch":
        what = "a name (a letter, then letters, digits and underscores)" if on_key else "another form"
        return Diagnostic("GD204", f"{value}: expected {what}", place)
    words = {
        "greater_than": f"{name} must be above {context.get('gt')}",
        "greater_than_equal": f"{name} must be {context.get('ge')} or more",
        "less_than": f"{name} must be below {context.get('lt')}",
        "less_than_equal": f"{name} must be {context.get('le')} or less",
        "too_short": f"{name} must not be empty",
        "too_long": f"{name} has too many entries",
        "finite_number": f"{name} must be finite",
    }.get(kind, detail["msg"].removeprefix("Value error, "))
    shown = "" if kind in ("too_short", "too_long", "value_error") else f", not {value}"
    return Diagnostic("GD204", f"{words}{shown}", place)


def _expected(kind: str, detail: ErrorDetails) -> str:
    for beginning, words in (
        ("int", "a whole number"),
        ("float", "a number"),
        ("string", "a word"),
        ("bool", "true or false"),
        ("list", "a list"),
        ("tuple", "a list"),
        ("dict", "a map"),
        ("model", "a map"),
    ):
        if kind.startswith(beginning):
            return words
    return detail["msg"].lower()


def _show(value: Any) -> str:
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return f"{text[:40]!r}" if isinstance(value, str) else text


def _dotted(loc: Path, root: Map) -> str:
    return "".join(f"[{e}]" if isinstance(e, int) else f".{e}" for e in loc if locate(root, (e,)) is not None).lstrip(".")


def _needs(loc: Path, root: Map) -> str:
    if loc[-1] == "dist":
        return "which distribution? e.g. dist: normal (gendsl components dist lists them)"
    return ""


# -- unknown names ----------------------------------------------------------------------------------------------------


def _tag(kind: str, context: Mapping[str, Any], detail: ErrorDetails, loc: Path, root: Map) -> Diagnostic:
    component = context["kind"]
    known = list(table(component))
    listing = f"known here: {', '.join(known)}   (gendsl components {component})"
    place = locate(root, (*loc, "type"), "value")
    if kind == "tag_missing":
        return Diagnostic("GD212", detail["msg"], locate(root, loc, "key"), help=listing)
    tag = context["tag"]
    if tag in RESERVED and tag not in known:
        return Diagnostic("GD213", f"{tag!r}: {RESERVED[tag]}", place)
    if tag in LATER.get(component, frozenset()):
        return Diagnostic(
            "GD211", f"the {KINDS[component]} {tag!r} is part of the language but not built yet in this version", place, help=listing
        )
    near = nearest(tag, known)
    foreign = FOREIGN.get(tag.lower())
    label = did_you_mean(near) if near else ""
    help_ = f"{foreign.advice}; {listing}" if foreign is not None and not near else listing
    return Diagnostic("GD210", detail["msg"], place, label=label, help=help_)


def _unknown_key(loc: Path, root: Map) -> Diagnostic:
    key = str(loc[-1])
    place = locate(root, loc, "key")
    known = list(_keys(loc[:-1], root))
    where = _dotted(loc[:-1], root)
    message = f"unknown key {key!r}" + (f" in {where}" if where else "")
    if key in RESERVED and key not in known:
        return Diagnostic("GD213", f"{key!r}: {RESERVED[key]}", place)
    if key in LATER["key"]:
        return Diagnostic("GD211", f"{key!r} is part of the language but not built yet in this version", place)
    near = nearest(key, known)
    foreign = FOREIGN.get(key.lower())
    elsewhere = [] if near else _elsewhere(key)
    if near:
        label, help_ = did_you_mean(near), ""
    elif elsewhere:
        label, help_ = f"belongs under {elsewhere[0]}:", ""
    elif foreign is not None:
        label, help_ = f"here it is {foreign.ours}", foreign.advice
    else:
        label, help_ = "", ""
    listing = f"known here: {', '.join(known)}" if known else ""
    return Diagnostic("GD201", message, place, label=label, help="; ".join(p for p in (help_, listing) if p))


def _elsewhere(key: str) -> list[str]:
    """Sections with a key of this name, the model's settings first."""
    found = []
    for name, field in Spec.model_fields.items():
        models = [m for m in _models(field.annotation, field.metadata) if m is not None]
        if any(key in _names(m) for m in models):
            found.append(field.alias or name)
    return found


def _names(model: type[BaseModel]) -> list[str]:
    return [f.alias or n for n, f in model.model_fields.items()]


def _models(annotation: Any, metadata: list[Any]) -> Iterator[type[BaseModel]]:
    """The spec models that an annotation leads to, through optionals, maps and lists (but not through slots)."""
    if any(isinstance(m, Slot) for m in metadata):
        return
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *extra = get_args(annotation)
        yield from _models(inner, extra)
    elif origin in (Union, UnionType, dict, tuple, list):
        for part in get_args(annotation):
            yield from _models(part, [])
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation


def _keys(path: Path, root: Map) -> Iterator[str]:
    """The keys that a map at this path may have: the walk follows the models, and slots by the tag in the text."""
    models: list[type[BaseModel]] = [Spec]
    value: Any = plain(root)
    annotation: Any = None
    metadata: list[Any] = []
    for element in path:
        next_value = value.get(element) if isinstance(value, dict) else None
        if isinstance(value, list) and isinstance(element, int) and element < len(value):
            next_value = value[element]
        if models and isinstance(element, str) and any(element in _names(m) for m in models):
            model = next(m for m in models if element in _names(m))
            field = next(f for n, f in model.model_fields.items() if (f.alias or n) == element)
            annotation, metadata = field.annotation, field.metadata
        slot = _slot(annotation, metadata)
        if slot is not None and not (isinstance(next_value, dict) and slot.kind == "ordering" and "type" not in next_value):
            tag = next_value.get("type") if isinstance(next_value, dict) else next_value
            found = table(slot.kind).get(tag) if isinstance(tag, str) else None
            models = [found] if found is not None else models
        elif annotation is not None:
            models = list(_models(annotation, metadata))
        value = next_value if next_value is not None else value
    for model in models:
        yield from _names(model)
        yield from _flat(model, value)


def _flat(model: type[BaseModel], value: Any) -> Iterator[str]:
    """The parameters of a factor's distribution may stand beside it."""
    slot, kind = ("dist", "dist") if "dist" in model.model_fields else ("source", "source")
    if slot not in model.model_fields or not isinstance(value, dict):
        return
    found = table(kind).get(value.get(slot)) if isinstance(value.get(slot), str) else None
    if found is not None:
        yield from (n for n in _names(found) if n not in _names(model))


def _slot(annotation: Any, metadata: list[Any]) -> Slot | None:
    for m in metadata:
        if isinstance(m, Slot):
            return m
    if get_origin(annotation) is Annotated:
        inner, *extra = get_args(annotation)
        return _slot(inner, extra)
    if get_origin(annotation) in (Union, UnionType, dict, tuple, list):
        for part in get_args(annotation):
            found = _slot(part, [])
            if found is not None:
                return found
    return None


