"""Laws of the total correlation's estimator, and of what weights, free bits and capacity make of the bound."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from gendsl.compiler.build import build
from gendsl.compiler.pipeline import analyse
from gendsl.nn.model import Model
from gendsl.runtime.verify.subject import perturb
from gendsl.schema.load import loads
from tests.laws.test_bounds import LINEAR, raw_scale, set_linear

ASKED = "objective: {total_correlation: {z: {weight: 5}}}\n"


def compiled(text: str) -> Model:
    torch.manual_seed(0)
    model = build(analyse(loads(text))).double()
    perturb(model, 0.4)
    return model


def test_the_total_correlation_of_a_correlated_normal() -> None:
    """z = A x + noise with x standard normal: q(z) is normal, and its total correlation is known."""
    model = compiled(LINEAR.replace("rows: 40", "rows: 1000") + ASKED)
    weight = torch.tensor([[1.0, 0.4, 0.0], [0.8, 0.0, 0.5]], dtype=torch.float64)
    scale = torch.tensor([0.5, 0.7], dtype=torch.float64)
    raw = torch.cat([weight, torch.zeros(2, 3)])
    set_linear(model, "encoder.z", raw, torch.cat([torch.zeros(2), raw_scale(scale)]))
    covariance = weight @ weight.T + torch.diag(scale**2)
    wanted = 0.5 * float(covariance.diagonal().log().sum() - torch.logdet(covariance))
    torch.manual_seed(1)
    found = []
    for _ in range(6):
        batch = model.batch({"x": torch.randn(1000, 3, dtype=torch.float64)})
        found.append(
            float(model.loss("model", batch, terms=["total_correlation.z"]).terms["total_correlation.z"])
        )
    constant = math.log(1000)  # (D - 1) log N
    assert wanted > 0.15
    assert sum(found) / len(found) == pytest.approx(wanted + constant, abs=0.08)
    q = MultivariateNormal(torch.zeros(2, dtype=torch.float64), covariance)
    z = q.sample((20_000,))
    apart = Normal(0.0, covariance.diagonal().sqrt()).log_prob(z).sum(1)
    assert float((q.log_prob(z) - apart).mean()) == pytest.approx(wanted, abs=0.03)


def test_the_estimator_by_a_double_loop() -> None:
    model = compiled(LINEAR + ASKED)
    x = torch.randn(6, 3, dtype=torch.float64)
    batch = model.batch({"x": x})
    torch.manual_seed(2)
    found = float(model.loss("model", batch, terms=["total_correlation.z"]).terms["total_correlation.z"])
    torch.manual_seed(2)
    q = model.distribution("encoder.z", {"x": x}, 6)
    z = q.draw()[0].detach()
    shown = q.distribution()  # type: ignore[attr-defined]
    normal = Normal(shown.mean.detach(), shown.stddev.detach())
    rows = 32  # 80 % of 40
    total = 0.0
    for i in range(6):
        joint, each = 0.0, [0.0, 0.0]
        for j in range(6):
            density = [
                float(Normal(normal.mean[j, d], normal.stddev[j, d]).log_prob(z[i, d]).exp()) for d in (0, 1)
            ]
            joint += density[0] * density[1]
            each = [a + b for a, b in zip(each, density, strict=True)]
        total += math.log(joint / (rows * 6)) - sum(math.log(v / (rows * 6)) for v in each)
    assert found == pytest.approx(total / 6, rel=1e-9)


@pytest.mark.parametrize("options", ["free_bits: 0.5", "weight: 3", "free_bits: 0.2, weight: 2"])
def test_a_looser_bound_is_below_the_elbo(options: str) -> None:
    model, plain = compiled(LINEAR + f"objective: {{kl: {{z: {{{options}}}}}}}"), compiled(LINEAR)
    assert "looser bound" in model.graph.objective_says
    batch = model.batch({"x": torch.randn(50, 3, dtype=torch.float64)})
    for seed in range(5):
        torch.manual_seed(seed)
        mine = -float(model.loss("model", batch).total.detach())
        torch.manual_seed(seed)
        assert mine < -float(plain.loss("model", batch).total.detach())


@pytest.mark.parametrize(
    "options", ["weight: 0.2", "weight: 0.2, free_bits: 0.01", "capacity: 0.9, weight: 2"]
)
def test_what_says_that_it_is_no_bound_can_exceed_log_p(options: str) -> None:
    """With q the posterior and the KL near the capacity, minus the objective is above log p."""
    from tests.laws.test_bounds import exact_posterior, joint_normal

    model = compiled(LINEAR + f"objective: {{kl: {{z: {{{options}}}}}}}")
    assert "not a bound" in model.graph.objective_says
    weight, bias = exact_posterior(model)
    x = torch.randn(400, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) @ weight.T + bias
    torch.manual_seed(0)
    found = -float(model.loss("model", model.batch({"x": x})).total.detach())
    assert found > float(joint_normal(x, weight, bias).mean()) + 0.05


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("weight: 2, warmup: 9", "a looser bound, not the ELBO"),
        ("free_bits: 0.1, warmup: 9", "a looser bound, not the ELBO"),
        ("free_bits: 0.1, weight: 0.5", "not a bound: the KL counts less than it should"),
        ("capacity: 3, weight: 100", "not a bound: the KL is driven to a target"),
        ("capacity: 3, warmup: 9", "changes while training: not a bound"),
    ],
)
def test_the_words_of_a_kl(options: str, words: str) -> None:
    assert words in analyse(loads(LINEAR + f"objective: {{kl: {{z: {{{options}}}}}}}")).objective_says


@pytest.mark.parametrize("capacity", [0.1, 50.0])
def test_a_capacity_costs_the_distance_of_the_kl_on_either_side(capacity: float) -> None:
    model = compiled(LINEAR + f"objective: {{kl: {{z: {{capacity: {capacity}, weight: 2}}}}}}")
    found = model.loss("model", model.batch({"x": torch.randn(50, 3, dtype=torch.float64)}), terms=["kl.z"])
    kl = float(found.terms["kl.z"])
    assert 0.1 < kl < 50
    assert float(found.total.detach()) == pytest.approx(2 * abs(kl - capacity))
