"""Laws of energies: chains and their stationary law, gradients of the contrast, scores, noise contrast, log Z."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gendsl.data.dataset import Batch
from gendsl.nn import tilt
from gendsl.nn.energies import EnergyModule, build_u1, build_u2, build_u3, build_u4
from gendsl.nn.langevin import langevin, reflected
from gendsl.nn.machine import Machine
from gendsl.nn.model import Model
from gendsl.runtime.dataset import dataset
from gendsl.runtime.initial import compile_model
from gendsl.schema.components.energy import U1, U2, U3, U4
from gendsl.schema.components.negatives import Langevin
from gendsl.schema.facts import POSITIVE, REAL, UNIT, Support
from tests.compiler.cases import BINARY, CASES, MOONS, MOONS_Y, VAE, graph_of

MEAN, PRECISION = 0.7, 2.0


class Quadratic(nn.Module):
    """E = a/2 |x - m|^2 + c: a normal density with learnable mean and precision, and a constant."""

    def __init__(self, mean: float = MEAN, precision: float = PRECISION) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.full((2,), mean))
        self.precision = nn.Parameter(torch.tensor(precision))
        self.constant = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * self.precision * (x - self.mean).square().sum(1) + self.constant


def quadratic(body: str, chains: int = 0) -> tuple[Model, Quadratic]:
    """A compiled model of a plane whose energy is a quadratic."""
    model = compile_model(graph_of(MOONS + "\n" + body)).double()
    own = Quadratic().double()
    model.energy["x"] = EnergyModule(own, (2,), chains).double()
    return model, own


def rows(values: Tensor) -> Batch:
    zeros = torch.zeros(len(values), dtype=values.dtype)
    return Batch({"x": values}, {"x": zeros}, {}, {}, torch.arange(len(values)))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


# -- chains -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_langevin_has_the_stationary_variance_of_its_discretisation(temperature: float) -> None:
    """Var = T s^2 / (1 - eps / (4 s^2)) exactly: a wrong noise scale is off by far more than the tolerance."""
    scale, eps = 0.8, 0.4
    spec = Langevin(steps=120, step_size=eps, temperature=temperature)
    start = torch.randn(20_000, dtype=torch.float64) * scale
    ends = langevin(lambda x: x.square() / (2 * scale**2), start, spec, REAL)
    expected = temperature * scale**2 / (1 - eps / (4 * scale**2))
    assert float(ends.var()) == pytest.approx(expected, rel=0.04)
    assert abs(float(ends.mean())) < 0.03
    assert abs(expected / (temperature * scale**2) - 1) > 0.1, "the error of the step is seen"


def test_chains_stay_within_their_support_and_keep_its_law() -> None:
    """On the unit interval the uniform law is stationary for a flat energy, and exp(-U) for another."""
    spec = Langevin(steps=60, step_size=0.02)
    start = torch.rand(20_000, dtype=torch.float64)
    flat = langevin(lambda x: 0 * x, start, spec, UNIT)
    assert float(flat.min()) >= 0
    assert float(flat.max()) <= 1
    assert float(flat.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(flat.var()) == pytest.approx(1 / 12, rel=0.04)
    tilted = langevin(lambda x: 3 * x, start, spec, UNIT)
    expected = (1 - 4 * math.exp(-3)) / (3 * (1 - math.exp(-3)))
    assert float(tilted.mean()) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("support", [REAL, UNIT, POSITIVE, Support(high=2.0), Support(-3.0, 1.0)])
def test_reflection_folds_onto_the_support_and_leaves_it_alone(support: Support) -> None:
    x = torch.randn(1000, dtype=torch.float64) * 5
    folded = reflected(x, support)
    assert bool(((folded >= support.low) & (folded <= support.high)).all())
    torch.testing.assert_close(reflected(folded, support), folded)
    inside = (x >= support.low) & (x <= support.high)
    torch.testing.assert_close(folded[inside], x[inside])


# -- the contrast -----------------------------------------------------------------------------------------------------


def test_the_contrast_has_the_gradient_of_the_negative_log_likelihood() -> None:
    """Of a normal density: d/dm = a (m - mean of data), d/da = (mean |x - m|^2 - d/a) / 2, by many chains."""
    body = "energy: {x: {net: mlp, negatives: {type: langevin, steps: 100, step_size: 0.04, buffer: 20000, fresh: 0}}}"
    model, own = quadratic(body, chains=20_000)
    data = torch.randn(20_000, 2, dtype=torch.float64) * 0.5 + torch.tensor([1.5, -1.0], dtype=torch.float64)
    loss = model.loss("model", rows(data)).total
    loss = model.loss("model", rows(data)).total
    mean, precision, constant = torch.autograd.grad(loss, [own.mean, own.precision, own.constant])
    torch.testing.assert_close(mean, PRECISION * (MEAN - data.mean(0)), rtol=0.03, atol=0.03)
    wanted = 0.5 * (data - MEAN).square().sum(1).mean() - 1 / PRECISION
    assert float(precision) == pytest.approx(float(wanted), rel=0.03)
    assert float(constant) == pytest.approx(0.0, abs=1e-12)


def test_the_density_beneath_is_contrasted_too() -> None:
    """p0 = N(m, s) tilted by E = 0: the gradient is that of -log p0 at the data, the chain's mean 0."""
    body = """decoder: {x: {dist: normal}}
energy: {x: {net: mlp, negatives: {type: langevin, steps: 1, step_size: 1e-6}}}"""
    model, own = quadratic(body)
    with torch.no_grad():
        own.precision.zero_()
    data = torch.randn(50_000, 2, dtype=torch.float64) + 2
    (raw,) = model.factor("decoder.x").parameters()
    ours = torch.autograd.grad(model.loss("model", rows(data)).total, raw)[0]
    exact = torch.autograd.grad(-model.distribution("decoder.x", {}, len(data)).log_prob(data).mean(), raw)[0]
    torch.testing.assert_close(ours, exact, rtol=0.03, atol=0.03)


def test_log_z_of_a_tilted_prior_enters_by_its_gradient() -> None:
    """E = a/2 |z - m|^2 over a standard prior: log Z = -d/2 log(1 + a) - a |m|^2 / (2 (1 + a))."""
    text = BINARY + VAE.replace("shape: [4]", "shape: [2]")
    text += "energy: {z: {net: mlp, negatives: {type: langevin, steps: 300, step_size: 0.02}}}"
    model = compile_model(graph_of(text)).double()
    own = Quadratic().double()
    model.energy["z"] = EnergyModule(own, (2,), 0).double()
    batch = Batch(
        {"x": torch.zeros(10_000, 1, 8, 8).double()}, {"x": torch.zeros(10_000)}, {}, {}, torch.arange(10_000)
    )
    a, m = (v.detach().clone().requires_grad_(True) for v in (own.precision, own.mean))
    log_z = -torch.log1p(a) - a * m.square().sum() / (2 * (1 + a))
    exact = torch.autograd.grad(log_z, [a, m])
    ours = torch.autograd.grad(
        model.loss("model", batch, terms=["energy.z"]).total, [own.precision, own.mean]
    )
    torch.testing.assert_close(ours[0], exact[0], rtol=0.05, atol=0.01)
    torch.testing.assert_close(ours[1], exact[1], rtol=0.05, atol=0.02)
    assert float(tilt.log_normaliser(model, "z")) == pytest.approx(log_z.item(), abs=0.03)


def test_the_cost_of_the_contrast_has_the_mean_squares_of_the_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    """cost - value = magnitude (mean E(data)^2 + mean E(ends)^2), of E alone and not of U = E - log p0."""
    model, own = quadratic(
        "decoder: {x: {dist: normal}}\n"
        "energy: {x: {net: mlp, negatives: {type: langevin, steps: 1, magnitude: 0.7}}}"
    )
    data, ends = torch.randn(2, 50, 2, dtype=torch.float64)
    monkeypatch.setattr(tilt, "chain_ends", lambda *_, **__: (ends, {}))
    found = model.loss("model", rows(data), terms=["energy.x"])
    squares = own(data).square().mean() + own(ends).square().mean()
    assert float((found.total - found.terms["energy.x"]).detach()) == pytest.approx(0.7 * squares.item())


# -- energies that are given conditions --------------------------------------------------------------------------------


class Given(Quadratic):
    """E = a/2 |x - m (1 + y)|^2, y a label."""

    def forward(self, x: Tensor, given: dict[str, Tensor]) -> Tensor:  # type: ignore[override]
        return super().forward(x - self.mean * given["y"].unsqueeze(1))


def labelled(extra: str, chains: int = 0) -> tuple[Model, Given]:
    body = "condition: [y]\nenergy: {x: {given: y, net: mlp, negatives: {type: langevin, " + extra + "}}}"
    model = compile_model(graph_of(MOONS_Y + "\n" + body)).double()
    own = Given().double()
    model.energy["x"] = EnergyModule(own, (2,), chains, ("y",), {"y": ((), torch.int64)}).double()
    return model, own


def pairs(count: int) -> tuple[Tensor, Batch]:
    """Labels of which a quarter are 1, and points around means that depend on them."""
    y = (torch.arange(count) % 4 == 0).long()
    x = torch.randn(count, 2, dtype=torch.float64) * 0.5 + 1.5 * y.unsqueeze(1) - 0.5
    zeros = torch.zeros(count, dtype=torch.float64)
    return y, Batch({"x": x, "y": y}, {"x": zeros, "y": zeros}, {}, {}, torch.arange(count))


@pytest.mark.parametrize("chains", [0, 20_000])
def test_the_contrast_under_conditions_has_the_gradient_of_their_likelihood(chains: int) -> None:
    """p(x | y) = N(m (1 + y), 1/a): d/dm = a mean (1 + y) (m (1 + y) - x), by chains of every label."""
    buffer = f", buffer: {chains}, fresh: 0" if chains else ""
    model, own = labelled(f"steps: 100, step_size: 0.04{buffer}", chains)
    y, batch = pairs(20_000)
    loss = model.loss("model", batch).total
    if chains:
        loss = model.loss("model", batch).total
    mean, precision = torch.autograd.grad(loss, [own.mean, own.precision])
    times = 1 + y.unsqueeze(1).double()
    gap = MEAN * times - batch.values["x"]
    torch.testing.assert_close(mean, PRECISION * (times * gap).mean(0), rtol=0.04, atol=0.03)
    wanted = 0.5 * gap.square().sum(1).mean() - 1 / PRECISION
    assert float(precision) == pytest.approx(float(wanted), rel=0.04)


def test_log_prob_under_conditions_has_a_normaliser_for_each_of_their_values() -> None:
    """One E(x | y) of another height for each label: log p(x | y) is that of a normal density all the same."""
    model, own = labelled("steps: 1")

    class Higher(Given):
        def forward(self, x: Tensor, given: dict[str, Tensor]) -> Tensor:  # type: ignore[override]
            return super().forward(x, given) + 3.0 * given["y"]

    module = EnergyModule(Higher().double(), (2,), 0, ("y",), {"y": ((), torch.int64)}).double()
    model.energy["x"] = module
    y, batch = pairs(100)
    exact = torch.distributions.Normal(own.mean * (1 + y.unsqueeze(1)), PRECISION**-0.5)
    wanted = exact.log_prob(batch.values["x"]).sum(1)
    torch.testing.assert_close(model.log_prob(batch), wanted.detach(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("chains", [0, 4000])
def test_samples_under_conditions_follow_the_density_of_their_values(chains: int) -> None:
    buffer = f", buffer: {chains}" if chains else ""
    model, _ = labelled(f"steps: 100, step_size: 0.04{buffer}", chains)
    y, batch = pairs(4000)
    model.loss("model", batch)
    x = model.sample(4000, {"y": y})["x"]
    for label in (0, 1):
        assert float(x[y == label].mean()) == pytest.approx(MEAN * (1 + label), abs=0.05)
        assert float(x[y == label].var()) == pytest.approx(1 / PRECISION, rel=0.08)
    if chains:
        module = tilt.energy(model, "x")
        kept, beside = module.kept(slice(None))
        assert set(beside) == {"y"}
        for label in (0, 1):
            assert float(kept[beside["y"] == label].mean()) == pytest.approx(MEAN * (1 + label), abs=0.05)


# -- the chains are state ---------------------------------------------------------------------------------------------


def test_chains_move_in_training_only_and_are_part_of_the_state() -> None:
    graph = graph_of(CASES["energy_model"].text)
    model = compile_model(graph)
    batch = dataset(graph, Path()).parts["train"].batch(torch.arange(8))
    module = tilt.energy(model, "x")
    assert {"energy.x.chains", "energy.x.started"} <= set(model.state_dict())
    model.loss("model", batch, training=False)
    assert not bool(module.started)
    model.loss("model", batch)
    before = module.chains.clone()
    assert bool(module.started)
    model.loss("model", batch, training=False)
    model.eval().sample(4)
    torch.testing.assert_close(module.chains, before, rtol=0, atol=0)
    model.loss("model", batch)
    changed = (module.chains != before).flatten(1).any(1)
    assert int(changed.sum()) == 8, "as many chains as rows go on"


def test_some_chains_start_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """`fresh` is the share of a batch's chains that is replaced, the others go on from the buffer."""
    model, _ = quadratic(
        "energy: {x: {net: mlp, negatives: {type: langevin, steps: 1, buffer: 4000, fresh: 0.25}}}",
        chains=4000,
    )
    tilt.energy(model, "x").started.fill_(1)
    monkeypatch.setattr(tilt, "move", lambda model, name, start, spec, given: start)
    monkeypatch.setattr(
        tilt, "fresh", lambda model, name, rows, given: torch.ones(rows, 2, dtype=torch.float64)
    )
    ends, _ = tilt.chain_ends(model, "x", 4000, None, keep=False)
    assert set(ends.unique().tolist()) == {0.0, 1.0}
    assert float(ends.mean()) == pytest.approx(0.25, abs=0.03)


# -- score matching, noise contrast, log Z ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "smoothed"),
    [("{type: score_matching, noise: 0.3}", 0.09), ("{type: score_matching, how: sliced}", 0.0)],
)
def test_score_matching_recovers_a_normal_density(how: str, smoothed: float) -> None:
    """Denoising fits the data smoothed by the noise: precision 1 / (s^2 + noise^2)."""
    body = f"energy: {{x: {{net: {{type: mlp, activation: silu}}}}}}\nobjective: {{energy: {{x: {how}}}}}"
    model, own = quadratic(body)
    data = torch.randn(4000, 2, dtype=torch.float64)
    data = 0.8 * (data - data.mean(0)) / data.std(0) + torch.tensor([1.0, -0.5], dtype=torch.float64)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for step in range(300):
        for group in optimiser.param_groups:
            group["lr"] = 0.05 * (1 - step / 300)
        optimiser.zero_grad()
        model.loss("model", rows(data)).total.backward()
        optimiser.step()
    assert own.precision.item() == pytest.approx(1 / (0.64 + smoothed), rel=0.03)
    torch.testing.assert_close(own.mean.detach(), data.mean(0), rtol=0.03, atol=0.03)


def test_noise_contrast_recovers_log_z_and_leaves_the_noise_alone() -> None:
    """p0 = N(0, 1) and data from N(m, s): -E must become log p - log p0, its constant included."""
    body = (
        "decoder: {x: {dist: normal}}\nenergy: {x: {net: mlp}}\nobjective: {energy: {x: noise_contrastive}}"
    )
    model, own = quadratic(body)
    mean, scale = 0.5, 0.6
    data = torch.randn(20_000, 2, dtype=torch.float64) * scale + mean
    noise = list(model.factor("decoder.x").parameters())
    loss = model.loss("model", rows(data), terms=["energy.x"]).total
    assert torch.autograd.grad(loss, noise, allow_unused=True) == (None,) * len(noise)
    optimiser = torch.optim.Adam(own.parameters(), lr=0.05)
    for step in range(400):
        for group in optimiser.param_groups:
            group["lr"] = 0.05 * (1 - step / 400)
        optimiser.zero_grad()
        model.loss("model", rows(data), terms=["energy.x"]).total.backward()
        optimiser.step()
    at = torch.randn(200, 2, dtype=torch.float64) * scale + mean
    p0 = model.distribution("decoder.x", {}, len(at)).log_prob(at).detach()
    true = torch.distributions.Normal(mean, scale).log_prob(at).sum(1)
    assert float((true - p0).std()) > 0.5, "there is something to learn"
    learned = -own(at).detach()
    assert float((learned - (true - p0)).abs().mean()) < 0.05
    torch.testing.assert_close(model.log_prob(rows(at)), p0 + learned)


def test_samples_under_noise_contrast_follow_the_tilted_density() -> None:
    """p0 = N(0, 1) and E = a/2 |x - m|^2: samples have precision 1 + a and mean a m / (1 + a)."""
    model, _ = quadratic(
        "decoder: {x: {dist: normal}}\nenergy: {x: {net: mlp}}\nobjective: {energy: {x: noise_contrastive}}"
    )
    drawn = model.sample(3000)["x"]
    expected = PRECISION * MEAN / (1 + PRECISION)
    torch.testing.assert_close(drawn.mean(0), torch.full((2,), expected).double(), rtol=0, atol=0.05)
    assert float(drawn.var(0).mean()) == pytest.approx(1 / (1 + PRECISION), rel=0.1)


# -- restricted Boltzmann machines ------------------------------------------------------------------------------------


def machine(visible: int, hidden: int, *, exact: bool = True) -> Machine:
    found = Machine((visible,), hidden, exact=exact).double()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return found


def states(count: int) -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=count)), dtype=torch.float64)


@pytest.mark.parametrize(("visible", "hidden"), [(4, 3), (3, 5), (6, 6)])
def test_log_z_of_a_machine_is_that_of_enumeration(visible: int, hidden: int) -> None:
    """Over all pairs (v, h) of the energy itself, and over v of the free energy."""
    found = machine(visible, hidden)
    v, h = states(visible), states(hidden)
    joint = (v @ found.visible)[:, None] + (h @ found.hidden)[None] + v @ found.weight @ h.T
    torch.testing.assert_close(found.log_normaliser(), torch.logsumexp(joint.flatten(), 0).detach())
    torch.testing.assert_close(-found(v), torch.logsumexp(joint, 1))


def test_annealed_importance_sampling_is_within_a_tenth_of_a_nat() -> None:
    found = machine(20, 10)
    assert abs(float(found.annealed() - found.summed())) < 0.1
    flat = float(nn.functional.softplus(found.visible).sum().detach()) + 10 * math.log(2)
    assert abs(flat - float(found.summed())) > 2.0, "the first of the annealed densities is far away"


def test_gibbs_steps_have_the_law_of_the_machine() -> None:
    found = machine(3, 2)
    v = states(3)
    exact = torch.softmax(-found(v), 0).detach()
    ends = found.gibbs(torch.zeros(40_000, 3, dtype=torch.float64), 30)
    index = (ends @ torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)).long()
    seen = torch.bincount(index, minlength=8).double() / len(ends)
    assert float((seen - exact).abs().max()) < 0.012
    assert float(exact.max() - exact.min()) > 0.1


def test_quadrature_normalises_a_density_of_the_plane() -> None:
    model, _ = quadratic("energy: {x: {net: mlp, negatives: langevin}}")
    assert float(tilt.log_normaliser(model, "x")) == pytest.approx(
        math.log(2 * math.pi / PRECISION), rel=1e-3
    )
    x = torch.randn(50, 2, dtype=torch.float64)
    exact = torch.distributions.Normal(MEAN, PRECISION**-0.5).log_prob(x).sum(1)
    torch.testing.assert_close(model.log_prob(x), exact, rtol=1e-3, atol=1e-3)


def test_the_formulas_of_the_fixed_energies() -> None:
    """Values worked out by hand at points where most terms vanish (Rezende and Mohamed 2015, table 1)."""
    z = torch.tensor([[2.0, 0.0], [0.0, 0.0], [1.0, 1.0], [5.0, 1.0]], dtype=torch.float64)
    u1, u2, u3, u4 = (build_u1(U1())(z), build_u2(U2())(z), build_u3(U3())(z), build_u4(U4())(z))
    assert float(u1[0]) == pytest.approx(0.0, abs=1e-9)
    assert float(u1[1]) == pytest.approx(12.5 + 4 / 0.72 - math.log(2))
    assert float(u2[2]) == pytest.approx(0.0, abs=1e-12)
    assert float(u2[3]) == pytest.approx(50.0, rel=1e-9)
    assert float(u3[2]) == pytest.approx(-math.log1p(math.exp(-0.5 * (3 / 0.35) ** 2)), abs=1e-12)
    assert float(u4[2]) == pytest.approx(-math.log1p(math.exp(-0.5 * (1.5 / 0.35) ** 2)), rel=1e-6)
    # between the two ridges of U3 both are as far; on the lower one of U4 the upper is 1.5 of its 0.4 away
    apart, z1 = 3 * math.exp(-0.5), 1.6
    z = torch.tensor([[1.0, -0.5], [z1, math.sin(math.pi * z1 / 2) - apart / 2]], dtype=torch.float64)
    u2, u3, u4 = build_u2(U2())(z), build_u3(U3())(z), build_u4(U4())(z)
    assert float(u2[0]) == pytest.approx(0.5 * (1.5 / 0.4) ** 2)
    assert float(u3[0]) == pytest.approx(0.5 * (1.5 / 0.35) ** 2 - math.log(2))
    assert float(u3[1]) == pytest.approx(0.5 * (apart / 2 / 0.35) ** 2 - math.log(2))
    assert float(u4[0]) == pytest.approx(-math.log1p(math.exp(-0.5 * (1.5 / 0.4) ** 2)), rel=1e-6)
