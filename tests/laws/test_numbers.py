"""Numbers of whole models against what they stand for: log p by enumeration, quadrature, autograd, change of units."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gendsl.nn.model import Model
from gendsl.nn.preprocessing import bits_per_dim
from gendsl.runtime.evaluate import evaluate
from gendsl.runtime.run import untrained
from gendsl.runtime.verify.subject import perturb
from gendsl.schema.load import loads
from tests.laws.test_bounds import compiled

MEMORY = "gendsl: 1\ndata: {source: memory, rows: 40, columns: {a: {shape: [3]}}, bind: {x: a}}\n"
DISCRETE = """
prior: {c: {dist: categorical, classes: 4, shape: [3]}}
encoder: {c: {given: x, dist: categorical, classes: 4, net: {type: mlp, hidden: [5]}}}
decoder: {x: {given: c, dist: normal, net: {type: mlp, hidden: [5]}}}
objective: {estimator: {c: %s}}
"""
VAMP = """
prior: {z: {dist: {type: vamp, pseudo_inputs: 3}, shape: [1]}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: [5]}}}
decoder: {x: {given: z, dist: normal, net: {type: mlp, hidden: [5]}}}
"""
RESIDUAL = """
prior: {z: {dist: normal, shape: [3]}}
flow: {x: {given: z, stack: [{type: residual, repeat: 2}]}}
"""


def rows() -> Tensor:
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def repeated(model: Model, x: Tensor, k: int, times: int) -> tuple[Tensor, Tensor]:
    """The mean of log_prob with k samples over repetitions, and its standard error, [B] each."""
    torch.manual_seed(k)
    many = torch.stack([model.log_prob({"x": x}, k) for _ in range(times)])
    return many.mean(0), many.std(0) / math.sqrt(times)


def in_order(model: Model, x: Tensor, exact: Tensor) -> None:
    """ELBO = IWAE_1 <= IWAE_k <= log p, and the gap closes as k grows."""
    torch.manual_seed(0)
    elbo = model.elbo({"x": x}, 1000)
    means, errors = zip(*(repeated(model, x, k, n) for k, n in ((1, 1000), (4, 400), (64, 60))), strict=True)
    assert ((elbo - means[0]).abs() < 7 * errors[0]).all()
    for low, high, error in zip(means[:-1], means[1:], errors[:-1], strict=True):
        assert (low <= high + 5 * error).all()
    assert (means[-1] <= exact + 5 * errors[-1]).all()
    assert ((exact - means[-1]) < 0.5 * (exact - means[0]) + 5 * errors[-1]).all()
    assert (exact - means[0] > 5 * errors[0]).any()


@torch.no_grad()
@pytest.mark.parametrize("estimator", ["score_function", "gumbel", "straight_through"])
def test_bounds_of_discrete_latents_against_enumeration(estimator: str) -> None:
    model, x = compiled(MEMORY + DISCRETE % estimator), rows()
    states = torch.cartesian_prod(*[torch.arange(4)] * 3)
    prior = model.distribution("prior.c", {}, 1).repeat(len(states)).log_prob(states)
    assert float(prior.exp().sum()) == pytest.approx(1)
    given = model.distribution("decoder.x", {"c": states}, len(states))
    joint = torch.stack([given.log_prob(row.expand(len(states), 3)) for row in x]) + prior
    in_order(model, x, joint.logsumexp(1))


@torch.no_grad()
def test_bounds_under_pseudo_inputs_against_quadrature() -> None:
    model, x = compiled(MEMORY + VAMP), rows()
    z = torch.linspace(-30, 30, 6001, dtype=torch.float64)[:, None]
    prior = model.distribution("prior.z", {}, 1).repeat(len(z)).log_prob(z)
    step = float(z[1] - z[0])
    assert float(prior.exp().sum() * step) == pytest.approx(1, rel=1e-4)
    given = model.distribution("decoder.x", {"z": z}, len(z))
    joint = torch.stack([given.log_prob(row.expand(len(z), 3)) for row in x]) + prior
    in_order(model, x, joint.logsumexp(1) + math.log(step))


def test_a_residual_flow_has_the_density_of_autograds_jacobian() -> None:
    model, x = compiled(MEMORY + RESIDUAL), rows()

    def inverse(row: Tensor) -> Tensor:
        return model.encode({"x": row[None]})["z"][0]

    for row, found in zip(x, model.log_prob({"x": x}), strict=True):
        eye, step = torch.eye(3, dtype=torch.float64), 1e-5
        columns = [(inverse(row + step * e) - inverse(row - step * e)) / (2 * step) for e in eye]
        base = -0.5 * inverse(row).square().sum() - 1.5 * math.log(2 * math.pi)
        expected = base + torch.stack(columns, 1).det().abs().log()
        assert float(found) == pytest.approx(float(expected), abs=1e-5)
        assert abs(float(found - base)) > 1e-3


UNITS = """
gendsl: 1
data: {source: two_moons, bind: {x: {column: point, as: [%s]}}}
prior: {z: {dist: normal, shape: [2]}}
flow: {x: {given: z, stack: [{type: actnorm}]}}
"""


def test_bits_do_not_depend_on_the_units_of_the_variable() -> None:
    """The same density of the column, once of the column and once of the standardized one."""
    found = {}
    for steps in ("", "standardize"):
        _, model, data = untrained(loads(UNITS % steps))
        model.double()
        batch = data.parts["test"].batch(torch.arange(50))
        model.eval()
        x = batch.values["x"].double()
        det = batch.log_det["x"].double()
        found[steps] = (model, x, det)
    raw, x, _ = found[""]
    perturb(raw, 0.3)
    _, y, det = found["standardize"]
    slope = (y[1] - y[0]) / (x[1] - x[0])
    shift = y[0] - slope * x[0]
    assert torch.allclose(det, slope.log().sum().expand_as(det), rtol=1e-4)
    bits = bits_per_dim(raw.log_prob({"x": x}), torch.zeros_like(det), 2)
    through = raw.log_prob({"x": (y - shift) / slope}) - slope.log().sum()
    assert torch.allclose(bits_per_dim(through, det, 2), bits, rtol=1e-4)
    assert float((det / 2 / math.log(2)).abs().min()) > 1e-2


def test_a_number_that_is_not_finite_says_how_many_rows_are_to_blame() -> None:
    _, model, data = untrained(loads(UNITS % ""))
    model.log_prob = lambda batch, samples: batch.values["x"].sum(1) / (batch.rows % 50 != 0)  # type: ignore
    for name in ("log_prob", "bits_per_dim"):
        entry = evaluate(model, data, split="test", seed=0, samples=1, metrics=(name,))[name]
        assert entry["value"] is None
        assert entry["stderr"] is None
        assert "rows have a value that is not finite" in entry["why"]
