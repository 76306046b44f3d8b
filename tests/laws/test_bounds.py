"""Laws of the objective: bounds on models whose log p is known, and terms against numbers worked out by hand.

The numbers -1.635, -1.968, -1.516, -1.294 and 0.2216 are those of the derivation rules (two levels of
latents, and adversarial variational Bayes).
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from gendsl.compiler.build import build
from gendsl.compiler.graph import How
from gendsl.compiler.pipeline import analyse
from gendsl.data.dataset import Batch
from gendsl.errors import UsageError
from gendsl.nn.distributions import LOGIT_OF_ONE, MIN_SCALE
from gendsl.nn.inference import Trace
from gendsl.nn.model import Model
from gendsl.nn.objective import loss
from gendsl.nn.objective.adversarial import tuples
from gendsl.nn.objective.evaluation import Evaluation, weight_at
from gendsl.runtime.verify.bounds import by_hand
from gendsl.runtime.verify.linear_gaussian import is_linear_gaussian, log_density
from gendsl.runtime.verify.states import by_states
from gendsl.runtime.verify.subject import perturb
from gendsl.schema.load import loads

ROWS = 6
LINEAR = """
gendsl: 1
data: {source: memory, rows: 40, columns: {a: {shape: [3]}}, bind: {x: a}}
train: {batch_size: 10}
prior: {z: {dist: normal, shape: [2]}}
decoder: {x: {given: z, dist: normal, scale: fixed, net: {type: mlp, hidden: []}}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: []}}}
"""


def compiled(text: str, *, seed: int = 0) -> Model:
    """The float64 model of a spec at drawn parameters."""
    torch.manual_seed(seed)
    model = build(analyse(loads(text))).double()
    perturb(model, 0.4)
    return model


def log_normal(x: Tensor, mean: Tensor | float, variance: Tensor | float) -> Tensor:
    variance = torch.as_tensor(variance, dtype=torch.float64)
    return -0.5 * (x - mean) ** 2 / variance - 0.5 * torch.log(2 * math.pi * variance)


def raw_scale(scale: Tensor | float) -> Tensor:
    """The raw number whose scale this is."""
    value = torch.as_tensor(scale, dtype=torch.float64) - MIN_SCALE
    return torch.log(torch.expm1(value)) - LOGIT_OF_ONE


def set_linear(
    model: Model, factor: str, weight: list[list[float]] | Tensor, bias: list[float] | Tensor
) -> None:
    """The output layer of a factor whose net is linear."""
    layer = model.get_submodule(f"{factor}.head.layer")
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(weight, dtype=torch.float64))
        layer.bias.copy_(torch.as_tensor(bias, dtype=torch.float64))


def exact_posterior(model: Model) -> tuple[Tensor, Tensor]:
    """Sets decoder and encoder of LINEAR so that q is the posterior; returns W, b of N(Wz + b, 1)."""
    weight = torch.tensor([[1.0, 0.5], [-0.8, 1.0], [0.6, 0.5]], dtype=torch.float64)
    weight[:, 1] -= weight[:, 0] * (weight[:, 0] @ weight[:, 1]) / weight[:, 0].square().sum()
    bias = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
    set_linear(model, "decoder.x", weight, bias)
    variance = 1 / (1 + weight.square().sum(0))  # the columns are orthogonal
    to_mean = variance[:, None] * weight.T
    set_linear(
        model,
        "encoder.z",
        torch.cat([to_mean, torch.zeros(2, 3, dtype=torch.float64)]),
        torch.cat([-to_mean @ bias, raw_scale(variance.sqrt())]),
    )
    return weight, bias


def joint_normal(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    cov = weight @ weight.T + torch.eye(len(bias), dtype=torch.float64)
    found: Tensor = torch.distributions.MultivariateNormal(bias, cov).log_prob(x)
    return found


@pytest.fixture
def x() -> Tensor:
    return torch.randn(ROWS, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64) * 1.5


def terms(model: Model, batch: Batch, seed: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
    torch.manual_seed(seed)
    loss = model.loss("model", batch, training=False)
    return loss.total, loss.terms


# -- linear-Gaussian -----------------------------------------------------------------------------------------


def test_with_the_exact_posterior_every_weight_is_log_p(x: Tensor) -> None:
    model = compiled(LINEAR)
    log_p = joint_normal(x, *exact_posterior(model))
    log_w = Trace(model, model.batch(x), 64, marginal=True, corrupt=False).log_joint()
    assert log_w.shape == (64, ROWS)
    assert torch.allclose(log_w, log_p.expand(64, -1), rtol=1e-10)
    for number in (model.log_prob(x, 1), model.log_prob(x, 7), model.elbo(x), -model.ood(x)):
        assert torch.allclose(number, log_p, rtol=1e-10)


def test_the_joint_normal_of_verify_is_that_by_hand(x: Tensor) -> None:
    model = compiled(LINEAR)
    weight, bias = exact_posterior(model)
    assert is_linear_gaussian(model.graph)
    assert torch.allclose(log_density(model, model.batch(x)), joint_normal(x, weight, bias), rtol=1e-12)


def test_iwae_of_one_sample_is_the_elbo_and_more_samples_are_tighter(x: Tensor) -> None:
    model = compiled(LINEAR)
    weight, bias = exact_posterior(model)
    perturb(model.factor("encoder.z"), 0.15)
    log_p = joint_normal(x, weight, bias)
    torch.manual_seed(1)
    one = model.log_prob(x, 1)
    torch.manual_seed(1)
    assert torch.equal(one, model.elbo(x))

    def mean(k: int) -> tuple[float, float]:
        found = torch.stack([model.log_prob(x, k).mean() for _ in range(200)])
        return float(found.mean()), float(found.std()) / 200**0.5

    means, errors = zip(*(mean(k) for k in (1, 4, 32)), strict=True)
    for i in range(2):
        assert means[i] < means[i + 1] - 2 * errors[i]
    assert means[2] < float(log_p.mean()) + 4 * errors[2]
    assert means[2] > float(log_p.mean()) - 0.5


def test_the_closed_form_kl_completes_log_p_and_a_factor_of_0499_would_show(x: Tensor) -> None:
    """At the exact posterior: -E_q log p(x|z) by formula, plus the model's KL, is -log p."""
    model = compiled(LINEAR)
    weight, bias = exact_posterior(model)
    assert model.graph.routes["z"].how is How.CLOSED
    variance = 1 / (1 + weight.square().sum(0))
    mean = (x - bias) @ weight * variance
    distance = (x - mean @ weight.T - bias).square().sum(1) + (weight.square() * variance).sum()
    expected = 0.5 * distance + 1.5 * math.log(2 * math.pi)
    log_p = joint_normal(x, weight, bias).mean()
    kl = terms(model, model.batch(x))[1]["kl.z"]
    assert torch.allclose(expected.mean() + kl, -log_p, rtol=1e-10)
    assert abs(float(expected.mean() + kl * 0.499 / 0.5 + log_p)) > 1e-3


@pytest.mark.parametrize("weight", [1.0, 4.0])
def test_beta_weighs_the_kl_and_one_is_the_elbo(x: Tensor, weight: float) -> None:
    model = compiled(LINEAR + f"objective: {{kl: {{z: {{weight: {weight}}}}}}}\n")
    plain = compiled(LINEAR)
    total, found = terms(model, model.batch(x))
    elbo, parts = terms(plain, plain.batch(x))
    assert parts == found
    assert torch.allclose(total, found["reconstruction.x"] + weight * found["kl.z"], rtol=1e-12)
    assert (weight == 1.0) == torch.allclose(total, elbo, rtol=1e-12)


@pytest.mark.parametrize("bound", ["{type: iwae, samples: 5}", "{type: renyi, samples: 5, alpha: 0.3}"])
@pytest.mark.parametrize("weight", [1.0, 2.5])
def test_weighted_terms_and_bound_add_up_to_minus_the_bound(x: Tensor, bound: str, weight: float) -> None:
    """Values and gradients, against (1/s) log mean w^s from the factors alone."""
    model = compiled(LINEAR + f"objective: {{bound: {bound}, kl: {{z: {{weight: {weight}}}}}}}\n")
    power = 1.0 if "iwae" in bound else 0.7
    batch = model.batch(x)
    total, found = terms(model, batch)
    name = "bound.iwae" if power == 1.0 else "bound.renyi"
    assert torch.allclose(total, found["reconstruction.x"] + weight * found["kl.z"] + found[name], rtol=1e-12)
    torch.manual_seed(0)
    repeated = {"x": x.repeat(5, 1)}
    q = model.distribution("encoder.z", repeated, 5 * ROWS)
    z, log_q = q.draw()
    assert log_q is not None
    log_p_z = log_normal(z, 0.0, 1.0).sum(1)
    log_p_x = model.distribution("decoder.x", {"z": z}, 5 * ROWS).log_prob(repeated["x"])
    log_w = (log_p_x + weight * (log_p_z - log_q)).view(5, ROWS)
    wanted = -((torch.logsumexp(power * log_w, 0) - math.log(5)) / power).mean()
    assert torch.allclose(total, wanted, rtol=1e-12)
    parameters = [p for _, p in model.named_parameters()]
    mine, other = torch.autograd.grad(total, parameters), torch.autograd.grad(wanted, parameters)
    assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(mine, other, strict=True))
    assert all(float(a.abs().max()) > 1e-6 for a in mine)
    entropy = float(found[name]) * power
    assert 0 < entropy < math.log(5)


def test_the_elbos_terms_by_hand(x: Tensor) -> None:
    model = compiled(LINEAR)
    _, found = terms(model, model.batch(x))
    torch.manual_seed(0)
    q = model.distribution("encoder.z", {"x": x}, ROWS)
    z = q.draw()[0]
    layer = model.get_submodule("encoder.z.head.layer")
    raw = x @ layer.weight.T + layer.bias
    mean = raw[:, :2]
    scale = torch.nn.functional.softplus(raw[:, 2:] + LOGIT_OF_ONE) + MIN_SCALE
    kl = (0.5 * (mean**2 + scale**2 - 1) - scale.log()).sum(1).mean()
    out = model.get_submodule("decoder.x.head.layer")
    reconstruction = -log_normal(x, z @ out.weight.T + out.bias, 1.0).sum(1).mean()
    assert torch.allclose(found["kl.z"], kl, rtol=1e-12)
    assert torch.allclose(found["reconstruction.x"], reconstruction, rtol=1e-12)


def test_a_warm_up_grows_the_weight_linearly() -> None:
    graph = analyse(loads(LINEAR + "objective: {kl: {z: {weight: 3, warmup: 10}}}\n"))
    term = next(t for t in graph.terms if t.name == "kl.z")
    assert [round(weight_at(term, s), 6) for s in (0, 5, 10, 20)] == [0.0, 1.5, 3.0, 3.0]


# -- two levels of latents -----------------------------------------------------------------------------------

LEVELS = """
gendsl: 1
data: {source: memory, rows: 40, columns: {a: {shape: [1]}}, bind: {x: a}}
train: {batch_size: 10}
prior:
  z2: {dist: normal, shape: [1]}
  z1: {given: z2, dist: normal, scale: fixed, shape: [1], net: {type: mlp, hidden: []}}
decoder: {x: {given: z1, dist: normal, scale: fixed, net: {type: mlp, hidden: []}}}
encoder:
  z1: {given: x, dist: normal, net: {type: mlp, hidden: []}}
  z2: {given: z1, dist: normal, net: {type: mlp, hidden: []}}
"""


def two_levels() -> Model:
    model = compiled(LEVELS)
    set_linear(model, "prior.z1", [[1.0]], [0.0])
    set_linear(model, "decoder.x", [[1.0]], [0.0])
    set_linear(model, "encoder.z1", [[2 / 3], [0.0]], [0.0, float(raw_scale((2 / 3) ** 0.5))])
    set_linear(model, "encoder.z2", [[1 / 2], [0.0]], [0.0, float(raw_scale(0.5**0.5))])
    return model


def test_two_levels_take_the_sampled_route() -> None:
    routes = two_levels().graph.routes
    assert routes["z1"].how is How.SAMPLED
    assert "z2" in routes["z1"].why
    assert routes["z2"].how is How.CLOSED


def test_two_levels_elbo_is_log_p_for_every_sample() -> None:
    model = two_levels()
    one = torch.ones(1000, 1, dtype=torch.float64)
    assert float(log_normal(one[0], 0.0, 3.0)) == pytest.approx(-1.635, abs=5e-4)
    assert torch.allclose(model.elbo(one), log_normal(one, 0.0, 3.0)[:, 0], rtol=1e-12)
    assert torch.allclose(log_density(model, model.batch(one[:2])), log_normal(one[:2], 0.0, 3.0)[:, 0])


def test_two_levels_loss_is_minus_log_p_and_the_forbidden_closed_form_is_not() -> None:
    model = two_levels()
    rows = 40_000
    batch = model.batch(torch.ones(rows, 1, dtype=torch.float64))
    torch.manual_seed(0)
    evaluation = Evaluation(model, batch, 0, training=False)
    total = float(loss(evaluation, model.graph.terms).total.detach())
    assert total == pytest.approx(1.635, abs=0.015)
    closed = evaluation.trace.closed_kl("z1").mean()
    sampled = evaluation.trace.kl("z1").mean()
    wrong = total + float((closed - sampled).detach())
    assert wrong == pytest.approx(1.968, abs=0.015)


# -- adversarial variational Bayes ---------------------------------------------------------------------------

AVB = """
gendsl: 1
data: {source: memory, rows: 40, columns: {a: {shape: [1]}}, bind: {x: a}}
train: {batch_size: 10}
prior: {z: {dist: normal, shape: [1]}}
decoder: {x: {given: z, dist: normal, scale: fixed, net: {type: mlp, hidden: []}}}
encoder: {z: {given: x, dist: {type: implicit, noise: 1}, net: {type: mlp, hidden: []}}}
adversary: {d: {sees: [x, z], net: {type: mlp, hidden: [8]}}}
"""


def adversarial() -> Model:
    """p(z) = N(0, 1), p(x | z) = N(z, 1), and an implicit encoder whose samples are N(x / 2, 1 / 2)."""
    model = compiled(AVB)
    set_linear(model, "decoder.x", [[1.0]], [0.0])
    inputs = [i.name for i in model.graph.factors["encoder.z"].inputs]
    weight = [[0.5 if name == "x" else 0.5**0.5 for name in inputs]]
    set_linear(model, "encoder.z", weight, [0.0])
    return model


def test_avb_has_data_on_both_sides() -> None:
    model = adversarial()
    critic = model.graph.critics["d"]
    assert critic.stands_in == "z"
    batch = model.batch(torch.linspace(-2, 2, 50, dtype=torch.float64).view(-1, 1))
    real, fake = tuples(Evaluation(model, batch, 0, training=True), critic)
    assert torch.equal(real["x"], batch.values["x"])
    assert torch.equal(fake["x"], batch.values["x"])
    assert not torch.allclose(real["z"], fake["z"])
    assert float((real["z"] - batch.values["x"] / 2).std().detach()) == pytest.approx(0.5**0.5, rel=0.3)


def test_avb_with_the_optimal_critic_is_log_p(monkeypatch: pytest.MonkeyPatch) -> None:
    model = adversarial()

    def optimal(values: dict[str, Tensor]) -> Tensor:
        log_q = log_normal(values["z"], values["x"] / 2, 0.5)
        return (log_q - log_normal(values["z"], 0.0, 1.0)).squeeze(1)

    monkeypatch.setattr(model.critic("d"), "forward", optimal)
    batch = model.batch(torch.ones(20_000, 1, dtype=torch.float64))
    log_p = float(log_normal(batch.values["x"][0], 0.0, 2.0))
    assert log_p == pytest.approx(-1.516, abs=5e-4)
    total, found = terms(model, batch)
    assert float(total.detach()) == pytest.approx(-log_p, abs=1e-9)
    assert float(found["adversary.d"]) == pytest.approx(0.2216, abs=0.02)
    assert -float(found["reconstruction.x"]) == pytest.approx(-1.294, abs=0.02)


def test_avb_by_comparing_the_two_joints_would_miss_the_kl() -> None:
    """With x from p on the fake side both joints are the same: the best critic says 0, and -1.294 is left."""
    model = adversarial()
    marginal = torch.randn(200_000, 1, dtype=torch.float64) * 2**0.5
    real_z = model.distribution("encoder.z", {"x": marginal}, len(marginal)).draw()[0]
    fake = model.ancestral(len(marginal))
    real = torch.cat([marginal, real_z], 1)
    joint = torch.cat([fake["x"], fake["z"]], 1)
    assert torch.allclose(real.T.cov(), joint.T.cov(), atol=0.03)
    one = torch.ones(20_000, 1, dtype=torch.float64)
    z = model.distribution("encoder.z", {"x": one}, len(one)).draw()[0]
    assert float(log_normal(one, z, 1.0).mean().detach()) == pytest.approx(-1.294, abs=0.02)


# -- finite latents ------------------------------------------------------------------------------------------

MIXTURE = """
gendsl: 1
data: {source: memory, rows: 40, columns: {a: {shape: [2]}}, bind: {x: a}}
train: {batch_size: 10}
prior: {c: {dist: categorical, classes: 3, logits: learned}}
decoder: {x: {given: c, dist: normal}}
"""


def components(model: Model, classes: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """log weights [C], means and scales [C, 2] of a mixture, from the factors' raw numbers."""
    prior, decoder = model.factor("prior.c"), model.factor("decoder.x")
    logits = prior.condition({}, 1).raw[0]
    raw = decoder.condition({"c": torch.arange(classes)}, classes).raw
    scale = torch.nn.functional.softplus(raw[:, 1] + LOGIT_OF_ONE) + MIN_SCALE
    return torch.log_softmax(logits, 0), raw[:, 0], scale


def test_a_mixture_is_summed_exactly() -> None:
    model = compiled(MIXTURE)
    assert model.graph.routes["c"].how is How.SUMMED
    values = torch.randn(ROWS, 2, dtype=torch.float64)
    log_weight, mean, scale = components(model)
    each = log_weight + log_normal(values[:, None], mean, scale**2).sum(-1)  # [N, C]
    wanted = torch.logsumexp(each, 1)
    assert torch.allclose(model.log_prob(values), wanted, rtol=1e-12)
    total, found = terms(model, model.batch(values))
    assert torch.allclose(total, -wanted.mean(), rtol=1e-12)
    assert set(found) == {"likelihood.x"}


def test_missing_entries_are_integrated_out() -> None:
    """log_prob of the entries that are there is their marginal density; NaN stands for what is missing."""
    model = compiled(MIXTURE + "variables: {x: {missing: true}}\n")
    values = torch.randn(ROWS, 2, dtype=torch.float64)
    known = torch.tensor(
        [[True, True], [True, False], [False, True], [False, False], [True, True], [False, True]]
    )
    log_weight, mean, scale = components(model)
    each = log_normal(values[:, None], mean, scale**2)  # [N, C, 2]
    wanted = torch.logsumexp(log_weight + (each * known[:, None]).sum(-1), 1)
    found = model.log_prob({"x": torch.where(known, values, math.nan)})
    assert torch.allclose(found, wanted, rtol=1e-12, atol=1e-12)
    assert float(found[3].detach()) == pytest.approx(0.0, abs=1e-12)
    complete = torch.logsumexp(log_weight + each.sum(-1), 1)
    assert torch.allclose(model.log_prob(values), complete, rtol=1e-12)


SEMI = """
gendsl: 1
data:
  source: memory
  rows: 40
  columns: {a: {shape: [2]}, b: {dtype: int64, classes: 3}}
  bind: {x: a, y: b}
train: {batch_size: 10}
variables: {y: {observed: {partial: 10}}}
prior: {y: {dist: categorical, logits: learned}}
decoder: {x: {given: y, dist: normal, net: {type: mlp, hidden: [5]}}}
encoder: {y: {given: x, dist: categorical, net: {type: mlp, hidden: [5]}}}
"""


def labelled() -> tuple[Model, Batch, dict[str, Tensor]]:
    """A model, a batch with labels on half of its rows, and the tables of all log-probabilities [N, 3]."""
    model = compiled(SEMI)
    values = torch.randn(ROWS, 2, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 0, 0, 0])
    known = torch.tensor([True, True, True, False, False, False])
    zeros = {n: torch.zeros(ROWS, dtype=torch.float64) for n in ("x", "y")}
    batch = Batch({"x": values, "y": labels}, zeros, {"y": known}, {}, torch.arange(ROWS))
    states = torch.arange(3)
    log_p_y = model.distribution("prior.y", {}, 3).log_prob(states).expand(ROWS, 3)
    log_p_x = torch.stack(
        [model.distribution("decoder.x", {"y": s.expand(ROWS)}, ROWS).log_prob(values) for s in states], 1
    )
    q = model.distribution("encoder.y", {"x": values}, ROWS)
    log_q = torch.stack([q.log_prob(s.expand(ROWS)) for s in states], 1)
    return model, batch, {"p_y": log_p_y, "p_x": log_p_x, "q": log_q, "known": known, "y": labels}


def test_partial_labels_by_enumeration() -> None:
    model, batch, tables = labelled()
    known, y = tables["known"], tables["y"][:, None]
    q = tables["q"].exp()

    def at(table: Tensor) -> Tensor:
        return table.gather(1, y)[:, 0]

    unknown = (q * tables["p_x"]).sum(1)
    wanted = {
        "reconstruction.x": -torch.where(known, at(tables["p_x"]), unknown).mean(),
        "likelihood.y": -(at(tables["p_y"]) * known).mean(),
        "kl.y": ((q * (tables["q"] - tables["p_y"])).sum(1) * ~known).mean(),
        "classification.y": -(at(tables["q"]) * known).mean(),
    }
    total, found = terms(model, batch)
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert torch.allclose(found[name], value, rtol=1e-11), name
        assert abs(float(value.detach())) > 1e-3
    assert torch.allclose(total, sum(wanted.values(), torch.zeros(())), rtol=1e-11)


def test_log_prob_sums_unknown_labels_and_takes_known_ones() -> None:
    model, batch, tables = labelled()
    joint = tables["p_y"] + tables["p_x"]
    wanted = torch.where(
        tables["known"], joint.gather(1, tables["y"][:, None])[:, 0], torch.logsumexp(joint, 1)
    )
    assert torch.allclose(model.log_prob(batch), wanted, rtol=1e-12)
    log_p, bound = by_states(model, batch)
    assert torch.allclose(log_p, wanted, rtol=1e-12)
    assert (bound <= log_p + 1e-12).all()
    x = batch.values["x"]
    assert torch.allclose(model.log_prob({"x": x}), torch.logsumexp(joint, 1), rtol=1e-12)
    both = {"x": x, "y": batch.values["y"]}
    assert torch.allclose(model.log_prob(both), joint.gather(1, tables["y"][:, None])[:, 0], rtol=1e-12)


def test_values_must_be_given() -> None:
    model = compiled(SEMI)
    with pytest.raises(UsageError, match="x"):
        model.log_prob({"y": torch.zeros(3, dtype=torch.int64)})


def test_weights_by_hand_are_those_of_the_trace(x: Tensor) -> None:
    model = compiled(LINEAR)
    torch.manual_seed(0)
    log_w: Any = Trace(model, model.batch(x), 3, marginal=True, corrupt=False).log_joint()
    torch.manual_seed(0)
    assert torch.allclose(by_hand(model, model.batch(x), 3), log_w, rtol=1e-12)
