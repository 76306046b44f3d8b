"""Specs of optimisers and schedules: their numbers, what they refuse, and that they need no torch."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from gendsl.schema.components import optim
from gendsl.schema.registry import table

SCHEDULES = [optim.Constant, optim.Cosine, optim.Linear, optim.Step, optim.Exponential, optim.InverseSqrt]
OPTIMISERS = [optim.Adam, optim.AdamW, optim.SGD, optim.RMSprop]
EVERY_SCHEDULE = [model.model_validate(example) for model in SCHEDULES for example in model.examples]


def test_the_registry_has_them_all() -> None:
    assert {"constant", "cosine", "linear", "step", "exponential", "inverse_sqrt"} <= table("schedule").keys()
    assert {"adam", "adamw", "sgd", "rmsprop"} <= table("optim").keys()


@pytest.mark.parametrize("schedule", EVERY_SCHEDULE, ids=str)
@pytest.mark.parametrize("total", [1, 2, 12, 400])
def test_a_factor_climbs_to_one_and_never_again(schedule: optim.Schedule, total: int) -> None:
    factors = [schedule.factor(step, total) for step in range(2 * total + 120)]
    assert all(0 <= f <= 1 for f in factors)
    warmup = schedule.warmup
    assert factors[:warmup] == [(t + 1) / warmup for t in range(warmup)]
    assert factors[warmup] == 1
    assert all(b <= a + 1e-12 for a, b in zip(factors[warmup:], factors[warmup + 1 :], strict=False))
    assert schedule.factor(0, total) > 0


@pytest.mark.parametrize(
    ("schedule", "points"),
    [
        (optim.Constant(), {0: 1, 50: 1, 100: 1}),
        (optim.Cosine(floor=0.2), {0: 1, 25: 0.6 + 0.4 * math.sqrt(0.5), 50: 0.6, 100: 0.2, 150: 0.2}),
        (optim.Cosine(warmup=20), {0: 0.05, 19: 1, 20: 1, 60: 0.5, 100: 0}),
        (optim.Linear(floor=0.5), {0: 1, 50: 0.75, 100: 0.5, 900: 0.5}),
        (optim.Step(every=10, gamma=0.5), {0: 1, 9: 1, 10: 0.5, 19: 0.5, 35: 0.125}),
        (optim.Exponential(floor=0.01), {0: 1, 50: 0.1, 100: 0.01, 200: 0.01}),
        (optim.InverseSqrt(warmup=25), {0: 0.04, 25: 1, 100: 0.5, 225: 1 / 3}),
    ],
    ids=str,
)
def test_factors_at_known_points(schedule: optim.Schedule, points: dict[int, float]) -> None:
    for step, value in points.items():
        assert schedule.factor(step, 100) == pytest.approx(value, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    ("model", "wrong", "where"),
    [
        (optim.Adam, {"lr": 0}, ("lr",)),
        (optim.Adam, {"lr": -1.0}, ("lr",)),
        (optim.Adam, {"lr": math.inf}, ("lr",)),
        (optim.Adam, {"lr": math.nan}, ("lr",)),
        (optim.Adam, {"lr": "1e-3"}, ("lr",)),
        (optim.Adam, {"lr": True}, ("lr",)),
        (optim.Adam, {"betas": [0.9, 1.0]}, ("betas", 1)),
        (optim.Adam, {"betas": [-0.1, 0.9]}, ("betas", 0)),
        (optim.Adam, {"betas": [0.9]}, ("betas", 1)),
        (optim.Adam, {"betas": ["0.9", 0.99]}, ("betas", 0)),
        (optim.AdamW, {"eps": 0}, ("eps",)),
        (optim.AdamW, {"clip": 0}, ("clip",)),
        (optim.AdamW, {"weight_decay": -1e-3}, ("weight_decay",)),
        (optim.AdamW, {"momentum": 0.9}, ("momentum",)),
        (optim.SGD, {"momentum": 1}, ("momentum",)),
        (optim.SGD, {"nesterov": True}, ()),
        (optim.RMSprop, {"alpha": 1.5}, ("alpha",)),
        (optim.SGD, {"schedule": "cosin"}, ("schedule",)),
        (optim.SGD, {"schedule": "sgd"}, ("schedule",)),
        (optim.Cosine, {"warmup": -1}, ("warmup",)),
        (optim.Cosine, {"warmup": 1.5}, ("warmup",)),
        (optim.Linear, {"floor": 1.1}, ("floor",)),
        (optim.Exponential, {"floor": 0}, ("floor",)),
        (optim.Step, {}, ("every",)),
        (optim.Step, {"every": 0}, ("every",)),
        (optim.InverseSqrt, {"warmup": 0}, ("warmup",)),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_key(
    model: Any, wrong: dict[str, Any], where: tuple[Any, ...]
) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(wrong)
    assert [error["loc"] for error in caught.value.errors()] == [where]


@pytest.mark.parametrize("model", OPTIMISERS + SCHEDULES)
def test_a_spec_comes_back_from_what_it_is_written_as(model: Any) -> None:
    for example in model.examples:
        spec = model.model_validate(example)
        written = spec.model_dump(mode="json")
        assert written.pop("type") == model.tag
        assert model.model_validate(written) == spec
        assert model.__doc__.endswith(".")


def test_short_forms() -> None:
    assert optim.Adam.model_validate({"schedule": "cosine"}).schedule == optim.Cosine()
    assert optim.Adam.model_validate({"betas": [0, 0.9]}).betas == (0.0, 0.9)
    assert optim.Adam().schedule == optim.Constant()


@pytest.mark.slow
def test_no_torch_is_imported() -> None:
    code = "import sys, gendsl.schema.components.optim; assert not {'torch', 'numpy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
