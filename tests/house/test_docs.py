"""The generated pages say what the registry says."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import pytest

from tests.house.checkout import ROOT


@cache
def pages() -> dict[Path, str]:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[Path, str] = module.pages()
    return found


@pytest.mark.parametrize("name", [str(p.relative_to(ROOT)) for p in pages()])
def test_generated_pages_are_up_to_date(name: str) -> None:
    path = ROOT / name
    assert path.is_file(), "run `make docs`"
    assert path.read_text("utf-8") == pages()[path], f"{name} is out of date: run `make docs`"


def test_no_page_of_a_kind_that_is_gone() -> None:
    assert {p for p in (ROOT / "docs" / "components").glob("*.md")} <= set(pages())
