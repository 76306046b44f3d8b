"""What models and their fields say of themselves: docstrings, and the strings that stand under fields."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator

from pydantic import BaseModel

Notes = dict[str, str]


def about(model: type[BaseModel]) -> str:
    """The first paragraph of a model's docstring, on one line; nothing where it has none of its own."""
    text = inspect.cleandoc(model.__doc__ or "")
    return " ".join(text.split("\n\n")[0].split())


class Reader:
    """Field -> the string under it in the source (`rows: int = 0` and, on the next line, a docstring).

    Keeps what it has parsed: one reader parses each module once.
    """

    def __init__(self) -> None:
        self._modules: dict[str, dict[str, Notes]] = {}

    def notes(self, model: type[BaseModel]) -> Notes:
        """The strings of a model's fields, inherited ones too."""
        found: Notes = {}
        for each in reversed(model.__mro__):
            if issubclass(each, BaseModel) and each is not BaseModel:
                found |= self._module(each.__module__).get(each.__name__, {})
        return found

    def _module(self, name: str) -> dict[str, Notes]:
        if name not in self._modules:
            self._modules[name] = dict(_classes(name))
        return self._modules[name]


def _classes(module: str) -> Iterator[tuple[str, Notes]]:
    """The classes of a module with the strings under their fields; none where there is no source."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError, KeyError):
        return
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name, dict(_strings(node))


def _strings(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, text in zip(node.body, node.body[1:], strict=False):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if (
            isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        ):
            yield field.target.id, " ".join(text.value.value.split())
