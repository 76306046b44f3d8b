"""Laws of learned dequantization: a density within every cell, and a bound on the probability of the column."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gendsl.compiler.build import build as compile_model
from gendsl.compiler.pipeline import analyse
from gendsl.data.batch import Batch
from gendsl.data.dataset import Binding, prepare
from gendsl.nn.dequantizer import Dequantizer
from gendsl.nn.model import Model
from gendsl.nn.preprocessing import bits_per_dim
from gendsl.runtime.verify.subject import perturb
from gendsl.schema.components.source import Memory
from gendsl.schema.load import loads

SPEC = """
gendsl: 1
data:
  source: {type: memory, columns: {k: {dtype: uint8, shape: [2], low: 0, high: 3}}, rows: 40}
  bind: {x: {column: k, as: [{type: dequantize, how: variational, flow: [{type: coupling, repeat: 2}]}, logit]}}
decoder: {x: {dist: {type: normal, scale: full}}}
train: {steps: 2, batch_size: 16}
"""
SIDE, GRID = 4, 400


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)


def parts(scale: float) -> tuple[Model, Dequantizer, Batch]:
    """A model of pairs of numbers 0 .. 3 at drawn parameters, its dequantizer, and every pair once."""
    values = np.stack(np.meshgrid(range(SIDE), range(SIDE)), -1).reshape(-1, 2).astype(np.uint8)
    values = np.concatenate([values] * 3)[:40]
    graph = analyse(loads(SPEC))
    assert graph.spec.data is not None
    binding = graph.spec.data.bind["x"]
    assert isinstance(graph.spec.data.source, Memory)
    data = prepare(
        graph.spec.data.source,
        {"x": Binding("k", binding.as_)},
        {"train": 1.0},
        seed=0,
        base=Path(),
        arrays={"k": values},
    )
    model = compile_model(graph).double()
    model.attach(data.pipelines)
    perturb(model, scale)
    module = model.factor("dequantizer.x")
    assert isinstance(module, Dequantizer)
    return model, module, data.parts["train"].batch(torch.arange(SIDE * SIDE))


def midpoints() -> Tensor:
    """The middles of a grid over the unit square, [GRID^2, 2]."""
    axis = (torch.arange(GRID) + 0.5) / GRID
    return torch.cartesian_prod(axis, axis)


def test_the_slope_is_that_of_the_jacobian() -> None:
    _, module, _ = parts(0.5)
    place, start = torch.rand(5, 2), torch.rand(5, 2)
    _, slope = module(place, start)
    matrices = torch.autograd.functional.jacobian(lambda u: module(place, u)[0].sum(0), start).movedim(1, 0)
    torch.testing.assert_close(slope, torch.linalg.slogdet(matrices)[1], rtol=1e-10, atol=1e-10)
    assert float(slope.detach().abs().max()) > 0.1


@torch.no_grad()
def test_it_starts_close_to_uniform_numbers() -> None:
    _, module, _ = parts(0.0)
    start = torch.rand(50, 2)
    u, slope = module(torch.rand(50, 2), start)
    assert float((u - start).norm() / start.norm()) < 0.2
    assert float(slope.abs().max()) < 0.5


@torch.no_grad()
def test_minus_the_loss_is_a_bound_on_the_probability_of_the_column() -> None:
    """log P(k) by a sum over the cell; the mean of many draws lies below it, and not by far."""
    model, _, batch = parts(0.3)
    log_p = []
    for cells in batch.cells["x"].values:
        grid = midpoints()
        y, log_det = batch.cells["x"].rest.moved(cells.double().expand(len(grid), 2), grid)
        log_p.append(torch.logsumexp(model.log_prob({"x": y}) + log_det, 0) - math.log(len(grid)))
    exact = torch.stack(log_p)
    many = model.dequantized(batch.each(lambda t: t.repeat(4000, *([1] * (t.dim() - 1)))))
    weights = (model.log_prob(many) + many.log_det["x"]).view(4000, -1)
    bound, error = weights.mean(0), weights.std(0) / math.sqrt(len(weights))
    assert bool((bound <= exact + 4 * error).all())
    again = torch.logsumexp(weights, 0) - math.log(len(weights))
    torch.testing.assert_close(again, exact, rtol=0.02, atol=0.02)  # importance sampling by the same numbers
    loss = model.loss("model", batch)
    assert set(loss.terms) == {"likelihood.x", "dequantization.x"}
    assert float(loss.total) == pytest.approx(float(sum(loss.terms.values())), rel=1e-9)
    bits = bits_per_dim(bound, torch.zeros(()), 2)
    assert float(bits.mean()) >= float(bits_per_dim(exact, torch.zeros(()), 2).mean()) > 0


def test_training_it_tightens_the_bound() -> None:
    """The model stays; what the dequantizer loses against log P(k) becomes smaller."""
    model, module, batch = parts(0.0)
    with torch.no_grad():
        model.get_parameter("decoder.x.raw").add_(torch.tensor([1.0, -1.0, -0.5, 0.3, 0.8]))
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-2)

    def loss(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return torch.stack([model.loss("model", batch).total for _ in range(20)]).mean()

    before = float(loss(1).detach())
    for step in range(150):
        optimiser.zero_grad()
        model.loss("model", batch, step).total.backward()
        optimiser.step()
    assert float(loss(1).detach()) < before - 0.02


def test_given_values_are_taken_as_they_are() -> None:
    model, _, batch = parts(0.3)
    x = torch.randn(5, 2)
    with torch.no_grad():
        torch.testing.assert_close(model.log_prob({"x": x}), model.log_prob(x), rtol=0, atol=0)
        assert not torch.equal(model.dequantized(batch).values["x"], batch.values["x"])
        assert model.batch(batch).cells == {}
