"""The registry: what a tag of a kind means, and the Slot that looks it up.

A component registers once, on its spec model:

    @component("flow", "planar", build="gendsl.nn.transforms.planar:build_planar")
    class Planar(FlowLayer): ...

`build` is a string, resolved only by `gendsl.compiler.build`, so that checking a spec never imports torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, model_serializer
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

KINDS: dict[str, str] = {
    "dist": "distribution",
    "flow": "flow layer",
    "net": "network",
    "ordering": "ordering",
    "loss": "adversarial loss",
    "penalty": "penalty",
    "augment": "augmentation",
    "energy": "energy",
    "negatives": "source of negatives",
    "corruption": "corruption",
    "bound": "bound",
    "energy_objective": "energy objective",
    "source": "data source",
    "step": "preprocessing step",
    "optim": "optimiser",
    "schedule": "learning-rate schedule",
}
"""Every kind of component, with the words that messages use for it."""


class Strict(BaseModel):
    """Base of all spec models: frozen, unknown keys refused, no conversion of strings to numbers."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, protected_namespaces=(), defer_build=True
    )


class Component(Strict):
    """A named part that a Slot accepts. Its docstring's first line describes it in listings and in the schema."""

    kind: ClassVar[str]
    tag: ClassVar[str]
    build: ClassVar[str]
    primary: ClassVar[str | None] = None
    """The field that `{tag: value}` sets: `{binarize: static}` is `{type: binarize, how: static}`."""
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({},)
    """Parameters at which the laws are checked."""

    @model_serializer(mode="wrap")
    def _with_tag(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {"type": self.tag, **handler(self)}


C = TypeVar("C", bound=type[Component])
_components: dict[str, dict[str, type[Component]]] = {kind: {} for kind in KINDS}
_builtin = False


def component(kind: str, tag: str, *, build: str) -> Callable[[C], C]:
    """Register a spec model under a tag. Raises ValueError for an unknown kind or a tag that is taken."""

    def register(model: C) -> C:
        if kind not in KINDS:
            raise ValueError(f"unknown kind of component {kind!r}; known: {', '.join(KINDS)}")
        taken = _components[kind].get(tag)
        if taken is not None and (taken.__module__, taken.__qualname__) != (
            model.__module__,
            model.__qualname__,
        ):
            raise ValueError(f"{KINDS[kind]} {tag!r} is already registered by {taken.__module__}")
        model.kind, model.tag, model.build = kind, tag, build
        _components[kind][tag] = model
        return model

    return register


def table(kind: str) -> dict[str, type[Component]]:
    """Tag -> spec model, sorted by tag."""
    global _builtin  # noqa: PLW0603
    if not _builtin:
        _builtin = True
        importlib.import_module("gendsl.schema.components")
    return dict(sorted(_components[kind].items()))


def load_plugin(name: str) -> None:
    """Import the `gendsl.components` entry point called `name`. Raises LookupError where none is installed."""
    found = [point for point in entry_points(group="gendsl.components") if point.name == name]
    if not found:
        raise LookupError(name)
    for point in found:
        point.load()


@dataclass(frozen=True)
class Slot:
    """Annotation of a field that takes a component of one kind: `Annotated[FlowLayer, Slot("flow")]`.

    Accepts the model itself, `{type: tag, ...}`, the bare word `tag`, and `{tag: value}` where the component
    names a primary field.
    """

    kind: str
    default: str | None = None
    """The tag of a map without `type`, where the field has a default of that tag."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.read,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda c: c.model_dump()),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"$ref": f"#/$defs/{self.kind}"}

    def read(self, value: Any) -> Component:
        """The component that `value` describes; raises a pydantic error that carries kind and tag."""
        models = table(self.kind)
        noun = KINDS[self.kind]
        if isinstance(value, Component):
            if value.kind != self.kind:
                raise PydanticCustomError(
                    "wrong_kind", f"expected a {noun}, found the {KINDS[value.kind]} {value.tag!r}"
                )
            return value
        if isinstance(value, str):
            value = {"type": value}
        if not isinstance(value, dict):
            raise PydanticCustomError("slot_type", f"expected a {noun}: a name, or a map with 'type'")
        if "type" not in value:
            short = [k for k in value if k in models and models[k].primary is not None]
            if len(value) == 1 and short:
                model = models[short[0]]
                return model.model_validate({model.primary: value[short[0]]})
            if self.default is None:
                raise PydanticCustomError(
                    "tag_missing", f"which {noun}? 'type' is missing", {"kind": self.kind}
                )
            value = {"type": self.default, **value}
        tag = value["type"]
        if not isinstance(tag, str) or tag not in models:
            raise PydanticCustomError(
                "unknown_tag", f"unknown {noun} {_show(tag)}", {"kind": self.kind, "tag": str(tag)}
            )
        return models[tag].model_validate({k: v for k, v in value.items() if k != "type"})


def _show(tag: Any) -> str:
    return repr(tag).replace("{", "(").replace("}", ")")
