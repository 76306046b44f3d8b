"""Where a spec model's complaint belongs in the text: pydantic's locs, through models and nodes at once.

A loc names fields of models, and the text may say the same in short: `net: mlp` stands for `net: {type: mlp}`, a
factor's flat `classes: 10` for `dist: {..., classes: 10}`, `{binarize: static}` for `{type: binarize, how: static}`,
`given: x` for `given: [x]`; and a union puts the label of a branch into the loc. The walk undoes all of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gendsl.schema.nodes import Map, Node, Path, Scalar, Seq
from gendsl.schema.registry import Slot, find, table
from gendsl.schema.spec import Spec

ModelClass = type[BaseModel]


@dataclass(frozen=True)
class Type:
    """An annotation without its wrapping (Annotated, `| None`), and all metadata of the wrapping."""

    bare: Any
    metadata: tuple[Any, ...] = ()

    @property
    def slot(self) -> Slot | None:
        """The slot, where a component is expected."""
        return next((m for m in self.metadata if isinstance(m, Slot)), None)

    @property
    def model(self) -> ModelClass | None:
        """The spec model that is expected, if it is one; None for a slot, whose text says which."""
        if self.slot is not None or not isinstance(self.bare, type):
            return None
        return self.bare if issubclass(self.bare, BaseModel) else None

    @property
    def branches(self) -> tuple[Type, ...]:
        """The members of a union; nothing for other types."""
        return tuple(unwrap(part) for part in _members(self.bare)) if _is_union(self.bare) else ()

    @property
    def items(self) -> tuple[Type, ...]:
        """What a list holds (one type for all) or a pair (one for each); what the values of a map are."""
        origin, parts = get_origin(self.bare), get_args(self.bare)
        if origin is dict:
            return (unwrap(parts[1]),)
        if origin is not tuple:
            return ()
        return tuple(unwrap(part) for part in parts if part is not Ellipsis)


def unwrap(annotation: Any, metadata: Iterable[Any] = ()) -> Type:
    """The type under Annotated and `| None`."""
    found = list(metadata)
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *extra = get_args(annotation)
            found += extra
        elif _is_union(annotation) and len(_members(annotation)) == 1:
            annotation = _members(annotation)[0]
        else:
            return Type(annotation, tuple(_flat(found)))


def fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by the names that the text uses."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def type_of(field: FieldInfo) -> Type:
    """What a field expects."""
    return unwrap(field.annotation, field.metadata)


def optional(field: FieldInfo) -> bool:
    """Whether a field takes null."""
    return _is_union(field.annotation) and NoneType in get_args(field.annotation)


def tag_of(kind: str, node: Node | None) -> str | None:
    """The tag that the text gives to a component: a bare word, `type`, or the key of `{tag: value}`."""
    if isinstance(node, Scalar):
        return node.value if isinstance(node.value, str) else None
    if not isinstance(node, Map):
        return None
    if "type" in node.entries:
        written = node.entries["type"].node
        return written.value if isinstance(written, Scalar) and isinstance(written.value, str) else None
    key = next(iter(node.entries), "")
    model = find(kind, key)
    return key if len(node.entries) == 1 and model is not None and model.primary is not None else None


@dataclass(frozen=True)
class Spot:
    """A place of a document with what the models expect there; `beside` is the map around it."""

    expects: Type
    node: Node | None
    path: Path = ()
    beside: Map | None = None
    union: Spot | None = None
    """The union on the way, if there is one."""
    branch: Type | None = None
    """The member of that union that complains."""

    @property
    def model(self) -> ModelClass | None:
        """The model whose fields are keys here."""
        slot = self.expects.slot
        if slot is None:
            return self.expects.model
        tag = tag_of(slot.kind, self.node) or slot.default
        return find(slot.kind, tag) if tag is not None else None

    def step(self, element: str | int) -> Spot:
        """The spot of one element of a loc further on."""
        if self.expects.branches:
            branch = _labelled(self.expects.branches, str(element))
            return replace(self, expects=branch, union=self.union or self, branch=branch)
        return self._into(element, self._expected(element))

    def _expected(self, element: str | int) -> Type:
        if self.model is not None:
            field = fields(self.model).get(str(element))
            return type_of(field) if field is not None else Type(Any)
        items = self.expects.items
        if not items:
            return Type(Any)
        return items[min(element, len(items) - 1)] if isinstance(element, int) else items[0]

    def _into(self, element: str | int, expected: Type) -> Spot:
        node = self.node
        if isinstance(node, Seq) and isinstance(element, int) and element < len(node.items):
            return self._at(expected, node.items[element], (*self.path, element), None)
        if isinstance(node, Map):
            key = str(element)
            if (
                key not in node.entries
                and len(node.entries) == 1
                and getattr(self.model, "primary", None) == key
            ):
                key = next(iter(node.entries))
            if key in node.entries:
                return self._at(expected, node.entries[key].node, (*self.path, key), node)
        if self.expects.slot is not None and self.beside is not None and element in self.beside.entries:
            return self._at(
                expected, self.beside.entries[str(element)].node, (*self.path[:-1], element), self.beside
            )
        if (
            node is not None
            and not isinstance(node, Seq)
            and (isinstance(element, int) or isinstance(node, Scalar))
        ):
            return replace(self, expects=expected)
        return self._at(expected, None, (*self.path, element), None)

    def _at(self, expected: Type, node: Node | None, path: Path, beside: Map | None) -> Spot:
        return Spot(expected, node, path, beside, self.union, self.branch)


def walk(loc: Iterable[str | int], root: Map) -> list[Spot]:
    """The spots on the way of a loc, from the root to its end."""
    spots = [Spot(Type(Spec), root)]
    for element in loc:
        spots.append(spots[-1].step(element))
    return spots


def homes(key: str, model: type[BaseModel]) -> list[Path]:
    """Paths below a model to maps that have this key, the nearest first; names of variables are left out."""
    found: list[Path] = []
    todo: list[tuple[Path, type[BaseModel]]] = [((), model)]
    met = {model}
    for path, each in todo:
        if path and key in fields(each) and path not in found:
            found.append(path)
        for name, field in fields(each).items():
            for inner in _models(type_of(field)):
                if inner not in met:
                    met.add(inner)
                    todo.append(((*path, name), inner))
    return found


def _models(expected: Type) -> Iterator[type[BaseModel]]:
    if expected.slot is not None:
        yield from table(expected.slot.kind).values()
    elif expected.model is not None:
        yield expected.model
    for inner in (*expected.branches, *expected.items):
        yield from _models(inner)


def _labelled(branches: tuple[Type, ...], label: str) -> Type:
    """The member that pydantic's label of a branch means."""
    for branch in branches:
        name = getattr(branch.bare, "__name__", "")
        if (
            label == name
            or label in (f"constrained-{name}", f"lax-or-strict[{name}]")
            or label.startswith(f"{name}[")
        ):
            return branch
    return branches[0]


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType)


def _members(annotation: Any) -> tuple[Any, ...]:
    return tuple(part for part in get_args(annotation) if part is not NoneType)


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    for each in metadata:
        if isinstance(each, FieldInfo):
            yield from each.metadata
        else:
            yield each
