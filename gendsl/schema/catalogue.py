"""What a spec can name: every kind with its components, their first line of description, their parameters."""

from __future__ import annotations

import inspect
import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from gendsl.schema.registry import KINDS, Component, Slot, table

WORDS = {int: "integer", float: "number", bool: "true or false", str: "text"}
PARTS = ("Formula", "Shapes", "Offers", "Fails")
"""What a component says of itself beside its description; those that follow from its facts are `told` by it."""
BOUNDS = {Ge: (">=", "ge"), Gt: (">", "gt"), Le: ("<=", "le"), Lt: ("<", "lt")}


def listing(kind: str | None = None) -> dict[str, dict[str, str]]:
    """Kind -> tag -> the first sentence of its description."""
    kinds = [kind] if kind is not None else list(KINDS)
    found: dict[str, dict[str, str]] = {}
    for each in kinds:
        found[each] = {tag: _lines(model)[0] for tag, model in table(each).items()}
    return found


def detail(kind: str, tag: str) -> dict[str, Any]:
    """One component: what it says of itself, its parameters with type, default and meaning. Raises KeyError."""
    model = table(kind)[tag]
    description, said = parts(model)
    parameters = {}
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else field.get_default(call_default_factory=True)
        shown = getattr(default, "tag", default)
        parameters[field.alias or name] = {
            "type": words(field.annotation, field.metadata),
            "default": list(shown) if isinstance(shown, tuple) else shown,
            "description": field.description or "",
        }
    return {
        "kind": kind,
        "tag": tag,
        "description": "\n\n".join(description),
        **{word.lower(): text for word, text in (said | model.told()).items()},
        "parameters": parameters,
        "examples": list(model.examples),
    }


def parts(model: type[Component]) -> tuple[list[str], dict[str, str]]:
    """The paragraphs of a component's docstring, and those that open with one of PARTS, under that word."""
    description, said = [], {}
    for paragraph in inspect.cleandoc(model.__doc__ or "").split("\n\n"):
        word, colon, text = paragraph.partition(": ")
        if colon and word in PARTS:
            said[word] = " ".join(text.split())
        else:
            description.append(paragraph)
    return description, said


def words(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """What a field takes, in words: `integer >= 1`, `half, checkerboard or channel`, `list (number)`."""
    choices = _choices(annotation, metadata)
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"


def _choices(annotation: Any, metadata: Sequence[Any]) -> list[str]:
    marks = [m for each in metadata for m in (each.metadata if isinstance(each, FieldInfo) else [each])]
    origin, arguments = get_origin(annotation), get_args(annotation)
    slots = [KINDS[m.kind] for m in marks if isinstance(m, Slot)]
    if slots:
        return slots
    if origin is Annotated:
        return _choices(arguments[0], (*arguments[1:], *marks))
    if origin is Literal:
        return [str(a) for a in arguments]
    if origin in (Union, types.UnionType):
        return [choice for a in arguments if a is not type(None) for choice in _choices(a, marks)]
    if origin is tuple:
        return [f"list ({words(arguments[0])})"]
    known = [(m, *BOUNDS[type(m)]) for m in marks if type(m) in BOUNDS]
    bounds = " and ".join(f"{sign} {getattr(m, name):g}" for m, sign, name in known)
    return [f"{WORDS.get(annotation, 'map')} {bounds}".rstrip()]


def _lines(model: type[Component]) -> list[str]:
    return [line.strip() for line in (model.__doc__ or "").strip().split("\n")]
