"""Laws of discrete latents: gradients of draws against enumeration, known labels, relaxed values.

The exact gradient comes from enumerating every value (or every tuple of k values); a mean of gradients over
many draws must agree within its standard error, and a planted bias must not.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from gendsl.compiler.build import build
from gendsl.compiler.pipeline import analyse
from gendsl.data.dataset import Batch
from gendsl.nn import estimators
from gendsl.nn.conditioning import Read
from gendsl.nn.model import Model
from gendsl.nn.objective import likelihoods
from gendsl.runtime.verify.subject import perturb
from gendsl.schema.components.estimator import Gumbel, StraightThrough
from gendsl.schema.facts import Input, categories
from gendsl.schema.load import loads

ROWS, COPIES, REPEATS = 3, 400, 12
TWO = """
gendsl: 1
data: {source: memory, rows: 40, columns: {a: {shape: [2]}}, bind: {x: a}}
train: {batch_size: 10}
prior:
  b: {dist: bernoulli, shape: [2]}
  c: {given: b, dist: categorical, classes: 3, net: {type: mlp, hidden: [4]}}
decoder: {x: {given: [b, c], dist: normal, net: {type: mlp, hidden: [4]}}}
encoder:
  b: {given: x, dist: bernoulli, net: {type: mlp, hidden: [4]}}
  c: {given: [x, b], dist: categorical, net: {type: mlp, hidden: [4]}}
"""
COUNTS = """
gendsl: 1
data: {source: memory, rows: 40, columns: {a: {shape: [2]}}, bind: {x: a}}
train: {batch_size: 10}
prior: {n: {dist: poisson, shape: [1]}}
decoder: {x: {given: n, dist: normal, net: {type: mlp, hidden: [4]}}}
encoder: {n: {given: x, dist: poisson, net: {type: mlp, hidden: [4]}}}
objective: {estimator: {n: score_function}}
"""
SCORES = "objective: {estimator: {b: score_function, c: score_function}}\n"


def compiled(text: str) -> Model:
    torch.manual_seed(3)
    model = build(analyse(loads(text))).double()
    perturb(model, 0.6)
    return model


def rows() -> Tensor:
    return torch.randn(ROWS, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def flat_gradient(model: Model, loss: Tensor) -> Tensor:
    found = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    return torch.cat(
        [
            (torch.zeros_like(p) if g is None else g).flatten()
            for g, p in zip(found, model.parameters(), strict=True)
        ]
    )


def mean_gradient(model: Model, step: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Mean gradient of the loss over many draws with its standard error, and the mean loss."""
    batch = model.batch({"x": rows().repeat(COPIES, 1)})
    gradients, losses = [], []
    for i in range(REPEATS):
        torch.manual_seed(100 + i)
        total = model.loss("model", batch, step).total
        gradients.append(flat_gradient(model, total))
        losses.append(total.detach())
    stack = torch.stack(gradients)
    return stack.mean(0), stack.std(0) / math.sqrt(REPEATS), torch.stack(losses)


def off(found: Tensor, error: Tensor, exact: Tensor) -> float:
    """Root mean square of the differences in standard errors: about 1 if unbiased."""
    live = exact.abs() > 1e-9
    ratio = (found - exact)[live] / error[live].clamp(min=1e-12)
    return float(ratio.square().mean().sqrt())


def exact(text: str) -> tuple[Model, Tensor, Tensor]:
    model = compiled(text)
    total = model.loss("model", model.batch({"x": rows()})).total
    return model, flat_gradient(model, total), total.detach()


@pytest.mark.parametrize(
    "objective",
    [
        SCORES,
        "objective: {estimator: {c: score_function}}",
        "objective: {estimator: {b: score_function}}",
        SCORES.replace("}}", "}, kl: {b: {free_bits: 0.02}, c: {weight: 2}}}"),
        SCORES.replace("}}", "}, bound: {type: elbo, samples: 4}}"),
        SCORES.replace("}}", "}, bound: {type: iwae, samples: 1}}"),
    ],
)
def test_score_function_gradients_are_those_of_enumeration(objective: str) -> None:
    plain = "objective: {kl: {b: {free_bits: 0.02}, c: {weight: 2}}}" if "free_bits" in objective else ""
    _, wanted, value = exact(TWO + plain)
    found, error, losses = mean_gradient(compiled(TWO + objective))
    assert off(found, error, wanted) < 1.6
    assert off(found * 1.3, error, wanted) > 2.5, "the test would not see a bias of 30 %"
    assert abs(float(losses.mean() - value)) < 5 * float(losses.std()) / math.sqrt(REPEATS)


def test_without_the_score_function_the_gradient_is_biased(monkeypatch: pytest.MonkeyPatch) -> None:
    _, wanted, _ = exact(TWO)
    monkeypatch.setattr("gendsl.nn.objective.evaluation.leave_one_out", lambda value, log_q: value)
    found, error, _ = mean_gradient(compiled(TWO + SCORES))
    assert off(found, error, wanted) > 3


def test_the_baseline_lowers_the_variance() -> None:
    model = compiled(TWO + SCORES.replace("}}", "}, bound: {type: elbo, samples: 4}}"))
    _, error, _ = mean_gradient(model)

    def plain(value: Tensor, log_q: Tensor) -> Tensor:
        return value + (log_q - log_q.detach()) * value.detach()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gendsl.nn.objective.evaluation.leave_one_out", plain)
        _, without, _ = mean_gradient(model)
    assert float(error.square().sum()) < 0.7 * float(without.square().sum())


def bound_by_tuples(model: Model, k: int, power: float) -> Tensor:
    """Minus E[(1/s) log mean w^s] over all k-tuples of values, differentiable: [] for the fixed rows."""
    x = rows()
    log_q, log_w = [], []
    for b1, b2, c in itertools.product(range(2), range(2), range(3)):
        values = {"x": x, "b": torch.tensor([b1, b2]).repeat(ROWS, 1), "c": torch.full((ROWS,), c)}
        q = sum(model.distribution(f"encoder.{n}", values, ROWS).log_prob(values[n]) for n in "bc")
        p = sum(model.distribution(f"prior.{n}", values, ROWS).log_prob(values[n]) for n in "bc")
        p = p + model.distribution("decoder.x", values, ROWS).log_prob(x)
        log_q.append(q)
        log_w.append(p - q)
    total = torch.zeros(ROWS, dtype=torch.float64)
    for tuple_ in itertools.product(range(12), repeat=k):
        weight = torch.stack([log_q[i] for i in tuple_]).sum(0).exp()
        each = torch.stack([log_w[i] for i in tuple_])
        total = total + weight * (torch.logsumexp(power * each, 0) - math.log(k)) / power
    return -total.mean()


@pytest.mark.parametrize(
    ("bound", "power"), [("iwae, samples: 3", 1.0), ("renyi, samples: 2, alpha: 0.4", 0.6)]
)
def test_vimco_gradients_and_values_are_those_of_all_tuples(bound: str, power: float) -> None:
    model = compiled(TWO + f"objective: {{bound: {{type: {bound}}}}}")
    assert [r.estimator.tag for r in model.graph.routes.values() if r.estimator] == ["score_function"] * 2
    loss = bound_by_tuples(model, 3 if power == 1 else 2, power)
    wanted, loss = flat_gradient(model, loss), loss.detach()
    found, error, losses = mean_gradient(model)
    assert off(found, error, wanted) < 1.6
    assert off(found * 1.3, error, wanted) > 2.5
    assert abs(float(losses.mean() - loss)) < 5 * float(losses.std()) / math.sqrt(REPEATS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(likelihoods, "vimco", lambda log_w, log_q, power: torch.zeros(()))
        biased, error, _ = mean_gradient(model)
    assert off(biased, error, wanted) > 3


def test_counts_without_an_end_are_drawn() -> None:
    model = compiled(COUNTS)
    x = rows()
    encoder = model.distribution("encoder.n", {"x": x}, ROWS)
    total = torch.zeros(ROWS, dtype=torch.float64)
    for n in range(60):
        values = {"n": torch.full((ROWS, 1), n)}
        log_q = encoder.log_prob(values["n"])
        log_p = model.distribution("prior.n", {}, ROWS).log_prob(values["n"])
        log_p = log_p + model.distribution("decoder.x", values, ROWS).log_prob(x)
        total = total + log_q.exp() * (log_p - log_q)
    wanted, total = flat_gradient(model, -total.mean()), total.detach()
    found, error, losses = mean_gradient(model)
    assert off(found, error, wanted) < 1.7
    assert off(found * 1.3, error, wanted) > 2
    assert abs(float(losses.mean() + total.mean())) < 5 * float(losses.std()) / math.sqrt(REPEATS)


@pytest.mark.parametrize("estimator", ["score_function", "gumbel", "straight_through"])
def test_what_is_reported_comes_from_real_draws(estimator: str) -> None:
    model = compiled(TWO + f"objective: {{estimator: {{b: {estimator}, c: {estimator}}}}}")
    reference, _, loss = exact(TWO)
    x = rows()
    torch.manual_seed(0)
    elbo = model.elbo(x.repeat(500, 1)).mean()
    assert abs(float(elbo + loss)) < 0.12
    log_p = reference.log_prob(x).mean()
    assert abs(float(model.log_prob(x, samples=4000).mean() - log_p)) < 0.03
    assert float(log_p + loss) > 0.15, "otherwise the two could not be told apart"


def test_relaxed_objectives_approach_the_exact_one_as_the_temperature_falls() -> None:
    _, _, wanted = exact(TWO)
    gaps = []
    for temperature in (1.0, 0.02):
        each = f"{{type: gumbel, temperature: {temperature}}}"
        _, _, losses = mean_gradient(compiled(TWO + f"objective: {{estimator: {{b: {each}, c: {each}}}}}"))
        gaps.append(abs(float(losses.mean() - wanted)))
    assert gaps[1] < 0.03 < gaps[0]
    _, _, losses = mean_gradient(
        compiled(TWO + "objective: {estimator: {b: straight_through, c: straight_through}}")
    )
    assert abs(float(losses.mean() - wanted)) < 0.03, "straight-through values are real ones"


def test_relaxed_weights() -> None:
    log_q = torch.log_softmax(torch.randn(20_000, 4, generator=torch.Generator().manual_seed(0)).double(), 1)
    log_q = log_q[:1].expand_as(log_q)
    torch.manual_seed(0)
    soft = estimators.relax(log_q, Gumbel(temperature=0.4), 0)
    assert torch.allclose(soft.sum(1), torch.ones(20_000, dtype=torch.float64))
    share = torch.nn.functional.one_hot(soft.argmax(1), 4).double().mean(0)
    assert torch.allclose(share, log_q[0].exp(), atol=0.012)
    hard = estimators.relax(log_q, StraightThrough(), 0)
    assert set(hard.unique().tolist()) <= {0.0, 1.0} or torch.allclose(hard, hard.round(), atol=1e-12)
    assert torch.allclose(hard.mean(0), log_q[0].exp(), atol=0.012)
    annealed = Gumbel(temperature=0.2, anneal=10)
    assert [round(annealed.temperature_at(s), 3) for s in (0, 5, 10, 99)] == [1.0, 0.6, 0.2, 0.2]


def test_a_network_reads_weights_as_the_mixture_of_embeddings() -> None:
    read = Read(Input("c", (2,), categories(5), labels=True)).double()
    values = torch.tensor([[0, 3], [4, 1]])
    weights = torch.nn.functional.one_hot(values, 5).double()
    assert torch.equal(read(weights), read(values))
    assert torch.allclose(
        read(0.5 * weights + 0.5 * weights.roll(1, 0)), 0.5 * (read(values) + read(values.roll(1, 0)))
    )


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


@pytest.mark.parametrize(
    "objective",
    [
        "objective: {estimator: {y: score_function}}",
        "objective: {estimator: {y: straight_through}}",
        "objective: {estimator: {y: {type: gumbel, temperature: 0.01}}}",
        "objective: {bound: {type: iwae, samples: 1}}",
    ],
)
def test_known_labels_are_data_whatever_draws_the_unknown_ones(objective: str) -> None:
    known = torch.tensor([True, True, False]).repeat(COPIES)
    x, y = rows().repeat(COPIES, 1), torch.tensor([2, 0, 1]).repeat(COPIES)
    zeros = {n: torch.zeros(len(x), dtype=torch.float64) for n in "xy"}
    batch = Batch({"x": x, "y": y}, zeros, {"y": known}, {}, torch.arange(len(x)))
    wanted = compiled(SEMI).loss("model", batch).terms
    torch.manual_seed(0)
    model = compiled(SEMI + objective)
    found = [model.loss("model", batch).terms for _ in range(8)]
    for name, value in wanted.items():
        mean = torch.stack([f[name] for f in found]).mean()
        assert float(mean) == pytest.approx(float(value), abs=0.04), name
    assert torch.allclose(model.log_prob(batch, 2000), compiled(SEMI).log_prob(batch), atol=0.1)


IWAE_SEMI = SEMI + "objective: {bound: {type: iwae, samples: 2}}"


def test_the_weighted_bound_of_partly_known_labels_is_that_of_its_terms() -> None:
    model = compiled(IWAE_SEMI)
    x, y = rows(), torch.tensor([2, 0, 1])
    zeros = {n: torch.zeros(len(x), dtype=torch.float64) for n in "xy"}
    known = torch.tensor([True, False, True])
    batch = Batch({"x": x, "y": y}, zeros, {"y": known}, {}, torch.arange(len(x)))
    joint = torch.stack(
        [
            model.distribution("decoder.x", {"y": torch.full((3,), v)}, 3).log_prob(x)
            + model.distribution("prior.y", {}, 3).log_prob(torch.full((3,), v))
            for v in range(3)
        ]
    )
    torch.manual_seed(5)
    terms = model.loss("model", batch).terms
    torch.manual_seed(5)
    draws = model.distribution("encoder.y", {"x": x}, 3).repeat(2)
    value, log_q = draws.draw()
    value, log_q = value.view(2, 3), log_q.view(2, 3)  # type: ignore[union-attr]
    value, log_q = torch.where(known, y, value), torch.where(known, 0.0, log_q)
    log_w = joint.gather(0, value) - log_q
    bound = (torch.logsumexp(log_w, 0) - math.log(2)).mean()
    found = sum(terms[n] for n in ("reconstruction.x", "likelihood.y", "kl.y", "bound.iwae"))
    assert float(-bound.detach()) == pytest.approx(float(found), rel=1e-9)  # type: ignore[arg-type]


APART = """
gendsl: 1
data: {source: memory, rows: 40, columns: {a: {shape: [2]}, w: {shape: [2]}}, bind: {x: a, v: w}}
train: {batch_size: 10}
prior: {b: {dist: bernoulli, shape: [2]}, c: {dist: categorical, classes: 3, shape: [1]}}
decoder:
  x: {given: b, dist: normal, net: {type: mlp, hidden: [4]}}
  v: {given: c, dist: normal, net: {type: mlp, hidden: [4]}}
encoder:
  b: {given: x, dist: bernoulli, net: {type: mlp, hidden: [4]}}
  c: {given: v, dist: categorical, net: {type: mlp, hidden: [4]}}
"""


def pair() -> dict[str, Tensor]:
    return {"x": rows(), "v": rows().flip(0)}


def test_a_term_takes_the_scores_of_what_it_is_downstream_of() -> None:
    """Schulman et al. 2015: log p(x | b) has no gradient in q(c | v), not even a noisy one."""
    model = compiled(APART + SCORES)
    batch = model.batch(pair())
    assert model.scored_draws["reconstruction.x"] == ("b",)
    assert model.scored_draws["reconstruction.v"] == ("c",)
    for name, own, other in (
        ("reconstruction.x", "encoder.b", "encoder.c"),
        ("reconstruction.v", "encoder.c", "encoder.b"),
    ):
        total = model.loss("model", batch, terms=[name]).total
        for factor, moves in ((own, True), (other, False)):
            parameters = [p for _, p in model.parameters_of([factor])]
            found = torch.autograd.grad(total, parameters, allow_unused=True, retain_graph=True)
            assert any(g is not None and bool(g.any()) for g in found) is moves


def test_a_term_is_downstream_of_what_its_draws_follow_from() -> None:
    """c is drawn given b: what reads c alone takes the scores of both."""
    model = compiled(TWO.replace("given: [b, c], dist: normal", "given: c, dist: normal") + SCORES)
    assert set(model.scored_draws["reconstruction.x"]) == {"b", "c"}
    assert set(model.scored_draws["kl.c"]) == {"b", "c"}
    assert "c" not in model.scored_draws["kl.b"]


def test_fewer_scores_are_as_unbiased_and_less_noisy() -> None:
    def of(model: Model, copies: int = COPIES) -> Tensor:
        batch = model.batch({n: v.repeat(copies, 1) for n, v in pair().items()})
        own = [p for _, p in model.parameters_of(["encoder.b", "encoder.c"])]
        found = torch.autograd.grad(model.loss("model", batch).total, own)
        return torch.cat([g.flatten() for g in found])

    def noise(model: Model) -> tuple[Tensor, Tensor]:
        torch.manual_seed(5)
        stack = torch.stack([of(model) for _ in range(REPEATS)])
        return stack.mean(0), stack.std(0) / math.sqrt(REPEATS)

    wanted = of(compiled(APART), 1)
    found, error = noise(compiled(APART + SCORES))
    assert off(found, error, wanted) < 1.6
    every = compiled(APART + SCORES)
    every.scored_draws = {name: ("b", "c") for name in every.scored_draws}
    _, more = noise(every)
    assert float(more.norm()) > 1.15 * float(error.norm())
