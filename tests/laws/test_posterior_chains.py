"""Laws of encoders that are Langevin chains on p: the posterior of a linear-Gaussian model, potentials, cut ends."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from gendsl.compiler.derive.posterior_chains import blanket
from gendsl.data.dataset import Batch
from gendsl.nn.model import Model
from gendsl.nn.posterior import PosteriorChain
from gendsl.runtime.run import compile_model
from tests.compiler.cases import CASES, MOONS, MOONS_Y, graph_of

SCALE, EPS = 0.5, 0.05
LINEAR = f"""
prior: {{z: {{dist: normal, shape: [2]}}}}
decoder: {{x: {{given: z, dist: {{type: normal, scale: {SCALE}}}, net: {{type: mlp, hidden: []}}}}}}
encoder: {{z: {{given: x, dist: {{type: langevin, steps: 250, step_size: {EPS}}}}}}}
"""
TILTED = "energy: {z: {net: {type: mlp, hidden: [6], activation: silu}, negatives: langevin}}\n"
SUMMED = """
prior: {c: {dist: {type: categorical, classes: 3}}, z: {given: c, dist: normal, shape: [2], net: mlp}}
decoder: {x: {given: z, dist: normal, net: mlp}, y: {given: [z, c], dist: categorical, net: mlp}}
encoder: {z: {given: [x, y], dist: langevin}}
"""


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def chain_of(model: Model) -> PosteriorChain:
    module = model.factor("encoder.z")
    assert isinstance(module, PosteriorChain)
    return module


def drawn(model: Model, values: dict[str, Tensor]) -> tuple[PosteriorChain, Batch]:
    return chain_of(model), model.batch(values)


def compiled(body: str) -> Model:
    return compile_model(graph_of(body)).double()


def affine(model: Model) -> tuple[Tensor, Tensor]:
    """The matrix and the constant of a linear decoder."""
    points = torch.cat([torch.zeros(1, 2), torch.eye(2)]).double()
    means = model.decode({"z": points})["x"].detach()
    return (means[1:] - means[0]).T, means[0]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_posterior_of_a_linear_gaussian_model(temperature: float) -> None:
    """Mean (I + W'W/s^2)^-1 W'(x - b)/s^2 = P^-1 h; covariance P^-1 (I - eps P/4)^-1 of the discretised chain.

    Another scale of the noise has T times that covariance: it fails the comparison.
    """
    model = compiled(MOONS + LINEAR)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.copy_(torch.randn_like(parameter))
    weight, bias = affine(model)
    x = torch.tensor([0.8, -1.1], dtype=torch.float64)
    precision = torch.eye(2) + weight.T @ weight / SCALE**2
    assert float(torch.linalg.eigvalsh(precision)[-1]) * EPS < 2, "the chain is stable"
    mean = torch.linalg.solve(precision, weight.T @ (x - bias) / SCALE**2)
    covariance = torch.linalg.inv(precision @ (torch.eye(2) - EPS / 4 * precision))
    values = {"x": x.expand(6000, 2)}
    ends = model.distribution("encoder.z", values, 6000).draw(temperature)[0]
    torch.testing.assert_close(ends.mean(0), mean, rtol=0.03, atol=0.03)
    found = torch.cov(ends.T)
    error = (found - temperature * covariance).norm() / covariance.norm()
    assert float(error) < 0.06
    assert float((found - covariance).norm() / covariance.norm()) < 0.06 or temperature != 1.0
    if temperature != 1.0:
        with pytest.raises(AssertionError):
            torch.testing.assert_close(found, covariance, rtol=0.15, atol=0.01)


def test_every_row_has_its_own_posterior_and_starts_at_the_prior() -> None:
    model = compiled(
        MOONS + LINEAR.replace("steps: 250", "steps: 1").replace(f"step_size: {EPS}", "step_size: 1e-12")
    )
    ends = model.encode({"x": torch.randn(20_000, 2).double() * 9})["z"]
    torch.testing.assert_close(ends.mean(0), torch.zeros(2).double(), rtol=0, atol=0.03)
    torch.testing.assert_close(torch.cov(ends.T), torch.eye(2).double(), rtol=0.04, atol=0.04)
    model = compiled(MOONS + LINEAR)
    near, far = torch.tensor([[0.0, 0.0]]).double(), torch.tensor([[3.0, -3.0]]).double()
    together = model.encode({"x": torch.cat([near, far]).repeat(400, 1)})["z"].view(400, 2, 2).mean(0)
    alone = model.encode({"x": far.repeat(400, 1)})["z"].mean(0)
    torch.testing.assert_close(together[1], alone, rtol=0.1, atol=0.1)
    assert float((together[0] - together[1]).norm()) > 0.3


def test_the_potential_is_minus_log_p() -> None:
    model = compiled(MOONS + LINEAR + TILTED)
    x, z = torch.randn(5, 2).double(), torch.randn(5, 2).double()
    chain, batch = drawn(model, {"x": x})
    log_x = model.distribution("decoder.x", {"z": z}, 5).log_prob(x)
    log_z = Normal(0.0, 1.0).log_prob(z).sum(1)
    tilt = model.factor("energy.z")(z)
    assert float(tilt.detach().abs().min()) > 1e-4
    torch.testing.assert_close(chain.potential(batch)(z), -log_x - log_z + tilt)


def test_the_potential_sums_out_what_is_finite() -> None:
    model = compiled(MOONS_Y + SUMMED)
    assert blanket(model.graph, "z") == ({"z", "c"}, {"x", "y"})
    x, y, z = torch.randn(4, 2).double(), torch.tensor([0, 1, 1, 0]), torch.randn(4, 2).double()
    chain, batch = drawn(model, {"x": x, "y": y})
    joint = []
    for c in range(3):
        given = {"c": torch.full((4,), c), "z": z}
        log_z = model.distribution("prior.z", given, 4).log_prob(z)
        joint.append(log_z + model.distribution("decoder.y", given, 4).log_prob(y) - math.log(3))
    log_x = model.distribution("decoder.x", {"z": z}, 4).log_prob(x)
    torch.testing.assert_close(chain.potential(batch)(z), -log_x - torch.logsumexp(torch.stack(joint), 0))


def test_terms_are_minus_log_p_at_the_chains_end_which_is_cut() -> None:
    """The gradient is that of log p(x, z) at fixed z (Fisher's identity); a tilted prior adds E of it."""
    body = LINEAR.replace("steps: 250", "steps: 2") + TILTED
    model = compiled(MOONS + body)
    batch = model.batch(torch.randn(30, 2).double())
    torch.manual_seed(1)
    loss = model.loss("model", batch, terms=["reconstruction.x", "prior.z"])
    torch.manual_seed(1)
    z = chain_of(model).condition(batch.values, 30).draw()[0]
    assert not z.requires_grad
    log_x = model.distribution("decoder.x", {"z": z}, 30).log_prob(batch.values["x"]).mean()
    log_z = (Normal(0.0, 1.0).log_prob(z).sum(1) - model.factor("energy.z")(z)).mean()
    torch.testing.assert_close(loss.terms["reconstruction.x"], -log_x.detach())
    torch.testing.assert_close(loss.terms["prior.z"], -log_z.detach())
    named = [p for _, p in model.parameters_of(["decoder.x", "energy.z"])]
    ours = torch.autograd.grad(loss.total, named)
    for one, other in zip(ours, torch.autograd.grad(-log_x - log_z, named), strict=True):
        torch.testing.assert_close(one, other)


def test_training_finds_the_marginal_of_a_linear_gaussian_model() -> None:
    """With enough steps the gradient is that of log p(x): the model's covariance W W' + s^2 I comes to the data's."""
    model = compiled(MOONS + LINEAR.replace("steps: 250", "steps: 40"))
    wanted = torch.tensor([[1.5, 0.6], [0.6, 0.8]]).double()
    data = torch.randn(2000, 2).double() @ torch.linalg.cholesky(wanted).T
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for step in range(150):
        rows = data[torch.arange(step * 100, step * 100 + 100) % 2000]
        optimiser.zero_grad()
        model.loss("model", model.batch(rows)).total.backward()
        optimiser.step()
    weight, _ = affine(model)
    found = weight @ weight.T + SCALE**2 * torch.eye(2)
    assert float((found - wanted).norm() / wanted.norm()) < 0.25


def test_log_prob_comes_from_the_prior_and_is_near_the_truth() -> None:
    model = compiled(MOONS + LINEAR)
    x = torch.randn(8, 2).double()
    weight, bias = affine(model)
    exact = torch.distributions.MultivariateNormal(
        bias, weight @ weight.T + SCALE**2 * torch.eye(2).double()
    ).log_prob(x)
    torch.testing.assert_close(model.log_prob(x, 20_000), exact, rtol=0.05, atol=0.05)
    plan = model.graph.capabilities["log_prob"]
    assert (plan.how, str(plan.kind)) == ("importance sampling from the prior", "lower")


@pytest.mark.parametrize("name", [n for n in CASES if n.startswith("langevin_")])
def test_what_every_case_says_of_its_chain(name: str) -> None:
    graph = graph_of(CASES[name].text)
    assert graph.objective_kind == "none"
    assert {str(t.kind) for t in graph.terms if t.family in ("reconstruction", "prior")} == {"none"}
    assert "Langevin, 3 steps from the prior" in (graph.capabilities["encode"].how or "")
