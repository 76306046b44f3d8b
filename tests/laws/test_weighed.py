"""Laws of discrete variables that an adversary sees as weights of their values."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from gendsl.nn import estimators
from gendsl.nn.conditioning import Read
from gendsl.nn.model import Model
from gendsl.nn.objective.evaluation import Evaluation
from gendsl.nn.objective.tuples import pack, tuples
from gendsl.runtime.run import compile_model
from gendsl.schema.facts import Input, Support
from tests.compiler.cases import BINARY, BINARY_Y, CASES, UNIT_Y, VAE, graph_of, messages, problems

GAME = """
prior: {z: {dist: normal, shape: [4]}}
decoder: {x: {given: z, dist: bernoulli, net: mlp}}
adversary: {d: {sees: x, net: mlp}}
objective: {estimator: {x: ESTIMATOR}}
"""


def model_of(body: str, seed: int = 0) -> Model:
    torch.manual_seed(seed)
    model = compile_model(graph_of(body)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def game(estimator: str) -> Model:
    return model_of(BINARY + GAME.replace("ESTIMATOR", estimator))


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("support", [Support(0, 1, True), Support(-2, 4, True), Support(0, 16, True)])
def test_weights_at_one_value_are_read_as_that_value(labels: bool, support: Support) -> None:
    torch.manual_seed(0)
    read = Read(Input("x", (3, 2), support, labels)).double()
    low, count = int(support.low), support.count
    assert count is not None
    value = torch.randint(0, count, (5, 3, 2))
    weights = F.one_hot(value, count).double()
    place = value if labels else value + low
    torch.testing.assert_close(read(weights), read(place))
    other = F.one_hot(torch.randint(0, count, (5, 3, 2)), count).double()
    torch.testing.assert_close(read(0.3 * weights + 0.7 * other), 0.3 * read(weights) + 0.7 * read(other))


@pytest.mark.parametrize("estimator", ["straight_through", "{type: gumbel, temperature: 0.3}"])
def test_the_real_side_is_the_data_and_the_gradient_reaches_the_decoder(estimator: str) -> None:
    model = game(estimator)
    x = torch.bernoulli(torch.full((6, 1, 8, 8), 0.4)).double()
    real, fake = tuples(Evaluation(model, model.batch({"x": x}), 0, training=True), model.graph.critics["d"])
    assert torch.equal(real["x"].argmax(-1).double(), x)
    assert torch.equal(real["x"].sum(-1), torch.ones_like(x))
    assert real["x"].shape == fake["x"].shape == (6, 1, 8, 8, 2)
    torch.testing.assert_close(fake["x"].sum(-1), torch.ones_like(x))
    model.losses({"x": x})["model"].total.backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in model.decoder.parameters())
    assert all(p.grad is None for p in model.adversary.parameters())


def test_straight_through_shows_values_and_gumbel_weights() -> None:
    hard, soft = (game(e).ancestral(4, relaxed_at=0)["x"].detach() for e in ("straight_through", "gumbel"))
    assert bool(((hard - hard.round()).abs() < 1e-9).all())
    assert float((soft * (1 - soft)).mean()) > 0.01
    plain = game("gumbel").ancestral(4)["x"]
    assert plain.shape == (4, 1, 8, 8)


def test_the_heaviest_weight_is_a_draw_of_the_decoder() -> None:
    torch.manual_seed(1)
    model = game("{type: gumbel, temperature: 2.0}")
    variable = model.graph.variables["x"]
    z = torch.randn(1, 4, dtype=torch.float64)
    p = model.distribution("decoder.x", {"z": z}, 1).mean().detach()
    drawn = model.ancestral(3000, latents={"z": z.expand(3000, 4)}, relaxed_at=0)["x"]
    frequency = estimators.settled(drawn, variable).double().mean(0)
    assert float((frequency - p[0]).abs().max()) < 4.5 * 0.5 / 3000**0.5
    assert float(p.std()) > 0.05


def test_values_and_weights_are_taken_as_they_come() -> None:
    variable = game("gumbel").graph.variables["x"]
    value = torch.randint(0, 2, (3, 1, 8, 8))
    weights = estimators.as_weights(value, variable, torch.float64)
    assert torch.equal(estimators.settled(weights, variable), value)
    assert estimators.as_weights(weights, variable, torch.float64) is weights
    assert estimators.settled(value, variable) is value


def test_packed_weights_keep_their_values_together() -> None:
    weights = F.one_hot(torch.randint(0, 3, (7, 2, 4, 4)), 3).double()
    side = pack(weights, 3, weights=True)
    assert side.shape == (2, 6, 4, 4, 3)
    assert torch.equal(side[1, 2:4], weights[4])


def test_a_learned_prior_learns_through_its_relaxed_code() -> None:
    model = model_of(CASES["gan_of_pixels_and_labels"].text)
    batch = {"x": torch.rand(8, 1, 8, 8).double(), "y": torch.randint(0, 10, (8,))}
    model.losses(batch)["model"].total.backward()
    learned = [*model.parameters_of(["prior.c", "decoder.y"])]
    assert len(learned) > 2
    assert all(p.grad is not None and float(p.grad.abs().sum()) > 0 for _, p in learned)


def test_the_gradient_through_gumbel_weights_is_that_of_finite_differences() -> None:
    model = game("{type: gumbel, temperature: 0.7}")
    x = torch.bernoulli(torch.full((6, 1, 8, 8), 0.4)).double()
    parameters = list(model.get_submodule("decoder").parameters())

    def value() -> torch.Tensor:
        torch.manual_seed(7)
        return model.losses({"x": x})["model"].total

    gradient = torch.autograd.grad(value(), parameters)
    expected = sum(float(g.square().sum()) for g in gradient)
    assert expected > 1e-6
    ends = []
    for by in (1e-5, -2e-5):
        with torch.no_grad():
            for parameter, part in zip(parameters, gradient, strict=True):
                parameter.add_(part, alpha=by)
        ends.append(float(value().detach()))
    assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(expected, rel=1e-5)


def test_both_sides_of_a_relaxed_code_are_weights() -> None:
    model = model_of(CASES["bigan_of_codes"].text)
    batch = model.batch({"x": torch.rand(5, 1, 8, 8).double()})
    real, fake = tuples(Evaluation(model, batch, 0, training=True), model.graph.critics["d"])
    assert real["c"].shape == fake["c"].shape == (5, 3, 5)
    model.losses(batch)["model"].total.backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in model.encoder.parameters())


@pytest.mark.parametrize(
    ("body", "code", "place", "reason"),
    [
        (BINARY + GAME.replace("ESTIMATOR", "score_function"), "GD505", "bernoulli", "straight_through"),
        (
            BINARY
            + "\nordering: {x: {type: raster}}\nprior: {z: {dist: normal, shape: [2]}}\n"
            + "decoder: {x: {given: z, dist: bernoulli, net: made}}\nadversary: {d: {sees: x, net: mlp}}\n"
            + "objective: {estimator: {x: gumbel}}",
            "GD505",
            "gumbel",
            "no product over entries",
        ),
        (
            BINARY
            + GAME.replace("ESTIMATOR", "gumbel").replace(
                "net: mlp}}\nobjective", "augment: differentiable, net: conv_down}}\nobjective"
            ),
            "GD520",
            "augment",
            "not built to be augmented",
        ),
        (
            BINARY_Y + VAE + "adversary: {d: {sees: z, net: mlp}}\nobjective: {estimator: {x: gumbel}}",
            "GD507",
            "x",
            "no adversary's gradient",
        ),
        (
            UNIT_Y
            + "\ncondition: [y]\nprior: {z: {dist: normal, shape: [3]}}\n"
            + "decoder: {x: {given: [z, y], dist: deterministic, net: mlp}}\n"
            + "adversary: {d: {sees: [x, y], net: mlp}}\nobjective: {estimator: {y: gumbel}}",
            "GD507",
            "y",
            "nothing to estimate",
        ),
    ],
)
def test_what_cannot_be_relaxed_is_refused_there(body: str, code: str, place: str, reason: str) -> None:
    assert reason in messages(body)
    assert (code, place) in problems(body)


def test_the_help_works_when_it_is_followed() -> None:
    body = BINARY + GAME.replace("objective: {estimator: {x: ESTIMATOR}}", "")
    assert [code for code, _ in problems(body)] == ["GD505"]
    assert "objective: {estimator: {x: straight_through}}" in messages(body)
    assert problems(body + "objective: {estimator: {x: straight_through}}") == []
