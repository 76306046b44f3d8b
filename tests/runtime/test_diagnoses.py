"""Diagnoses: each planted illness is named with its numbers, and healthy runs are left in peace."""

import math
from typing import Any

import pytest

from gendsl.runtime.diagnoses import (
    active_units,
    critic_saturated,
    diagnose,
    energy_runs_away,
    generator_collapse,
    overfitting,
    posterior_collapse,
    skipped_steps,
    stopped_early,
)

DONE = {"status": "completed"}


def line(step: int, split: str = "train", **groups: dict[str, Any]) -> dict[str, Any]:
    return {"step": step, "split": split, **groups}


def vae(valid_rise: float, kl: float = 8.0) -> list[dict[str, Any]]:
    """Training falls to 20; validation follows and, past step 500, rises by `valid_rise` in all."""
    records = []
    for step in range(50, 2001, 50):
        noise = 0.3 * math.sin(step)
        fall = 20.0 + 20.0 * math.exp(-step / 300)
        terms = {"reconstruction.x": fall - kl, "kl.z": kl}
        records.append(line(step, terms=terms, losses={"model": fall + noise}))
        if step % 200 == 0:
            rise = valid_rise * max(0.0, (step - 500) / 1500)
            records.append(line(step, "valid", terms=terms, losses={"model": fall + 1.0 + rise}))
    return records


def gan(accuracy: float) -> list[dict[str, Any]]:
    return [
        line(
            step,
            terms={"adversary.d": 0.7},
            losses={"model": 0.9, "adversary.d": 0.7},
            diagnostics={"adversary.d.accuracy": 0.6 if step < 400 else accuracy - 0.001 * (step % 3)},
        )
        for step in range(100, 1001, 100)
    ]


def quality(precision: float, recall: float, coverage: float, floor: float = 0.95) -> dict[str, Any]:
    values = {"precision": precision, "recall": recall, "coverage": coverage}
    return {name: {"value": value, "floor": {"value": floor}} for name, value in values.items()}


@pytest.mark.parametrize(
    "records", [vae(0.0), vae(0.2), gan(0.75), vae(0.0, kl=0.5), [line(1, terms={"likelihood.x": 3.0})]]
)
def test_a_healthy_run_is_left_in_peace(records: list[dict[str, Any]]) -> None:
    result = {
        **DONE,
        "metrics": {"test": {**quality(0.8, 0.6, 0.7), "log_prob": {"value": None, "kind": "none"}}},
    }
    assert diagnose(records, result) == []


def test_overfitting_names_the_best_step() -> None:
    (sentence,) = overfitting(vae(6.0))
    assert "best at step 800" in sentence
    assert "patience" in sentence
    assert diagnose(vae(6.0), DONE) == [sentence]


def test_overfitting_is_not_read_into_few_records_or_adversaries_or_a_training_loss_that_rises() -> None:
    records = vae(6.0)
    assert overfitting([r for r in records if r["split"] == "train" or r["step"] > 1300]) == []
    for record in records:
        record["losses"]["adversary.d"] = 0.5
    assert overfitting(records) == []
    rising = vae(6.0)
    for record in rising:
        record["losses"]["model"] += record["step"] / 50
    assert overfitting(rising) == []


def test_losses_under_a_smaller_weight_are_not_held_against_later_ones() -> None:
    records = vae(0.0)
    for record in records:
        if record["split"] == "valid" and record["step"] <= 800:
            record["losses"]["model"] -= 20
    assert overfitting(records) != []
    assert overfitting([r | {"warming": True} if r["step"] <= 800 else r for r in records]) == []


def test_a_saturated_critic_is_named_and_a_late_or_short_one_is_not() -> None:
    (sentence,) = critic_saturated(gan(1.0))
    assert sentence.startswith("adversary.d told real from generated rows")
    assert critic_saturated(gan(0.98)) == []
    assert critic_saturated(gan(1.0)[:6]) == []


@pytest.mark.parametrize(
    ("metrics", "ill"),
    [
        (quality(0.9, 0.02, 0.05), True),
        (quality(0.9, 0.5, 0.05), True),
        (quality(0.3, 0.02, 0.05), False),
        (quality(0.9, 0.5, 0.4), False),
        (quality(0.9, 0.09, 0.09, floor=0.2), False),
        ({"precision": {"value": 0.9}, "recall": {"value": 0.01}}, True),
        ({"precision": {"value": None}, "recall": {"value": 0.01}}, False),
        ({"precision": 0.9, "recall": "x"}, False),
    ],
)
def test_mode_collapse_is_fine_precision_with_hardly_any_coverage(metrics: dict[str, Any], ill: bool) -> None:
    assert bool(generator_collapse(metrics)) == ill
    assert bool(diagnose([line(1)], {**DONE, "metrics": {"test": metrics}})) == ill


def test_posterior_collapse_from_the_term_and_from_active_units() -> None:
    (sentence,) = posterior_collapse(vae(0.0, kl=0.002))
    assert "the KL of z is 0.002 nats" in sentence
    counted = [
        line(s, terms={"kl.z": 3.0}, diagnostics={"kl.z.active": a, "kl.z.units": 16})
        for s, a in enumerate([16, 12, 5, 3])
    ]
    assert "only 3 of 16 dimensions of z" in posterior_collapse(counted)[0]
    counted[-1]["diagnostics"]["kl.z.active"] = 8
    assert posterior_collapse(counted) == []


def test_active_units_counts_at_the_threshold() -> None:
    assert active_units([0.0, 0.0099, 0.01, 2.0]) == 2


def test_values_that_are_not_finite_are_named_with_the_first_step() -> None:
    records = [
        line(1, terms={"kl.z": 1.0}),
        line(2, terms={"kl.z": float("nan")}),
        line(3, terms={"kl.z": None}),
    ]
    assert diagnose(records, DONE) == ["kl.z was not finite, first at step 2."]


def test_skipped_steps_are_counted() -> None:
    assert "1 step was skipped" in skipped_steps([line(1, diagnostics={"skipped_steps": 1})])[0]
    counts = [line(1, diagnostics={"skipped_steps": 2}), line(2, diagnostics={"skipped_steps": 7})]
    assert "7 steps were skipped" in skipped_steps(counts)[0]
    assert skipped_steps([line(1, diagnostics={"skipped_steps": 0})]) == []


def test_an_early_end_is_told_with_the_last_step() -> None:
    records = [line(100), line(200)]
    assert "after step 200" in stopped_early(records, {})[0]
    assert "before its first record" in stopped_early([], {})[0]
    assert stopped_early(records, {"status": "nan"}) == [
        "The run stopped at a value that is not finite (last record: step 200)."
    ]
    assert "status 'odd'" in stopped_early(records, {"status": "odd"})[0]
    assert stopped_early(records, DONE) == []


def test_malformed_records_are_passed_over() -> None:
    assert diagnose([{"step": 1, "terms": [1, 2], "losses": None}], {**DONE, "metrics": {"test": 3}}) == []


def test_an_energy_that_grows_without_end_is_named_and_one_that_settles_is_not() -> None:
    grows = [line(10 * s, terms={"energy.x": -float(3**s)}) for s in range(1, 13)]
    assert "energy.x grows without end" in energy_runs_away(grows)[0]
    for settled in (-250.0, 0.4):
        records = [line(10 * s, terms={"energy.x": settled * (1 - 0.5**s)}) for s in range(1, 13)]
        assert energy_runs_away(records) == []
