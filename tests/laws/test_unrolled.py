"""Laws of adversaries that judge packed tuples, are unrolled, or have a second head."""

from __future__ import annotations

import copy

import pytest
import torch

from gendsl.nn.model import Model
from gendsl.nn.objective.adversarial import adversary
from gendsl.nn.objective.evaluation import Evaluation
from gendsl.nn.objective.tuples import detached_tuples, pack
from gendsl.runtime.initial import compile_model
from gendsl.schema.facts import packed
from tests.compiler.cases import UNIT, UNIT_Y, graph_of

RING = "data: {source: ring, bind: {x: point}}"
POINTS = """
prior: {z: {dist: normal, shape: [2]}}
decoder: {x: {given: z, dist: deterministic, net: {type: mlp, hidden: [5], activation: tanh}}}
adversary: {d: {sees: x, OPTIONS, net: {type: mlp, hidden: [6], activation: tanh}}}
"""
LABELLED = """
condition: [y]
prior: {z: {dist: normal, shape: [4]}}
decoder: {x: {given: [z, y], dist: deterministic, net: mlp}}
adversary: {d: {sees: x, classify: y, OPTIONS net: mlp}}
"""


def model_of(body: str, seed: int = 0) -> Model:
    torch.manual_seed(seed)
    model = compile_model(graph_of(body)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def makers_loss(model: Model, x: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(7)
    return model.losses({"x": x})["model"].total


@pytest.mark.parametrize(
    "options",
    [
        "unroll: {steps: 3, lr: 0.5}",
        "loss: wasserstein, unroll: {steps: 2, lr: 0.3}, penalty: [{type: r1, weight: 0.5}, {type: r2, weight: 0.2}]",
        "loss: hinge, pack: 2, unroll: {steps: 2, lr: 0.2}",
    ],
)
def test_the_unrolled_gradient_is_that_of_the_critics_answer(options: str) -> None:
    """Central differences of the makers' loss, the critic descending anew from each generator."""
    model = model_of(RING + POINTS.replace("OPTIONS", options))
    x = torch.randn(8, 2, dtype=torch.float64)
    before = copy.deepcopy(model.adversary.state_dict())
    weight = next(p for n, p in model.named_parameters() if n.startswith("decoder.x.body"))
    (gradient,) = torch.autograd.grad(makers_loss(model, x), weight)
    assert all(torch.equal(before[n], t) for n, t in model.adversary.state_dict().items())
    for index in [(0, 0), (2, 1), (4, 0)]:
        step, values = 1e-5, []
        for sign in (1, -1):
            with torch.no_grad():
                weight[index] += sign * step
            values.append(float(makers_loss(model, x).detach()))
            with torch.no_grad():
                weight[index] -= sign * step
        assert float(gradient[index]) == pytest.approx(
            (values[0] - values[1]) / (2 * step), rel=1e-4, abs=1e-9
        )


@pytest.mark.parametrize("loss", ["non_saturating", "wasserstein"])
def test_one_inner_step_is_one_of_gradient_descent(loss: str) -> None:
    """The makers' loss is that of a critic whose weights have moved by lr times the gradient of its own loss."""
    model = model_of(RING + POINTS.replace("OPTIONS", f"loss: {loss}, unroll: {{steps: 1, lr: 0.4}}"))
    x = torch.randn(8, 2, dtype=torch.float64)
    e = Evaluation(model, model.batch({"x": x}), 0, training=True)
    critic, functions = model.graph.critics["d"], model.adversarial_loss("d")
    (term,) = (t for t in model.graph.terms if t.name == "adversary.d")
    found = float(adversary(e, term).value.detach())
    real, fake = detached_tuples(e, critic)
    moved = copy.deepcopy(model.critic("d"))
    functions.critic(moved(real), moved(fake), 0.0).backward()
    with torch.no_grad():
        before = float(functions.fake(moved(fake)))
        for parameter in moved.parameters():
            if parameter.grad is not None:
                parameter.sub_(0.4 * parameter.grad)
        assert found == pytest.approx(float(functions.fake(moved(fake))), rel=1e-9)
    assert abs(found - before) > 1e-3


def test_unrolling_changes_the_makers_gradient_and_nothing_else() -> None:
    x = torch.randn(8, 2, dtype=torch.float64)
    one = model_of(RING + POINTS.replace("OPTIONS", "start: 0"))
    other = model_of(RING + POINTS.replace("OPTIONS", "unroll: {steps: 3, lr: 0.5}"))
    other.load_state_dict(one.state_dict())
    torch.manual_seed(1)
    a = one.losses({"x": x})
    torch.manual_seed(1)
    b = other.losses({"x": x})
    assert float(a["adversary.d"].total.detach()) == pytest.approx(float(b["adversary.d"].total.detach()))
    assert abs(float(a["model"].total.detach()) - float(b["model"].total.detach())) > 1e-3


@pytest.mark.parametrize(
    ("shape", "wide"),
    [((), (3,)), ((2,), (6,)), ((4, 5), (3, 4, 5)), ((2, 4, 5), (6, 4, 5))],
)
def test_a_pack_holds_its_rows_side_by_side(shape: tuple[int, ...], wide: tuple[int, ...]) -> None:
    assert packed(shape, 3) == wide
    x = torch.randn(7, *shape)
    found = pack(x, 3)
    assert found.shape == (2, *wide)
    assert torch.equal(found.flatten(), x[:6].flatten())
    assert torch.equal(pack(x[:2], 3).flatten(), x[[0, 1, 0]].flatten())


def test_a_packed_critic_is_as_large_as_the_compiler_says() -> None:
    graph = graph_of(UNIT_Y + LABELLED.replace("OPTIONS", "pack: 3,"))
    model = compile_model(graph)
    assert sum(p.numel() for p in model.parameters()) == graph.resources.parameters
    critic = model.critic("d")
    assert critic.labels is not None
    assert critic.labels.out_features == 30


def test_the_second_head_learns_of_both_sides_and_teaches_the_makers() -> None:
    """classify.d moves the critic alone, classified.d the decoder alone, and a right head costs less."""
    graph = graph_of(UNIT_Y + LABELLED.replace("OPTIONS", ""))
    model = compile_model(graph).double()
    batch = {"x": torch.rand(12, 1, 8, 8, dtype=torch.float64), "y": torch.arange(12) % 10}
    losses = model.losses(batch)
    assert set(losses["adversary.d"].terms) == {"critic.d", "classify.d"}
    assert set(losses["model"].terms) == {"adversary.d", "classified.d"}
    critic = model.critic("d")
    assert critic.labels is not None
    (teaches,) = torch.autograd.grad(losses["adversary.d"].total, [critic.labels.weight], retain_graph=True)
    assert float(teaches.abs().sum()) > 0
    assert losses["adversary.d"].terms["classify.d"].item() == pytest.approx(
        2 * torch.log(torch.tensor(10.0)).item(), rel=0.2
    )
    gradients = torch.autograd.grad(
        losses["model"].total, [p for n, p in model.named_parameters() if n.startswith("decoder")]
    )
    assert sum(float(g.abs().sum()) for g in gradients) > 0
    with torch.no_grad():
        critic.labels.weight.zero_()
        critic.labels.bias.zero_()
        critic.labels.bias[3] = 20.0
    same = {**batch, "y": torch.full((12,), 3)}
    assert model.losses(same)["model"].terms["classified.d"].item() < 1e-6


def test_several_adversaries_that_see_different_things_train_apart() -> None:
    body = (
        UNIT
        + """
prior: {z: {dist: normal, shape: [4]}}
decoder: {x: {given: z, dist: normal, net: mlp}}
encoder: {z: {given: x, dist: deterministic, net: mlp}}
adversary:
  codes: {sees: z, loss: wasserstein, penalty: {type: gradient, every: 2}, steps: 2, net: mlp}
  pixels: {sees: x, pack: 2, augment: differentiable, net: conv_down}
  both: {sees: [x, z], loss: hinge, penalty: spectral, unroll: 1, net: mlp}
"""
    )
    graph = graph_of(body)
    assert graph.critics["codes"].stands_in == graph.critics["both"].stands_in == "z"
    model = compile_model(graph)
    losses = model.losses({"x": torch.rand(8, 1, 8, 8)})
    assert list(losses) == ["adversary.codes", "adversary.pixels", "adversary.both", "model"]
    for name in ("codes", "pixels", "both"):
        own = [p for _, p in model.parameters_of([f"adversary.{name}"])]
        found = torch.autograd.grad(
            losses[f"adversary.{name}"].total, own, allow_unused=True, retain_graph=True
        )
        assert any(g is not None and bool(g.abs().sum() > 0) for g in found)
        others = [p for n, p in model.named_parameters() if not n.startswith(f"adversary.{name}.")]
        strange = torch.autograd.grad(losses[f"adversary.{name}"].total, others, allow_unused=True)
        assert all(g is None for g in strange)
    critics = [p for n, p in model.named_parameters() if n.startswith("adversary.")]
    assert all(g is None for g in torch.autograd.grad(losses["model"].total, critics, allow_unused=True))
