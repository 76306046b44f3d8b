"""What a spec can name: every kind with its components, their first line of description, their parameters."""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticUndefined

from gendsl.schema.registry import KINDS, table


def listing(kind: str | None = None) -> dict[str, dict[str, str]]:
    """Kind -> tag -> the first sentence of its description."""
    kinds = [kind] if kind is not None else list(KINDS)
    found: dict[str, dict[str, str]] = {}
    for each in kinds:
        found[each] = {tag: (model.__doc__ or "").strip().split("\n")[0] for tag, model in table(each).items()}
    return found


def detail(kind: str, tag: str) -> dict[str, Any]:
    """One component: its description, its parameters with type, default and meaning. Raises KeyError."""
    model = table(kind)[tag]
    parameters = {}
    for name, field in model.model_fields.items():
        default = "required" if field.default is PydanticUndefined and field.default_factory is None else field.get_default(call_default_factory=True)
        shown = getattr(default, "tag", default)
        parameters[field.alias or name] = {
            "type": _words(field.annotation),
            "default": list(shown) if isinstance(shown, tuple) else shown,
            "description": field.description or "",
        }
    lines = [line.strip() for line in (model.__doc__ or "").strip().split("\n")]
    return {"kind": kind, "tag": tag, "description": "\n".join(lines), "parameters": parameters, "examples": list(model.examples)}


def _words(annotation: Any) -> str:
    text = str(annotation)
    for long in ("typing.", "gendsl.schema.components.", "<class '", "'>"):
        text = text.replace(long, "")
    return text.split("FieldInfo")[0] if "FieldInfo" not in text else "number or name"
