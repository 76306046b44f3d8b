"""The JSON Schema (2020-12) of a spec, for editors: keys, components, their parameters, descriptions.

It is written from the models that read a spec. A component of a kind is its bare word, `{type: tag, ...}` (an `if`
and a `then` for each tag) or `{tag: value}` where that is allowed; a factor takes the parameters of its distribution
beside `dist`, a data section those of its source. `${name}` may stand for any value. A spec that extends another may
leave out what its parent has and delete keys with `null`: then the definitions whose names end in `.partial` hold.
"""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from gendsl.schema.describe import Reader, about
from gendsl.schema.registry import KINDS, Component, Slot, Strict, table
from gendsl.schema.spec import Spec
from gendsl.schema.unknown import gathered
from gendsl.schema.walk import Type, fields, optional, type_of, unwrap

Schema = dict[str, Any]

_LIMITS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
}
_LENGTHS = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
_SCALARS = {bool: "boolean", int: "integer", float: "number", str: "string"}
_NAME = "^[A-Za-z_][A-Za-z0-9_]*$"


def json_schema() -> Schema:
    """The schema of a whole spec, with every component that is registered at the time of the call."""
    reader = Reader()
    whole, part = _Writer(reader), _Writer(reader, partial=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gendsl spec, version 1",
        "description": about(Spec),
        "type": "object",
        "properties": {
            "gendsl": {"const": 1, "description": "version of the grammar; the first key"},
            "extends": {
                "type": "string",
                "minLength": 1,
                "description": "the parent: a file, or a shipped spec's name",
            },
            "let": {
                "type": "object",
                "description": "constants, scalars or lists; ${name} stands for one",
                "propertyNames": {"pattern": _NAME},
                "additionalProperties": {"not": {"type": "object"}},
            },
        },
        "required": ["gendsl"],
        "if": {"required": ["extends"]},
        "then": {"properties": part.properties(Spec)},
        "else": {"properties": whole.properties(Spec)},
        "unevaluatedProperties": False,
        "$defs": {
            "constant": {"type": "string", "pattern": r"^\$\{\s*[A-Za-z_][A-Za-z0-9_]*\s*\}$"},
            **whole.definitions(),
            **part.definitions(),
        },
    }


class _Writer:
    """The schemas of models and components; `partial` for specs that a parent completes."""

    def __init__(self, reader: Reader, *, partial: bool = False) -> None:
        self.reader = reader
        self.partial = partial
        self._models: dict[str, Schema] = {}

    def definitions(self) -> dict[str, Schema]:
        """`$defs`: one for each kind of component, and one for each model that was referred to."""
        kinds = {self._name(kind): self.kind(kind) for kind in KINDS}
        return {**kinds, **dict(sorted(self._models.items()))}

    def _name(self, name: str) -> str:
        return f"{name}.partial" if self.partial else name

    def _ref(self, name: str) -> Schema:
        return {"$ref": f"#/$defs/{self._name(name)}"}

    # -- models --------------------------------------------------------------------------------------------

    def model(self, model: type[BaseModel]) -> Schema:
        """The map of a model's keys."""
        body: Schema = {"type": "object", "description": about(model), "properties": self.properties(model)}
        body |= self.required(model)
        part = gathered(model)
        if part is None:
            return {**body, "additionalProperties": False}
        cases = self.beside(model, *part)
        return {**body, **({"allOf": cases} if cases else {}), "unevaluatedProperties": False}

    def properties(self, model: type[BaseModel]) -> dict[str, Schema]:
        """A schema for each key of a model."""
        written = self.reader.notes(model)
        return {key: self.key(key, field, written.get(key, "")) for key, field in fields(model).items()}

    def required(self, model: type[BaseModel]) -> Schema:
        needed = [key for key, field in fields(model).items() if field.is_required()]
        return {"required": needed} if needed and not self.partial else {}

    def beside(self, model: type[BaseModel], slot: str, kind: str) -> list[Schema]:
        """The parameters of the component under `slot` may stand beside it, where it is a bare word."""
        own = fields(model)
        cases = []
        for tag, component in table(kind).items():
            flat = {key: each for key, each in self.properties(component).items() if key not in own}
            needed = {"required": [k for k in self.required(component).get("required", ()) if k in flat]}
            cases.append(
                _case(
                    {"properties": {slot: {"const": tag}}, "required": [slot]}, {"properties": flat, **needed}
                )
            )
        if self.partial:
            every = {
                key: True for component in table(kind).values() for key in fields(component) if key not in own
            }
            cases.append(_case({"not": {"required": [slot]}}, {"properties": every}))
        return cases

    def key(self, key: str, field: FieldInfo, note: str = "") -> Schema:
        """What one key takes."""
        wanted = type_of(field)
        choices = self.forms(wanted, bare=key in ("dist", "source"))
        if key in ("penalty", "of"):
            choices += self.forms(wanted.items[0])
        elif key == "as":
            choices.append({"enum": list(table("step"))})
        choices.append({"$ref": "#/$defs/constant"})
        if self.partial or optional(field):
            choices.append({"type": "null"})
        description = field.description or note
        return {**({"description": description} if description else {}), "anyOf": choices}

    # -- values --------------------------------------------------------------------------------------------

    def forms(self, wanted: Type, *, bare: bool = False) -> list[Schema]:
        """The forms that a type can be written in; `bare`: also words whose parameters stand elsewhere."""
        origin = get_origin(wanted.bare)
        if wanted.slot is not None:
            words = [{"enum": list(table(wanted.slot.kind))}] if bare else []
            return [*words, self._slot(wanted.slot)]
        if wanted.branches:
            return [form for branch in wanted.branches for form in self.forms(branch)]
        if wanted.model is not None:
            return self._model(wanted.model)
        if origin is tuple:
            many = any(isinstance(each, BeforeValidator) for each in wanted.metadata)
            return [self._list(wanted), *(self.forms(wanted.items[0]) if many else ())]
        return [self._map(wanted) if origin is dict else _scalar(wanted)]

    def _slot(self, slot: Slot) -> Schema:
        """A component; one with a default tag needs no `type`."""
        if slot.default is None or self.partial:
            return self._ref(slot.kind)
        model = table(slot.kind)[slot.default]
        body = {"type": "object", "properties": self.properties(model), "additionalProperties": False}
        return {"anyOf": [self._ref(slot.kind), body]}

    def _model(self, model: type[BaseModel]) -> list[Schema]:
        name = self._name(model.__name__)
        if name not in self._models:
            self._models[name] = {}
            self._models[name] = self.model(model)
        bare = model.bare if issubclass(model, Strict) else None
        words: list[Schema] = [{"type": "string"}] if bare == "any" else []
        if bare in KINDS:
            words = [{"enum": list(table(bare))}]
        return [*words, self._ref(model.__name__)]

    def _map(self, wanted: Type) -> Schema:
        key = unwrap(get_args(wanted.bare)[0])
        values = self.forms(wanted.items[0])
        if self.partial:
            values.append({"type": "null"})
        values.append({"$ref": "#/$defs/constant"})
        body = {
            "type": "object",
            "propertyNames": self.forms(key)[0],
            "additionalProperties": {"anyOf": values},
        }
        return body | ({} if self.partial else _bounds(wanted, "object"))

    def _list(self, wanted: Type) -> Schema:
        items = [{"anyOf": [*self.forms(item), {"$ref": "#/$defs/constant"}]} for item in wanted.items]
        if Ellipsis in get_args(wanted.bare):
            return {"type": "array", "items": items[0], **_bounds(wanted, "array")}
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}

    # -- components ----------------------------------------------------------------------------------------

    def kind(self, kind: str) -> Schema:
        """A component of a kind, in each of its forms."""
        models = table(kind)
        words = [
            tag for tag, model in models.items() if self.partial or "required" not in self.required(model)
        ]
        tagged: Schema = {
            "type": "object",
            "properties": {"type": {"enum": list(models)}},
            "allOf": [
                _case({"properties": {"type": {"const": t}}, "required": ["type"]}, self._tagged(models[t]))
                for t in models
            ],
            "unevaluatedProperties": False,
        }
        if self.partial:
            every = {key: True for model in models.values() for key in fields(model)}
            tagged["allOf"].append(_case({"not": {"required": ["type"]}}, {"properties": every}))
        else:
            tagged["required"] = ["type"]
        short = [self._short(tag, model) for tag, model in models.items() if model.primary is not None]
        return {"description": KINDS[kind], "anyOf": [{"enum": words}, tagged, *short]}

    def _tagged(self, model: type[Component]) -> Schema:
        return {"description": about(model), "properties": self.properties(model), **self.required(model)}

    def _short(self, tag: str, model: type[Component]) -> Schema:
        assert model.primary is not None
        value = self.key(model.primary, fields(model)[model.primary])
        return {
            "type": "object",
            "properties": {tag: value},
            "required": [tag],
            "additionalProperties": False,
        }


def _scalar(wanted: Type) -> Schema:
    """One of some words, or a bounded number or string."""
    if get_origin(wanted.bare) is Literal:
        return {"enum": list(get_args(wanted.bare))}
    kind = _SCALARS[wanted.bare]
    return {"type": kind, **_bounds(wanted, kind)}


def _case(condition: Schema, then: Schema) -> Schema:
    return {"if": condition, "then": then}


def _bounds(wanted: Type, kind: str) -> Schema:
    """Bounds, patterns and lengths from a type's metadata."""
    found: Schema = {}
    lengths = dict(zip(("min_length", "max_length"), _LENGTHS.get(kind, ()), strict=False))
    for each in wanted.metadata:
        for ours, theirs in {**_LIMITS, **lengths}.items():
            value = getattr(each, ours, None)
            if value is not None:
                found[theirs] = value
    return found
