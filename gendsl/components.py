"""Every component as a Python class, for specs written in Python.

    from gendsl import components as g
    gendsl.Spec(prior={"z": g.Normal(shape=[32])}, ...)

Distributions take a factor's keys beside their own, as in YAML, and give a Factor; all other names are the spec models
themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gendsl.schema.registry import KINDS, Component, table
from gendsl.schema.sections import Adversary, Factor, FlowFactor

__all__ = ["Adversary", "Factor", "FlowFactor"]


def __getattr__(name: str) -> Any:
    for kind in KINDS:
        for model in table(kind).values():
            if model.__name__ == name:
                return _factor(model) if kind == "dist" else model
    raise AttributeError(f"no component is called {name!r}; gendsl components lists them")


def _factor(model: type[Component]) -> Callable[..., Factor]:
    def make(**flat: Any) -> Factor:
        return Factor.model_validate({"dist": model.tag, **flat})

    make.__name__ = model.__name__
    make.__doc__ = model.__doc__
    return make


def __dir__() -> list[str]:
    return sorted({*__all__, *(m.__name__ for kind in KINDS for m in table(kind).values())})
