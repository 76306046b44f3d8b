"""The registry is complete: every component has examples, a page, and a test; what is not built says so."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from functools import cache

import pytest

from gendsl.schema import components
from gendsl.schema.components.later import LATER, RESERVED
from gendsl.schema.registry import KINDS, MODULES, PACKAGE, Component, Strict, table
from tests.house.checkout import ROOT

ALL = [(kind, tag) for kind in KINDS for tag in table(kind)]


@cache
def laws() -> str:
    """The text of all tests but those of the house."""
    paths = [p for p in (ROOT / "tests").rglob("*.py") if not {"house", "plugin"} & set(p.parts)]
    return "\n".join(p.read_text("utf-8") for p in paths)


@pytest.mark.parametrize(("kind", "tag"), ALL)
def test_a_component_is_complete(kind: str, tag: str) -> None:
    model = table(kind)[tag]
    assert (model.kind, model.tag) == (kind, tag)
    assert model.__doc__, "the docstring's first line describes it in listings"
    assert model.examples, "parameters at which the laws are checked"
    for example in model.examples:
        built = model.model_validate(example)
        dumped = built.model_dump(mode="json", by_alias=True)
        assert dumped.pop("type") == tag
        assert model.model_validate(dumped) == built
    if not model.build:
        assert tag == "ref", "only a name that stands for another component has no builder"
        return
    module, _, function = model.build.partition(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize(("kind", "tag"), ALL)
def test_a_component_has_a_page(kind: str, tag: str) -> None:
    assert f"## {tag}\n" in (ROOT / "docs" / "components" / f"{kind}.md").read_text("utf-8"), (
        "run `make docs`"
    )


@pytest.mark.parametrize(("kind", "tag"), ALL)
def test_a_component_is_tested(kind: str, tag: str) -> None:
    """Some test names it, or walks its kind in the registry: then a new one is tested without a name."""
    walked = f'table("{kind}")' in laws()
    named = re.search(rf"\b({tag}|{table(kind)[tag].__name__})\b", laws())
    assert walked or named, f"no test names the {KINDS[kind]} {tag}"


def test_the_registry_knows_where_its_components_are() -> None:
    """The table of modules against what all modules register, in both directions."""
    found: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for each in pkgutil.iter_modules(components.__path__):
        module = importlib.import_module(f"{PACKAGE}.{each.name}")
        for model in vars(module).values():
            if inspect.isclass(model) and issubclass(model, Component) and hasattr(model, "tag"):
                if model.__module__ == module.__name__:
                    found[model.kind].add(each.name)
    assert {kind: set(modules) for kind, modules in MODULES.items()} == found


def _models(base: type[Strict]) -> set[type[Strict]]:
    below = set(base.__subclasses__())
    return below.union(*(_models(m) for m in below)) if below else below


def test_what_comes_later_is_not_here_yet() -> None:
    assert set(LATER) <= {*KINDS, "key"}
    here = {(kind, tag) for kind in KINDS for tag in table(kind)}
    assert [(kind, tag) for kind in LATER for tag in LATER[kind] if (kind, tag) in here] == []
    keys = {
        f.alias or n
        for m in _models(Strict)
        if m.__module__.startswith("gendsl.")
        for n, f in m.model_fields.items()
    }
    assert sorted(LATER.get("key", frozenset()) & keys) == []
    assert sorted(set(RESERVED) & {tag for kind in KINDS for tag in table(kind) if kind != "ordering"}) == []


def test_components_are_final_or_abstract() -> None:
    """No registered model is another's base: a rule for the one would silently hold for the other."""
    registered = {m for kind in KINDS for m in table(kind).values()}
    doubled = {
        (a.__name__, b.__name__) for a in registered for b in registered if a is not b and issubclass(a, b)
    }
    assert not doubled
    assert all(issubclass(m, Component) and not inspect.isabstract(m) for m in registered)
