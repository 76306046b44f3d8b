"""Laws of the preprocessing modules: log-Jacobian, round trips, and bits that do not depend on the way."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gendsl.nn.preprocessing import Pipeline, bits_per_dim, row_uniform
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
    Tokens,
    Unit,
    through,
)
from gendsl.schema.facts import Support
from gendsl.schema.registry import table

DIGITS = Column("uint8", (1, 2, 3), Support(0.0, 16.0, integer=True))
BYTES = Column("uint8", (3, 2, 2), Support(0.0, 255.0, integer=True))
GREY = Column("float32", (5,), Support(-1.0, 3.0))
POINTS = Column("float32", (2,))
WAVE = Column("int16", (20,), Support(-32768.0, 32767.0, integer=True))
CHAINS: list[tuple[Column, tuple[Step, ...]]] = [
    (GREY, (Unit(),)),
    (GREY, (Unit(), Logit())),
    (GREY, (Unit(), Logit(alpha=1e-6), Standardize())),
    (POINTS, (Standardize(),)),
    (DIGITS, (Unit(),)),
    (DIGITS, (Dequantize(),)),
    (DIGITS, (Unit(), Dequantize())),
    (DIGITS, (Dequantize(), Logit())),
    (BYTES, (Unit(), Dequantize(), Logit(), Standardize())),
    (BYTES, (Standardize(),)),
]


def draw(column: Column, rows: int, seed: int = 0) -> Tensor:
    """Values of a column, in float64."""
    generator = torch.Generator().manual_seed(seed)
    if column.support.integer:
        low, high = int(column.support.low), int(column.support.high)
        return torch.randint(low, high + 1, (rows, *column.shape), generator=generator).double()
    if math.isfinite(column.support.low):
        uniform = torch.rand(rows, *column.shape, generator=generator, dtype=torch.float64)
        return column.support.low + (column.support.high - column.support.low) * uniform
    return 3.0 + 2.0 * torch.randn(rows, *column.shape, generator=generator, dtype=torch.float64)


def fitted(column: Column, steps: tuple[Step, ...]) -> Pipeline:
    """A pipeline fitted on other rows than the tests look at."""
    pipeline = Pipeline(steps, column).double()
    pipeline.fit(draw(column, 200, seed=9))
    return pipeline


@pytest.mark.parametrize(("column", "steps"), CHAINS, ids=str)
def test_log_det_is_that_of_the_jacobian(column: Column, steps: tuple[Step, ...]) -> None:
    pipeline = fitted(column, steps)
    x, rows = draw(column, 3), torch.arange(3)

    def forward(row: Tensor) -> Tensor:
        torch.manual_seed(1)
        return pipeline(row[None], rows[:1], 0)[0].flatten()

    sizes = []
    for row in x:
        jacobian = torch.autograd.functional.jacobian(forward, row).reshape(row.numel(), row.numel())
        torch.manual_seed(1)
        log_det = pipeline(row[None], rows[:1], 0)[1]
        torch.testing.assert_close(log_det[0], torch.linalg.slogdet(jacobian)[1], rtol=1e-9, atol=1e-12)
        sizes.append(float(log_det.abs()))
    assert sorted(sizes)[1] > 0.3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("column", "steps"), CHAINS, ids=str)
def test_inverse_returns_the_column(column: Column, steps: tuple[Step, ...], dtype: torch.dtype) -> None:
    pipeline = fitted(column, steps).to(dtype)
    x = draw(column, 500).to(dtype)
    torch.manual_seed(0)
    y, log_det = pipeline(x, torch.arange(500), 0)
    assert (y.dtype, y.shape, log_det.shape) == (dtype, (500, *pipeline.result.shape), (500,))
    tolerance = 0.0 if column.support.integer else {torch.float32: 2e-5, torch.float64: 1e-9}[dtype]
    torch.testing.assert_close(pipeline.inverse(y), x, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("step", [Ordinal(), Tokens(), OneHot()])
@pytest.mark.parametrize(
    "column", [DIGITS, label_column(10), Column("int64", (4,), Support(-2.0, 5.0, integer=True))]
)
def test_integers_keep_their_values(step: Step, column: Column) -> None:
    pipeline = Pipeline((step,), column)
    x = draw(column, 50).to(getattr(torch, column.dtype))
    y, log_det = pipeline(x, torch.arange(50), 0)
    assert y.shape == (50, *pipeline.result.shape)
    assert y.dtype == (torch.float32 if isinstance(step, OneHot) else torch.int64)
    assert y.min() == 0
    assert not log_det.any()
    assert torch.equal(pipeline.inverse(y), x.float())
    if isinstance(step, OneHot):
        assert torch.equal(y.flatten(1).sum(1), torch.full((50,), float(x[0].numel())))


@pytest.mark.parametrize(
    ("column", "steps"), [*CHAINS, (DIGITS, (Binarize(how="dynamic"),)), (WAVE, (MuLaw(),))], ids=str
)
def test_what_comes_out_is_what_the_facts_say(column: Column, steps: tuple[Step, ...]) -> None:
    pipeline = fitted(column, steps)
    y, _ = pipeline(draw(column, 300).float(), torch.arange(300), 0)
    facts = through(column, steps)
    assert pipeline.result == facts.column
    assert str(y.dtype) == f"torch.{facts.column.dtype}"
    assert facts.column.support.low <= y.min() <= y.max() <= facts.column.support.high
    assert y.unique().numel() > 1
    if facts.column.levels is not None and math.isfinite(facts.column.support.high):
        assert y.unique().numel() <= facts.column.levels
    torch.manual_seed(1)
    first = pipeline(draw(column, 300), torch.arange(300), 0)[0]
    assert facts.stochastic != torch.equal(first, pipeline(draw(column, 300), torch.arange(300), 0)[0])


def test_every_step_of_the_registry_is_built() -> None:
    columns = {"logit": Column("float32", (3,), Support(0.0, 1.0)), "standardize": POINTS}
    for tag, model in table("step").items():
        for example in model.examples:
            step = model.model_validate(example)
            assert isinstance(step, Step)
            column = columns.get(tag, DIGITS)
            y, log_det = Pipeline((step,), column)(draw(column, 4), torch.arange(4), 0)
            assert (len(y), log_det.shape) == (4, (4,))


def test_static_binarization_depends_on_seed_and_row_alone() -> None:
    pipeline = Pipeline((Binarize(),), DIGITS)
    x = draw(DIGITS, 40).to(torch.uint8)
    rows = torch.arange(40)
    whole = pipeline(x, rows, 3)[0]
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pipeline(x[order], rows[order], 3)[0], whole[order])
    assert not torch.equal(pipeline(x, rows, 4)[0], whole)
    assert not torch.equal(pipeline(x, rows + 1, 3)[0], whole)


@pytest.mark.parametrize("how", ["static", "dynamic"])
def test_binarization_draws_with_the_grey_value_as_probability(how: str) -> None:
    pipeline = Pipeline((Binarize.model_validate({"how": how}),), DIGITS)
    torch.manual_seed(0)
    x = torch.arange(0, 18, 3)[:6].reshape(1, 1, 2, 3).expand(20_000, 1, 2, 3).clamp(max=16)
    mean = pipeline(x, torch.arange(20_000), 0)[0].mean(0)
    expected = x[0] / 16
    error = (expected * (1 - expected) / 20_000).sqrt()
    assert ((mean - expected).abs() <= 4 * error).all()
    assert mean[0, 0, 0] == 0


def test_threshold_cuts_at_its_value() -> None:
    y, _ = Pipeline((Unit(), Binarize(how="threshold", at=0.5)), DIGITS)(
        draw(DIGITS, 30), torch.arange(30), 0
    )
    assert torch.equal(y, (draw(DIGITS, 30) > 8).double())


def test_row_uniform_is_uniform_and_uncorrelated() -> None:
    u = row_uniform(torch.arange(4000), 0, (8,))
    assert 0.0 <= u.min() <= u.max() < 1.0
    histogram = torch.histc(u, 20, 0.0, 1.0)
    assert ((histogram - 1600).square() / 1600).sum() < 45.0
    others = [u[1:, :-1].flatten(), u[:-1, 1:].flatten(), row_uniform(torch.arange(3999), 1, (7,)).flatten()]
    for other in others:
        assert torch.corrcoef(torch.stack([u[:-1, :-1].flatten(), other]))[0, 1].abs() < 0.03


def test_standardize_gives_mean_zero_and_std_one_and_is_recorded() -> None:
    x = draw(POINTS, 400)
    x[::7, 0] = math.nan
    x[:, 1] = 2.5
    pipeline = Pipeline((Standardize(),), POINTS).double()
    pipeline.fit(x)
    y, _ = pipeline(x, torch.arange(400), 0, ~x.isnan())
    known = y[:, 0][~y[:, 0].isnan()]
    torch.testing.assert_close(known.mean(), torch.tensor(0.0).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(known.std(correction=0), torch.tensor(1.0).double())
    assert not y[:, 1].any()
    other = Pipeline((Standardize(),), POINTS).double()
    other.load_state_dict(pipeline.state_dict())
    torch.testing.assert_close(other(x, torch.arange(400), 0)[0], y, equal_nan=True, rtol=0, atol=0)


def test_fitting_behind_dequantize_is_the_same_every_time() -> None:
    states = []
    for attempt in range(2):
        torch.manual_seed(attempt)
        pipeline = Pipeline((Dequantize(), Logit(), Standardize()), DIGITS)
        pipeline.fit(draw(DIGITS, 100).to(torch.uint8), torch.arange(100), 5)
        states.append(pipeline.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert len(states[0]) == 2


@pytest.mark.parametrize(("column", "steps"), CHAINS, ids=str)
def test_split_static_composes_to_the_whole(column: Column, steps: tuple[Step, ...]) -> None:
    pipeline = fitted(column, steps)
    static, rest = pipeline.split_static()
    x, rows = draw(column, 20), torch.arange(20)
    torch.manual_seed(2)
    y, log_det = pipeline(x, rows, 0)
    torch.manual_seed(2)
    middle, first = static(x, rows, 0)
    end, second = rest(middle, rows, 0)
    assert torch.equal(end, y)
    torch.testing.assert_close(first + second, log_det, rtol=1e-12, atol=1e-12)
    assert not through(column, steps).stochastic or len(rest.steps)


def test_unknown_entries_add_nothing_to_the_log_det() -> None:
    pipeline = fitted(GREY, (Unit(), Logit()))
    x, rows = draw(GREY, 6), torch.arange(6)
    known = torch.rand(6, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    single = torch.stack([pipeline(x[:, [i]].expand(6, 5), rows, 0)[1] / 5 for i in range(5)], 1)
    torch.testing.assert_close(pipeline(x, rows, 0, known)[1], (single * known).sum(1))
    x[~known] = math.nan
    torch.testing.assert_close(pipeline(x, rows, 0, known)[1], (single * known).sum(1))


def test_a_mask_follows_its_entries_through_one_hot() -> None:
    pipeline = Pipeline((OneHot(),), DIGITS)
    x = draw(DIGITS, 5)
    known = x > 8
    y, _ = pipeline(x, torch.arange(5), 0)
    kept = (y * pipeline.spread(known)).reshape(5, 17, 2, 3).sum(1, keepdim=True)
    assert torch.equal(kept, known.double())


def test_mu_law_decodes_to_the_middle_of_each_class() -> None:
    for classes in (16, 256):
        pipeline = Pipeline((MuLaw(classes=classes),), Column("float32", (1,), Support(-1.0, 1.0)))
        codes = torch.arange(classes)[:, None]
        x = pipeline.inverse(codes.double())
        assert (x.diff(dim=0) > 0).all()
        torch.testing.assert_close(x, -x.flip(0), rtol=1e-9, atol=1e-12)
        assert torch.equal(pipeline(x, torch.arange(classes), 0)[0], codes)
    signal = torch.linspace(-1, 1, 4001, dtype=torch.float64)[:, None]
    back = pipeline.inverse(pipeline(signal, torch.arange(4001), 0)[0].double())
    assert (back - signal).abs().max() < 0.025
    assert (back - signal)[signal.abs() < 0.01].abs().max() < 5e-4


def test_lossy_inverses_show_the_darkest_and_brightest_value() -> None:
    pipeline = Pipeline((Unit(), Binarize()), DIGITS)
    y = torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0, 0.0]).reshape(1, 1, 2, 3)
    assert torch.equal(pipeline.inverse(y), 16 * y)


def log_density_after(pipeline: Pipeline, x: Tensor, log_p: Tensor) -> Tensor:
    """log p(y) by the Jacobian of automatic differentiation, where p(x) has the log density log_p."""
    jacobian = torch.autograd.functional.jacobian
    each = (x[0].numel(), x[0].numel())
    changes = [jacobian(lambda row: pipeline(row[None], torch.arange(1), 0)[0][0], row) for row in x]
    return log_p - torch.stack([torch.linalg.slogdet(change.reshape(each))[1] for change in changes])


@pytest.mark.parametrize(
    "steps", [(), (Unit(),), (Unit(), Logit()), (Standardize(),), (Unit(), Logit(), Standardize())]
)
def test_bits_of_a_real_column_do_not_depend_on_the_steps(steps: tuple[Step, ...]) -> None:
    pipeline = fitted(GREY, steps)
    x, rows = draw(GREY, 8), torch.arange(8)
    y, log_det = pipeline(x, rows, 0)
    log_p = torch.distributions.Normal(1.0, 0.7).log_prob(x).sum(1)
    bits = bits_per_dim(log_density_after(pipeline, x, log_p), log_det, 5)
    assert y.shape == x.shape
    torch.testing.assert_close(bits, -log_p / (5 * math.log(2)), rtol=1e-9, atol=0)


@pytest.mark.parametrize("before", [(), (Unit(),)])
@pytest.mark.parametrize("after", [(), (Logit(),), (Standardize(),), (Logit(), Standardize())])
def test_grey_values_of_uniform_density_take_log2_17_bits(
    before: tuple[Step, ...], after: tuple[Step, ...]
) -> None:
    """(k + u) / 17 uniform on [0, 1] makes every one of the 17 values equally likely, whatever follows."""
    first = fitted(DIGITS, (*before, Dequantize()))
    x, rows = draw(DIGITS, 50), torch.arange(50)
    middle, first_change = first(x, rows, 0)
    second = Pipeline(after, first.result).double()
    second.fit(middle)
    _, second_change = second(middle, rows, 0)
    log_p = log_density_after(second, middle, torch.zeros(50).double())
    bits = bits_per_dim(log_p, first_change + second_change, 6)
    torch.testing.assert_close(bits, torch.full_like(bits, math.log2(17)), rtol=1e-9, atol=0)


def test_a_histogram_through_dequantize_gives_the_bits_of_its_probabilities() -> None:
    """p(y) constant on each of the 17 cells is a discrete distribution: the bound is attained."""
    probabilities = torch.rand(17, generator=torch.Generator().manual_seed(0)).double() + 0.1
    probabilities /= probabilities.sum()
    x = draw(DIGITS, 50)
    y, log_det = Pipeline((Unit(), Dequantize()), DIGITS)(x, torch.arange(50), 0)
    log_p = (17 * probabilities)[(17 * y).long()].log().flatten(1).sum(1)
    expected = -probabilities[x.long()].log2().flatten(1).mean(1)
    torch.testing.assert_close(bits_per_dim(log_p, log_det, 6), expected, rtol=1e-9, atol=0)
