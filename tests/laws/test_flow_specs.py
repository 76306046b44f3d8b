"""Flow layers in whole specs: training steps, the change of variables, total probability, refusals."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

import gendsl
from gendsl.compiler.pipeline import analyse
from gendsl.errors import SpecError
from gendsl.nn.factor import FlowSection
from gendsl.nn.model import Model
from gendsl.runtime.dataset import dataset
from gendsl.runtime.initial import compile_model
from gendsl.runtime.train import Trainer

MOONS = """
gendsl: 1
data: {source: {type: two_moons, n: 200}, bind: {x: {column: point, as: [standardize]}}}
prior: {u: {dist: normal}}
flow: {x: {given: u, stack: STACK}}
train: {steps: 3, batch_size: 32}
"""
DIGITS = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [dequantize, logit]}}}
prior: {z: {dist: normal}}
flow: {x: {given: z, stack: STACK}}
train: {steps: 3, batch_size: 16}
"""
GLOW = """
  - squeeze
  - {type: chain, repeat: 2, stack: [actnorm, inv_1x1_conv,
     {type: coupling, mask: channel, net: {type: resnet, width: 8, blocks: 1}}]}
  - split
  - {type: chain, stack: [actnorm, inv_1x1_conv, {type: coupling, hidden: [16]}]}
  - squeeze
  - split
  - {type: elementwise, how: affine}
"""
VAE = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}}}
prior: {z: {dist: normal, shape: [4]}}
decoder: {x: {given: z, dist: bernoulli, net: {type: mlp, hidden: [16]}}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: [16]}, flow: STACK}}
train: {steps: 3, batch_size: 16}
"""
MAF = "[{type: masked_ar, repeat: 3, hidden: [16]}]"
SPLINE = "[{type: coupling, transform: rq_spline, bins: 6, bound: 4.0, repeat: 2, hidden: [16]}, lu_linear]"
IAF = "[{type: inverse_ar, repeat: 2, hidden: [16]}]"
MIXED = "[radial, {type: sylvester, units: 2}, {type: householder, repeat: 2}, permute]"


def spec_of(text: str, stack: str) -> gendsl.Spec:
    if stack.startswith("\n"):
        stack = "[" + ", ".join(part.strip() for part in stack.split("\n  - ")[1:]) + "]"
    return gendsl.loads(text.replace("STACK", stack))


def trained(text: str, stack: str) -> tuple[Model, dict[str, Tensor]]:
    """A model after its training steps, and rows that it can score."""
    graph = analyse(spec_of(text, stack), base=Path())
    model = compile_model(graph)
    data = dataset(graph, Path())
    Trainer(model, data).fit()
    batch = data.parts["test"].batch(torch.arange(8))
    model.eval()
    return model, dict(batch.values)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("text", "stack"),
    [(MOONS, MAF), (MOONS, SPLINE), (DIGITS, GLOW), (VAE, IAF), (VAE, MIXED)],
    ids=["maf", "spline", "glow", "iaf posterior", "mixed posterior"],
)
def test_a_spec_trains_scores_and_samples(text: str, stack: str) -> None:
    model, rows = trained(text, stack)
    counted = sum(p.numel() for p in model.parameters())
    assert counted == sum(f.bill.parameters for f in model.graph.factors.values())
    assert bool(torch.isfinite(model.log_prob(rows["x"], samples=3)).all())
    drawn = model.sample(4)["x"]
    assert drawn.shape == (4, *rows["x"].shape[1:])
    assert bool(torch.isfinite(drawn.double()).all())


@pytest.mark.parametrize(("text", "stack"), [(MOONS, MAF), (DIGITS, GLOW)], ids=["maf", "glow"])
def test_the_density_is_the_change_of_variables(text: str, stack: str) -> None:
    model, rows = trained(text, stack)
    model = model.double()
    x = rows["x"][:3].double()
    section = model.factor("flow.x")
    assert isinstance(section, FlowSection)
    base = section.stack.inverse(x)[0]
    shape = model.graph.variables[model.graph.factors["flow.x"].base or ""].shape
    assert tuple(base.shape[1:]) == shape
    torch.testing.assert_close(section.stack(base)[0], x, rtol=1e-10, atol=1e-10)

    def inner(value: Tensor) -> Tensor:
        return section.stack.inverse(value)[0].flatten(1).sum(0)

    matrices = torch.autograd.functional.jacobian(inner, x).movedim(1, 0).flatten(2)
    normal = -0.5 * (base.flatten(1) ** 2 + math.log(2 * math.pi)).sum(1)
    expected = normal + torch.linalg.slogdet(matrices.reshape(3, base[0].numel(), -1))[1]
    torch.testing.assert_close(model.log_prob(x), expected.detach(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("stack", [MAF, SPLINE], ids=["maf", "spline"])
def test_a_density_in_the_plane_has_mass_one(stack: str) -> None:
    model, _ = trained(MOONS, stack)
    side = torch.linspace(-6, 6, 241)
    points = torch.cartesian_prod(side, side)
    mass = torch.exp(model.log_prob(points)).sum() * float(side[1] - side[0]) ** 2
    torch.testing.assert_close(mass, torch.ones(()), rtol=2e-3, atol=0)


def test_a_checkpoint_holds_the_start_of_actnorm() -> None:
    model, rows = trained(DIGITS, GLOW)
    state = model.state_dict()
    assert [bool(v) for n, v in state.items() if n.endswith("started")] == [True] * 3
    fresh = compile_model(model.graph)
    fresh.load_state_dict(state)
    fresh.train()
    assert torch.equal(fresh.log_prob(rows["x"]), model.log_prob(rows["x"]))


def test_a_function_of_entries_brings_the_support_with_it() -> None:
    spec = spec_of(DIGITS.replace(", logit", ""), "[{elementwise: sigmoid}, {type: coupling, hidden: [8]}]")
    model = compile_model(analyse(spec, base=Path()))
    drawn = model.sample(5)["x"]
    assert bool(((drawn >= 0) & (drawn <= 1)).all())
    assert bool(torch.isfinite(model.log_prob(torch.rand(4, 1, 8, 8))).all())


@pytest.mark.parametrize(
    ("text", "stack", "code", "words"),
    [
        (DIGITS, "[{type: chain, repeat: 2, stack: [squeeze, split]}]", "GD408", "between two chains"),
        (DIGITS, "[split]", "GD408", "squeeze before it"),
        (DIGITS, "[squeeze, squeeze, squeeze, squeeze]", "GD408", "even height"),
        (DIGITS, "[{type: coupling, bins: 4}]", "GD408", "rq_spline"),
        (MOONS, "[{elementwise: sigmoid}]", "GD404", "[0, 1] at the variable"),
        (MOONS, "[{type: sylvester, units: 3}]", "GD408", "entries"),
        (MOONS, "[{type: chain, stack: [planar]}]", "GD503", ""),
    ],
)
def test_what_cannot_be_is_refused(text: str, stack: str, code: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        analyse(spec_of(text, stack), base=Path())
    found = caught.value.diagnostics[0]
    assert found.code == code
    assert words in found.message + found.help
