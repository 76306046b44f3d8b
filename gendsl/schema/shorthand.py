"""Short forms of a section, read before its fields are: a component's parameters beside its name, one for a list."""

from typing import Any

from pydantic_core import PydanticCustomError

from gendsl.schema.registry import Component, Strict, find


def gather(owner: type[Strict], slot: str, value: Any, kind: str | None = None) -> Any:
    """Move the parameters of the component named by `slot` that are written flat into its nested form.

    `kind` is the slot's, where that is not its name. Of an owner that its component may stand for, the component
    alone is taken too. Raises a pydantic error where both forms are used at once.
    """
    kind = kind or slot
    if owner.bare == kind and isinstance(value, str | Component):
        return {slot: value}
    if not isinstance(value, dict) or slot not in value:
        return value
    named = value[slot]
    tag = named.get("type") if isinstance(named, dict) else named
    model = find(kind, tag) if isinstance(tag, str) else None
    if model is None:
        return value
    flat = {k: v for k, v in value.items() if k in model.model_fields and k not in owner.model_fields}
    if not flat:
        return value
    if isinstance(named, dict):
        key = next(iter(flat))
        raise PydanticCustomError(
            "both_forms",
            f"{key!r} stands beside a nested `{slot}: {{type: {tag}, ...}}`",
            {"key": key, "slot": slot},
        )
    rest = {k: v for k, v in value.items() if k not in flat}
    return {**rest, slot: {"type": tag, **flat}}


def listed(value: Any, key: str) -> Any:
    """`key` takes one component or a list of them: one becomes a list."""
    if isinstance(value, dict) and isinstance(value.get(key), str | dict | Component):
        return {**value, key: [value[key]]}
    return value
