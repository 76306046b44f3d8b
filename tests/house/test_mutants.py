"""The list of mutants fits the sources: every replacement has one place, every killing test exists."""

from __future__ import annotations

import re

import pytest

from tests.mutants.catalogue import MUTANTS, Mutant
from tests.mutants.run import ROOT, judged, planted

each = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)


@each
def test_the_replacement_has_one_place_and_is_code(mutant: Mutant) -> None:
    found = planted(ROOT, mutant)
    assert found != (ROOT / mutant.file).read_text("utf-8")
    compile(found, mutant.file, "exec")


@each
def test_its_tests_exist(mutant: Mutant) -> None:
    assert mutant.tests
    for test in mutant.tests:
        file, _, function = test.partition("::")
        assert re.search(
            rf"^def {function.partition('[')[0]}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE
        )


def test_names_are_unique() -> None:
    assert len({m.name for m in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize(
    ("status", "failure", "verdict"),
    [
        (0, "3 passed", "survived"),
        (1, "tests/a.py::test_a - assert 1 == 2", "killed"),
        (1, "tests/a.py::test_a - NameError: name 'x' is not defined", "broken"),
        (2, "tests/a.py - SyntaxError", "broken"),
        (4, "no such test", "broken"),
    ],
)
def test_only_a_finding_kills(status: int, failure: str, verdict: str) -> None:
    assert judged(status, failure) == verdict
