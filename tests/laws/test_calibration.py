"""Simulation-based calibration: uniform ranks at the exact posterior, and not where it is narrow, wide or shifted."""

from __future__ import annotations

import pytest
import torch

from gendsl.nn.model import Model
from gendsl.runtime.calibration import deviation, ranks, refused, spread
from tests.laws.test_bounds import LEVELS, LINEAR, compiled, exact_posterior, raw_scale, two_levels

ROWS = 4_000
BOUND = 5.0


def scaled(model: Model, factor: str, by: float) -> Model:
    """The encoder's scale, which no parent moves, times `by`."""
    bias = model.get_submodule(f"{factor}.head.layer").bias
    half = len(bias) // 2
    with torch.no_grad():
        scale = model.distribution(
            factor, {n: torch.zeros(1, *s, dtype=torch.float64) for n, s in inputs(model, factor)}, 1
        )
        bias[half:] = raw_scale(by * scale.distribution().scale[0])
    return model


def inputs(model: Model, factor: str) -> list[tuple[str, tuple[int, ...]]]:
    return [(i.name, i.shape) for i in model.graph.factors[factor].inputs]


DISCRETE = """
gendsl: 1
data: {source: two_moons, bind: {x: {column: point}}}
prior: {c: {dist: %s, shape: [3]}}
encoder: {c: {given: x, dist: %s}}
decoder: {x: {given: c, dist: {type: normal, scale: fixed}}}
objective: {estimator: {c: %s}}
"""


def linear() -> Model:
    model = compiled(LINEAR)
    exact_posterior(model)
    return model


def found(model: Model) -> torch.Tensor:
    torch.manual_seed(0)
    return ranks(model, ROWS, {})


@pytest.mark.parametrize("model", [linear, two_levels])
def test_ranks_at_the_exact_posterior_are_uniform(model) -> None:  # type: ignore[no-untyped-def]
    u = found(model())
    assert u.shape == (ROWS, 2)
    assert 0 < float(u.min()) < 0.01
    assert 0.99 < float(u.max()) < 1
    assert deviation(u) < BOUND
    value, error = spread(u)
    assert abs(value - 1) < 4 * error < 0.1
    counts = torch.stack([torch.histc(column, 20, 0, 1) for column in u.T])
    chi = ((counts - ROWS / 20).square() / (ROWS / 20)).sum(1)
    assert float(chi.min()) > 3
    assert float(chi.max()) < 50  # 19 degrees of freedom


@pytest.mark.parametrize(("by", "side"), [(0.8, 1), (1.25, -1)])
def test_a_posterior_too_narrow_or_too_wide_by_a_fifth_fails(by: float, side: int) -> None:
    for model, encoder in ((linear(), "encoder.z"), (two_levels(), "encoder.z2")):
        u = found(scaled(model, encoder, by))
        assert deviation(u) > BOUND
        value, error = spread(u)
        assert side * (value - 1) > 5 * error


def test_a_posterior_beside_its_place_fails() -> None:
    model = linear()
    with torch.no_grad():
        model.get_submodule("encoder.z.head.layer").bias[0] += 0.1
    assert deviation(found(model)) > BOUND


def test_what_the_model_cannot_draw_is_refused() -> None:
    mixture = "encoder:\n  z1: {given: x, dist: deterministic"
    text = LEVELS.replace("encoder:\n  z1: {given: x, dist: normal", mixture)
    text = text.replace("objective", "") + "objective: {mmd: {z1: {}}}\n"
    assert "density" in refused(compiled(text).graph)
    missing = LINEAR + "variables: {x: {missing: true}}\n"
    assert "missing" in refused(compiled(missing).graph)
    assert refused(linear().graph) == ""


@pytest.mark.parametrize(
    ("dist", "estimator"),
    [
        ("bernoulli", "straight_through"),
        ("categorical, classes: 4", "gumbel"),
        ("categorical, classes: 4", "score_function"),
    ],
)
def test_discrete_latents_are_ranked_with_ties_at_random(dist: str, estimator: str) -> None:
    """With a decoder and an encoder that ignore each other q is the posterior: uniform ranks, whatever the ties."""
    model = compiled(DISCRETE % (dist, dist, estimator))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "weight" in name or name.startswith("encoder."):
                parameter.zero_()
    u = found(model)
    assert u.shape == (ROWS, 3)
    assert 0 < float(u.min()) < 0.01
    assert deviation(u) < BOUND
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("encoder.") and "bias" in name:
                parameter.flatten()[0] += 1.0
    assert deviation(found(model)) > BOUND


def test_draws_that_are_not_exact_do_not_judge_an_encoder() -> None:
    energy = "gendsl: 1\nenergy: {z: {type: u3, shape: [2]}}\nencoder: {z: {dist: normal, flow: [{type: radial}]}}\n"
    assert "not exact" in refused(compiled(energy).graph)
