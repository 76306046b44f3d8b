"""Facts of the preprocessing steps: what each makes of a column, and what it refuses."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gendsl.schema.components.source_base import Column, label_column
from gendsl.schema.components.step import (
    Binarize,
    Dequantize,
    Logit,
    MuLaw,
    OneHot,
    Ordinal,
    Standardize,
    Step,
    StepProblem,
    Tokens,
    Unit,
    through,
)
from gendsl.schema.facts import BINARY, REAL, UNIT, Support, categories
from gendsl.schema.registry import Slot

DIGITS = Column("uint8", (1, 8, 8), Support(0.0, 16.0, integer=True))
POINTS = Column("float32", (2,))
LABEL = label_column(10)
WAVE = Column("int16", (50,), Support(-32768.0, 32767.0, integer=True))


def test_pixels_after_unit_stay_on_their_grid() -> None:
    after = Unit().apply(DIGITS)
    assert (after.dtype, after.shape, after.support) == ("float32", (1, 8, 8), Support(0.0, 1.0, levels=17))


def test_dequantize_takes_them_off_and_logit_to_the_reals() -> None:
    for steps in ((Dequantize(),), (Unit(), Dequantize())):
        assert through(DIGITS, steps).column.support == UNIT
        assert through(DIGITS, (*steps, Logit())).column.support == REAL


@pytest.mark.parametrize(
    ("column", "steps", "expected"),
    [
        (DIGITS, (Binarize(),), ("float32", (1, 8, 8), BINARY, False)),
        (DIGITS, (Ordinal(),), ("int64", (1, 8, 8), categories(17), False)),
        (DIGITS, (Tokens(),), ("int64", (1, 8, 8), categories(17), True)),
        (DIGITS, (OneHot(),), ("float32", (17, 8, 8), Support(0.0, 1.0, levels=2), False)),
        (LABEL, (OneHot(),), ("float32", (10,), Support(0.0, 1.0, levels=2), False)),
        (LABEL, (Ordinal(),), ("int64", (), categories(10), False)),
        (POINTS, (Standardize(),), ("float32", (2,), REAL, False)),
        (DIGITS, (Standardize(),), ("float32", (1, 8, 8), Support(levels=17), False)),
        (WAVE, (MuLaw(), Tokens()), ("int64", (50,), categories(256), True)),
        (DIGITS, (Unit(), Binarize(how="dynamic"), Tokens()), ("int64", (1, 8, 8), BINARY, True)),
    ],
    ids=str,
)
def test_facts_after_steps(column: Column, steps: tuple[Step, ...], expected: tuple[object, ...]) -> None:
    after = through(column, steps).column
    assert (after.dtype, after.shape, after.support, after.labels) == expected


@pytest.mark.parametrize(
    ("column", "steps", "index", "message"),
    [
        (DIGITS, (Unit(), Logit()), 1, "sit on a grid"),
        (POINTS, (Logit(),), 0, r"in \[0, 1\]"),
        (POINTS, (OneHot(),), 0, "needs integers"),
        (POINTS, (Unit(),), 0, "known bounds"),
        (POINTS, (Binarize(),), 0, "known bounds"),
        (POINTS, (Dequantize(),), 0, "values on a grid"),
        (DIGITS, (Dequantize(), Dequantize()), 1, "values on a grid"),
        (DIGITS, (Standardize(), Dequantize()), 1, "known bounds"),
        (DIGITS, (Unit(), Ordinal()), 1, "needs integers"),
        (LABEL, (Unit(),), 0, "labels"),
        (LABEL, (Standardize(),), 0, "labels"),
        (POINTS, (MuLaw(),), 0, "known bounds"),
    ],
    ids=str,
)
def test_steps_that_make_no_sense(column: Column, steps: tuple[Step, ...], index: int, message: str) -> None:
    with pytest.raises(StepProblem, match=message) as caught:
        through(column, steps)
    assert caught.value.index == index


@pytest.mark.parametrize(
    ("steps", "stochastic", "lossy", "bound", "variant"),
    [
        ((), False, False, False, ""),
        ((Binarize(),), False, True, False, "binarize:static"),
        ((Binarize(how="dynamic"),), True, True, False, "binarize:dynamic"),
        ((Binarize(how="threshold"),), False, True, False, "binarize:threshold"),
        ((Dequantize(), Logit()), True, False, True, "dequantize:uniform+logit:0.05"),
        ((Unit(), Standardize()), False, False, False, "unit+standardize"),
        ((MuLaw(classes=16),), False, True, False, "mu_law:16"),
        ((OneHot(),), False, False, False, "one_hot"),
    ],
    ids=str,
)
def test_what_is_lost_or_bounded(
    steps: tuple[Step, ...], stochastic: bool, lossy: bool, bound: bool, variant: str
) -> None:
    facts = through(DIGITS, steps)
    assert (facts.stochastic, facts.lossy, facts.bound, facts.variant) == (stochastic, lossy, bound, variant)


def test_steps_are_written_in_short() -> None:
    slot = Slot("step")
    assert slot.read("unit") == Unit()
    assert slot.read({"binarize": "dynamic"}) == Binarize(how="dynamic")
    assert slot.read({"logit": 1e-6}) == Logit(alpha=1e-6)
    assert slot.read({"type": "mu_law", "classes": 16}) == MuLaw(classes=16)
    with pytest.raises(ValidationError, match="less than"):
        slot.read({"logit": 0.5})
