"""The registry: what a tag of a kind means, and the Slot that looks it up.

A component registers once, on its spec model:

    @component("flow", "planar", build="gendsl.nn.transforms.planar:build_planar")
    class Planar(FlowLayer): ...

`build` is a string, which only `builder` resolves, so that checking a spec never imports torch. Nor does it import
every component: a kind's modules are imported one after the other until one has registered the tag that is looked for.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
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
    "estimator": "estimator",
    "energy_objective": "energy objective",
    "source": "data source",
    "step": "preprocessing step",
    "optim": "optimiser",
    "schedule": "learning-rate schedule",
    "extractor": "feature extractor",
}
"""Every kind of component, with the words that messages use for it."""

PACKAGE = "gendsl.schema.components"

MODULES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "dist": ("dist", "dist_langevin", "dist_levels", "dist_mixture", "dist_quantised", "dist_vamp"),
        "flow": (
            "flow",
            "flow_linear",
            "flow_shape",
            "flow_autoregressive",
            "flow_elementwise",
            "flow_residual",
            "flow_iterative",
        ),
        "net": (
            "net",
            "net_grid",
            "net_unet",
            "net_ar",
            "net_pixels",
            "net_seq",
            "net_wave",
            "net_energy",
            "net_style",
        ),
        "ordering": ("ordering",),
        "loss": ("adversary",),
        "penalty": ("adversary",),
        "augment": ("augment",),
        "estimator": ("estimator",),
        "energy": ("energy",),
        "negatives": ("negatives",),
        "corruption": ("corruption",),
        "bound": ("bound",),
        "energy_objective": ("energy_objective",),
        "source": ("source_generated", "source_files", "source_tables", "source_media", "source"),
        "step": ("step",),
        "optim": ("optim",),
        "schedule": ("optim",),
        "extractor": ("extractor",),
    }
)
"""Kind -> the modules of PACKAGE that register its components, those that most specs name first."""


class Strict(BaseModel):
    """Base of all spec models: frozen, unknown keys refused, no conversion of strings to numbers."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, protected_namespaces=(), defer_build=True
    )
    bare: ClassVar[str | None] = None
    """Of a map that a bare word may stand for: the kind of component that it names, or `any` word."""


class Component(Strict):
    """A named part that a Slot accepts. Its docstring's first line describes it in listings and in the schema."""

    kind: ClassVar[str]
    tag: ClassVar[str]
    build: ClassVar[str]
    primary: ClassVar[str | None] = None
    """The field that `{tag: value}` sets: `{binarize: static}` is `{type: binarize, how: static}`."""
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({},)
    """Parameters at which the laws are checked."""

    @classmethod
    def told(cls) -> dict[str, str]:
        """What its page says by its facts: `Shapes` and `Offers`, where these follow from them."""
        return {}

    @model_serializer(mode="wrap")
    def _with_tag(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {"type": self.tag, **handler(self)}


C = TypeVar("C", bound=type[Component])
_components: dict[str, dict[str, type[Component]]] = {kind: {} for kind in KINDS}


def component(kind: str, tag: str, *, build: str) -> Callable[[C], C]:
    """Register a spec model under a tag. Raises ValueError for an unknown kind or a tag that is taken."""

    def register(model: C) -> C:
        if kind not in KINDS:
            raise ValueError(f"unknown kind of component {kind!r}; known: {', '.join(KINDS)}")
        ours = model.__module__.startswith(f"{PACKAGE}.")
        taken = _components[kind].get(tag) if ours else find(kind, tag)
        if taken is not None and (taken.__module__, taken.__qualname__) != (
            model.__module__,
            model.__qualname__,
        ):
            raise ValueError(f"{KINDS[kind]} {tag!r} is already registered by {taken.__module__}")
        model.kind, model.tag, model.build = kind, tag, build
        _components[kind][tag] = model
        return model

    return register


def find(kind: str, tag: str) -> type[Component] | None:
    """The spec model of a tag, or None. Imports no more of the kind's modules than it must."""
    for module in MODULES[kind]:
        if tag in _components[kind]:
            break
        importlib.import_module(f"{PACKAGE}.{module}")
    return _components[kind].get(tag)


def table(kind: str) -> dict[str, type[Component]]:
    """Tag -> spec model, sorted by tag. Imports all of the kind's modules."""
    for module in MODULES[kind]:
        importlib.import_module(f"{PACKAGE}.{module}")
    return dict(sorted(_components[kind].items()))


def builder(component: Component) -> Callable[..., Any]:
    """The function that `build="module:function"` of a component names; imports its module."""
    return function_of(component.build)


def function_of(name: str) -> Callable[..., Any]:
    """The function of a `module:function`; imports the module."""
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def load_plugin(name: str) -> None:
    """Import the `gendsl.components` entry point called `name`. Raises LookupError where none is installed."""
    from importlib.metadata import entry_points

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
            short = self.short(value)
            if short is not None:
                return short.model_validate({short.primary: value[short.tag]})
            if self.default is None:
                raise PydanticCustomError(
                    "tag_missing", f"which {noun}? 'type' is missing", {"kind": self.kind}
                )
            value = {"type": self.default, **value}
        tag = value["type"]
        model = find(self.kind, tag) if isinstance(tag, str) else None
        if model is None:
            raise PydanticCustomError(
                "unknown_tag", f"unknown {noun} {_show(tag)}", {"kind": self.kind, "tag": str(tag)}
            )
        return model.model_validate({k: v for k, v in value.items() if k != "type"})

    def short(self, value: Mapping[Any, Any]) -> type[Component] | None:
        """The component of `{tag: value}`: the map's only key, where that is the tag of one with a primary field."""
        tag = next(iter(value), None)
        model = find(self.kind, tag) if len(value) == 1 and isinstance(tag, str) else None
        return model if model is not None and model.primary is not None else None


def _show(tag: Any) -> str:
    return repr(tag).replace("{", "(").replace("}", ")")
