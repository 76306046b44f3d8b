"""What the compiler derives from every shipped spec, word for word."""

from __future__ import annotations

import pytest

from gendsl.compiler.explain import as_text
from gendsl.compiler.pipeline import analyse
from gendsl.schema.load import load, shipped
from tests.house.checkout import ROOT

GOLDEN = ROOT / "tests" / "golden"


@pytest.mark.parametrize("name", shipped())
def test_explain_is_golden(name: str) -> None:
    path = GOLDEN / f"{name}.txt"
    assert path.is_file(), f"{name} has no golden text: run `make golden` and read it"
    said = as_text(analyse(load(name), device="cpu"), estimates=False)
    assert said == path.read_text("utf-8"), (
        f"what explain says of {name} has changed; if it should have: `make golden`, and read the difference"
    )


def test_no_golden_text_without_its_spec() -> None:
    assert {p.stem for p in GOLDEN.glob("*.txt")} == set(shipped())
