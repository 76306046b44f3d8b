"""Laws of the adversaries' losses and penalties, over the whole registry."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gendsl.nn.adversarial import CriticModule, Projection, Tuples
from gendsl.nn.building import build_net, builder
from gendsl.schema.components.adversary import Constraint
from gendsl.schema.components.net import Mlp
from gendsl.schema.components.net_grid import ConvDown
from gendsl.schema.facts import Input, categories
from gendsl.schema.registry import table

LOSSES = sorted(table("loss"))
PENALTIES = sorted(t for t, m in table("penalty").items() if not issubclass(m, Constraint))


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


# D(R) = r and D(F) = f as in the papers; the logistic losses' D is the sigmoid of the critic's number
FORMULAS: dict[
    str, tuple[Callable[[float, float], float], Callable[[float], float], Callable[[float], float]]
] = {
    "non_saturating": (
        lambda r, f: -math.log(sigmoid(r)) - math.log(1 - sigmoid(f)),
        lambda f: -math.log(sigmoid(f)),
        lambda r: -math.log(1 - sigmoid(r)),
    ),
    "saturating": (
        lambda r, f: -math.log(sigmoid(r)) - math.log(1 - sigmoid(f)),
        lambda f: math.log(1 - sigmoid(f)),
        lambda r: math.log(sigmoid(r)),
    ),
    "wasserstein": (lambda r, f: f - r, lambda f: -f, lambda r: r),
    "hinge": (lambda r, f: max(0, 1 - r) + max(0, 1 + f), lambda f: -f, lambda r: r),
    "least_squares": (lambda r, f: (r - 1) ** 2 + f**2, lambda f: (f - 1) ** 2, lambda r: r**2),
}


@pytest.mark.parametrize("tag", LOSSES)
@pytest.mark.parametrize(("r", "f"), [(0.7, -1.3), (-0.4, 2.1), (1.5, 0.2)])
def test_losses_are_their_formulas(tag: str, r: float, f: float) -> None:
    critic, fake, real = FORMULAS[tag]
    spec = table("loss")[tag]()
    loss = builder(spec)(spec)
    one, two = torch.tensor([r], dtype=torch.float64), torch.tensor([f], dtype=torch.float64)
    assert float(loss.critic(one, two, 0.0)) == pytest.approx(critic(r, f), rel=1e-12)
    assert float(loss.fake(two)) == pytest.approx(fake(f), rel=1e-12)
    assert float(loss.real(one)) == pytest.approx(real(r), rel=1e-12)


@pytest.mark.parametrize("tag", LOSSES)
def test_makers_and_critic_pull_in_opposite_directions(tag: str) -> None:
    """Where the critic lowers D(F), the makers of F raise it, and the other way round for R."""
    spec = table("loss")[tag]()
    loss = builder(spec)(spec)
    real = torch.tensor([0.3], requires_grad=True)
    fake = torch.tensor([0.4], requires_grad=True)
    by_critic = torch.autograd.grad(loss.critic(real, fake, 0.0), [real, fake])
    (by_fake,) = torch.autograd.grad(loss.fake(fake), fake)
    (by_real,) = torch.autograd.grad(loss.real(real), real)
    assert float(by_critic[1] * by_fake) < 0
    assert float(by_critic[0]) < 0 < float(by_real)


class Quadratic(nn.Module):
    """sum of a * x^2 / 2 over the entries: its gradient is a * x."""

    def forward(self, values: Tuples) -> Tensor:
        return (1.5 * values["x"].square()).sum(1, keepdim=True)


@pytest.fixture
def critic() -> CriticModule:
    module = CriticModule(Quadratic(), 1, ("x",)).double()
    with torch.no_grad():
        module.head.weight.fill_(1.0)
        module.head.bias.zero_()
    return module


@pytest.mark.parametrize("tag", PENALTIES)
def test_penalties_are_their_formulas(tag: str, critic: CriticModule) -> None:
    real = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64)
    fake = real if tag == "gradient" else torch.tensor([[3.0, 1.0], [2.0, 2.0]], dtype=torch.float64)
    spec = table("penalty")[tag]()
    value = builder(spec)(spec)(critic, {"x": real}, {"x": fake}, 0)
    norms = (3.0 * (fake if tag == "r2" else real)).norm(dim=1)
    expected = (norms - 1).square().mean() if tag == "gradient" else norms.square().mean() / 2
    assert value.item() == pytest.approx(expected.item(), rel=1e-9)


def test_lazy_penalties_come_every_so_many_steps_times_that_number(critic: CriticModule) -> None:
    spec = table("penalty")["r1"].model_validate({"every": 4})
    function = builder(spec)(spec)
    x = {"x": torch.ones(3, 2, dtype=torch.float64)}
    always = builder(table("penalty")["r1"]())(table("penalty")["r1"]())(critic, x, x, 0)
    assert function(critic, x, x, 1) is None
    assert function(critic, x, x, 8).item() == pytest.approx(4 * always.item(), rel=1e-12)


@pytest.mark.parametrize("tag", PENALTIES)
def test_penalties_move_the_critic(tag: str) -> None:
    torch.manual_seed(0)
    inputs = (Input("x", (1, 8, 8)), Input("y", (), categories(3), labels=True))
    net = ConvDown(width=8, activation="silu")
    module = CriticModule(build_net(net, inputs, None), net.features(inputs, None)[0], ("x", "y"))
    spec = table("penalty")[tag]()
    values = {"x": torch.rand(4, 1, 8, 8), "y": torch.tensor([0, 1, 2, 0])}
    builder(spec)(spec)(module, values, {**values, "x": torch.rand(4, 1, 8, 8)}, 0).backward()
    moved = [p for p in module.body.parameters() if p.grad is not None and bool(p.grad.abs().sum() > 0)]
    assert len(moved) > 2


@pytest.mark.parametrize("net", [Mlp(hidden=(16,)), ConvDown(width=8)])
def test_spectral_norm_of_a_conditional_critic_is_finite_and_at_most_one(net: Mlp | ConvDown) -> None:
    """Conditioning layers start at zero, which has no spectral direction."""
    torch.manual_seed(0)
    inputs = (Input("x", (1, 8, 8)), Input("y", (), categories(3), labels=True))
    features = net.features(inputs, None)
    module = CriticModule(build_net(net, inputs, None), math.prod(features), ("x", "y"))
    spec = table("penalty")["spectral"]()
    builder(spec)(spec)(module)
    values = {"x": torch.rand(4, 1, 8, 8), "y": torch.tensor([0, 1, 2, 0])}
    for _ in range(30):
        assert bool(torch.isfinite(module(values)).all())
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1.0, abs=0.05)


def test_clipping_holds_every_weight() -> None:
    module = CriticModule(nn.Sequential(), 4, ("x",))
    spec = table("penalty")["clip"].model_validate({"limit": 0.02})
    builder(spec)(spec)(module)
    assert max(p.abs().max().item() for p in module.parameters()) == pytest.approx(0.02)


@pytest.mark.parametrize("pack", [1, 3])
def test_a_projected_label_adds_its_vectors_inner_product_with_the_features(pack: int) -> None:
    torch.manual_seed(0)
    x, shape = Input("x", (4 * pack,)), () if pack == 1 else (pack,)
    spec = Mlp(hidden=(6,))
    projection = Projection("y", 2, 5, pack, 6)
    critic = CriticModule(build_net(spec, (x,), None), 6, ("x", "y"), projection=projection).double()
    values = {"x": torch.randn(7, 4 * pack).double(), "y": 2 + torch.randint(5, (7, *shape))}
    features = critic.features(values)
    vectors = projection.table.weight.T.view(pack, 5, 6)  # [pack, values, H]
    rows = values["y"].view(7, pack) - 2
    wanted = [
        float((critic.head(f) + sum(vectors[i, int(label)] @ f for i, label in enumerate(row))).detach())
        for f, row in zip(features, rows, strict=True)
    ]
    assert critic(values).tolist() == pytest.approx(wanted, rel=1e-9)
    assert critic(values).abs().min() > 1e-6
    weights = nn.functional.one_hot(values["y"] - 2, 5).double().requires_grad_()
    torch.testing.assert_close(critic({**values, "y": weights}), critic(values), rtol=1e-9, atol=0)
    (slope,) = torch.autograd.grad(critic({**values, "y": weights}).sum(), weights)
    torch.testing.assert_close(slope.view(7, pack, 5), torch.einsum("pvh,nh->npv", vectors, features))
