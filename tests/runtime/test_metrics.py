"""Judges of samples: known values, order, what each one is blind to, and that a seed fixes every bit."""

import math

import numpy as np
import pytest
import torch

from gendsl.runtime.metrics import (
    ROWS,
    c2st,
    density_coverage,
    judge,
    judge_real,
    mmd,
    precision_recall,
    sample_quality,
    sliced_wasserstein,
)
from gendsl.runtime.metrics.mmd import median_bandwidth

LOWER_IS_BETTER = ("mmd", "sliced_wasserstein", "c2st")
HIGHER_IS_BETTER = ("precision", "recall", "coverage")


def normal(n: int, d: int, seed: int, mean: float = 0.0, std: float = 1.0) -> torch.Tensor:
    return mean + std * torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def analytic_mmd(d: int, mean: float, bandwidth: float) -> float:
    """Squared MMD of N(0, I) and N(mean, I) under a kernel of width s, by Gaussian integrals."""
    s2 = bandwidth**2
    same = (s2 / (s2 + 2.0)) ** (d / 2)
    return 2.0 * same * (1.0 - math.exp(-d * mean**2 / (2.0 * (s2 + 2.0))))


@pytest.mark.parametrize(("d", "mean", "bandwidth"), [(1, 1.0, 1.0), (4, 0.5, 2.0), (8, 0.7, 3.0)])
def test_mmd_is_the_analytic_value_for_two_gaussians(d: int, mean: float, bandwidth: float) -> None:
    score = mmd(normal(1000, d, 0), normal(1000, d, 1, mean), seed=0, bandwidth=bandwidth)
    truth = analytic_mmd(d, mean, bandwidth)
    assert score.stderr is not None
    assert abs(score.value - truth) < 4.0 * score.stderr
    assert score.stderr < 0.2 * truth


def test_mmd_is_unbiased_and_its_error_honest_where_distributions_are_equal() -> None:
    scores = [mmd(normal(60, 3, s), normal(60, 3, 100 + s), seed=0) for s in range(60)]
    values = torch.tensor([s.value for s in scores])
    claimed = float(np.mean([s.stderr for s in scores if s.stderr is not None]))
    assert abs(float(values.mean())) < 3.0 * float(values.std()) / math.sqrt(len(values))
    assert (values < 0).float().mean() > 0.2
    assert 0.8 < claimed / float(values.std()) < 3.0


def test_mmd_jackknife_error_agrees_with_repetition_where_distributions_differ() -> None:
    scores = [mmd(normal(80, 2, s), normal(80, 2, 100 + s, 1.0), seed=0, bandwidth=1.5) for s in range(60)]
    values = torch.tensor([s.value for s in scores])
    claimed = float(np.mean([s.stderr for s in scores if s.stderr is not None]))
    assert claimed == pytest.approx(float(values.std()), rel=0.35)


def test_bandwidth_is_the_median_of_real_rows_and_never_zero() -> None:
    line = torch.arange(5.0)[:, None]
    assert median_bandwidth((line - line.T).abs()) == 2.0
    mostly_equal = torch.zeros(9, 9)
    mostly_equal[0, 1:] = mostly_equal[1:, 0] = 3.0
    assert median_bandwidth(mostly_equal) == pytest.approx(16 * 3.0 / 72)
    assert median_bandwidth(torch.zeros(4, 4)) == 1.0


def test_sliced_wasserstein_of_a_shift_is_its_length_over_the_root_of_the_dimension() -> None:
    rows = normal(400, 16, 0)
    score = sliced_wasserstein(rows, rows + 3.0, seed=0, projections=2000)
    assert score.stderr is not None
    assert abs(score.value - 3.0) < 4.0 * score.stderr < 0.3
    assert sliced_wasserstein(rows, rows.flip(0), seed=0).value == pytest.approx(0.0, abs=1e-12)


def test_two_samples_of_one_distribution_look_alike_to_every_judge() -> None:
    scores = judge(normal(500, 4, 0), normal(500, 4, 1), seed=0)
    assert abs(scores["mmd"].value) < 3.0 * (scores["mmd"].stderr or 0.0)
    assert 0.4 < scores["c2st"].value < 0.6
    assert scores["density"].value == pytest.approx(1.0, rel=0.15)
    assert scores["coverage"].value == pytest.approx(1.0 - 2.0**-5, abs=0.04)
    assert scores["precision"].value > 0.85
    assert scores["recall"].value > 0.85


def test_every_judge_orders_a_near_and_a_far_model() -> None:
    real = normal(400, 4, 0)
    near, far = judge(real, normal(400, 4, 1, 0.5), seed=0), judge(real, normal(400, 4, 1, 2.0), seed=0)
    for name in LOWER_IS_BETTER:
        assert near[name].value < 0.8 * far[name].value, name
    for name in (*HIGHER_IS_BETTER, "density"):
        assert near[name].value > 1.2 * far[name].value, name


def test_a_scale_that_shares_the_mean_is_told_apart() -> None:
    score = c2st(normal(500, 8, 0), normal(500, 8, 1, std=2.0), seed=0)
    assert score.value > 0.8


def test_copies_of_the_real_rows_are_perfect_to_every_judge() -> None:
    real = normal(300, 6, 0)
    scores = judge(real, real[torch.randperm(300, generator=torch.Generator().manual_seed(5))], seed=0)
    assert [scores[n].value for n in HIGHER_IS_BETTER] == [1.0, 1.0, 1.0]
    assert scores["mmd"].value <= 0.0
    assert scores["sliced_wasserstein"].value == pytest.approx(0.0, abs=1e-12)
    assert scores["c2st"].value < 0.6


def test_mode_collapse_costs_diversity_but_not_fidelity() -> None:
    generator = torch.Generator().manual_seed(0)
    modes = 10.0 * torch.randint(0, 5, (500, 1), generator=generator)
    real = modes + normal(500, 2, 1)
    collapsed = 10.0 + normal(500, 2, 2)
    precision, recall = precision_recall(real, collapsed)
    density, coverage = density_coverage(real, collapsed)
    assert precision.value > 0.85
    assert density.value > 0.8
    assert 0.05 < recall.value < 0.4
    assert 0.05 < coverage.value < 0.4


def test_an_outlier_raises_recall_but_not_coverage() -> None:
    real, fake = normal(200, 2, 0, 3.0), normal(200, 2, 1, std=0.1)
    fake[:5] = torch.tensor([[40.0, 0.0], [0.0, 40.0], [-40.0, 0.0], [0.0, -40.0], [40.0, 40.0]])
    assert precision_recall(real, fake)[1].value == 1.0
    assert density_coverage(real, fake)[1].value < 0.1


def test_repeated_rows_keep_balls_of_radius_zero() -> None:
    rows = (normal(60, 3, 0) > 0).float()
    scores = judge(rows, rows, seed=0)
    assert scores["precision"].value == scores["coverage"].value == 1.0
    assert scores["density"].value > 0.5


def test_shapes_dtypes_and_containers_are_one_thing() -> None:
    real, fake = normal(50, 12, 0), normal(50, 12, 1)
    flat = judge(real.double(), fake.double(), seed=3)
    images = judge(real.reshape(50, 3, 2, 2).double().numpy(), fake.reshape(50, 3, 2, 2).double(), seed=3)
    assert flat == images
    assert judge(normal(50, 1, 0)[:, 0], normal(50, 1, 1), seed=0) == judge(
        normal(50, 1, 0), normal(50, 1, 1), seed=0
    )


def test_a_seed_fixes_every_bit_and_the_global_generator_is_left_alone() -> None:
    real, fake = normal(1200, 3, 0), normal(1100, 3, 1)
    state = torch.get_rng_state()
    first, again, other = judge(real, fake, seed=7), judge(real, fake, seed=7), judge(real, fake, seed=8)
    assert first == again
    assert first["mmd"].value != other["mmd"].value
    assert torch.equal(state, torch.get_rng_state())
    assert all(score.n == ROWS for score in first.values())


def test_the_floor_is_taken_at_the_same_number_of_rows() -> None:
    quality = sample_quality(normal(300, 2, 0), normal(400, 2, 1, 3.0), seed=0)
    assert {(e["samples"], e["floor"]["samples"]) for e in quality.values()} == {(150, 150)}
    assert {e["kind"] for e in quality.values()} == {"estimate"}
    assert {e["extractor"] for e in quality.values()} == {"pixels"}
    assert quality["c2st"]["value"] > 0.9 > quality["c2st"]["floor"]["value"]
    assert set(quality) == set(judge_real(normal(300, 2, 0), 0))


def test_two_halves_of_the_real_rows_are_near_each_other_in_any_order_of_rows() -> None:
    rows = torch.cat([normal(150, 2, 0, -4.0), normal(150, 2, 1, 4.0)])
    floor = judge_real(rows, 0)
    assert floor["coverage"].value > 0.85
    assert floor["c2st"].value < 0.65
    assert floor["mmd"].n == 150


@pytest.mark.parametrize(
    ("real", "fake", "words"),
    [
        (normal(20, 2, 0), normal(20, 3, 0), "2 entries"),
        (normal(20, 2, 0), normal(20, 2, 0) / 0.0, "fake: 20 of 20 rows"),
        (normal(1, 2, 0), normal(20, 2, 0), "real: at least two rows"),
        (normal(20, 2, 0), normal(3, 2, 0), "3 rows on each side"),
        (normal(20, 2, 0), normal(6, 2, 0), "at least eight rows"),
    ],
)
def test_rows_that_cannot_be_judged_are_refused_in_words(
    real: torch.Tensor, fake: torch.Tensor, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        judge(real, fake, seed=0)


def test_settings_that_mean_nothing_are_refused() -> None:
    rows = normal(20, 2, 0)
    with pytest.raises(ValueError, match="bandwidth"):
        mmd(rows, rows, seed=0, bandwidth=0.0)
    with pytest.raises(ValueError, match="projections"):
        sliced_wasserstein(rows, rows, seed=0, projections=1)
    with pytest.raises(ValueError, match="1 <= k"):
        precision_recall(rows, rows, k=0)
