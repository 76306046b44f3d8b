"""Never a traceback: seeded mutants of the shipped specs through the loader and every pass."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gendsl.compiler.pipeline import analyse
from gendsl.errors import Diagnostic, SpecError
from gendsl.schema import overlay
from gendsl.schema.codes import CODES
from gendsl.schema.dump import dump
from gendsl.schema.jsonschema import json_schema
from gendsl.schema.load import loads, shipped
from gendsl.schema.nodes import plain
from gendsl.schema.render import render_all

sys.path.insert(0, str(Path(__file__).parent))
from mutants import mutant, variant

BASES = [plain(overlay.load(path, find=shipped().get).root) for path in shipped().values()]
CHUNKS = 10
EACH = 40


def outcome(body: dict[str, Any]) -> str:
    """What becomes of a spec: `accepted`, `refused by the loader` or `by a pass`; anything else raises."""
    text, stage = dump(body), "the loader"
    problems: tuple[Diagnostic, ...] = ()
    try:
        spec = loads(text)
        stage = "a pass"
        notes = analyse(spec).notes
    except SpecError as error:
        problems, notes = error.diagnostics, ()
        stage = f"refused by {stage}"
    else:
        stage = "accepted"
    for diagnostic in (*problems, *notes):
        assert diagnostic.place is not None, f"{diagnostic}\n{text}"
        assert diagnostic.code in CODES
        assert (diagnostic.severity == "error") == (diagnostic in problems)
    assert len(set(problems)) == len(problems)
    assert bool(problems) == (stage != "accepted"), text
    assert render_all(problems, {"<text>": text}).startswith("error[GD" if problems else "no problems")
    return stage


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_mutants_are_accepted_or_refused_with_places(chunk: int) -> None:
    seeds = range(chunk * EACH, (chunk + 1) * EACH)
    found = [outcome(mutant(BASES[seed % len(BASES)], seed)) for seed in seeds]
    assert found.count("refused by the loader") > EACH // 2


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_variants_that_only_the_passes_can_judge(chunk: int) -> None:
    seeds = range(chunk * EACH, (chunk + 1) * EACH)
    found = [outcome(variant(BASES[seed % len(BASES)], seed)) for seed in seeds]
    assert found.count("refused by a pass") > EACH // 4
    assert found.count("accepted") >= 1


def test_what_the_loader_takes_is_valid_under_the_schema() -> None:
    validator = Draft202012Validator(json_schema())
    taken = 0
    for seed in range(120):
        body = {"gendsl": 1, **variant(BASES[seed % len(BASES)], seed)}
        try:
            loads(dump(body))
        except SpecError:
            continue
        taken += 1
        assert [error.message[:200] for error in validator.iter_errors(body)] == []
    assert taken > 60
