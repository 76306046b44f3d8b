"""Laws of corruptions and of the chain that corrupts and denoises in turn."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from gendsl.compiler.build import build
from gendsl.compiler.pipeline import analyse
from gendsl.nn import chain
from gendsl.nn.building import builder
from gendsl.nn.inference import Trace
from gendsl.nn.model import Model
from gendsl.nn.objective import loss
from gendsl.nn.objective.evaluation import Evaluation
from gendsl.runtime.verify.subject import perturb
from gendsl.schema.facts import BINARY, REAL, UNIT, Support, categories
from gendsl.schema.load import loads
from gendsl.schema.registry import table

SUPPORTS = (BINARY, UNIT, REAL, categories(5))
EXAMPLES = [
    (tag, example, support)
    for tag, model in table("corruption").items()
    for example in model.examples
    for support in SUPPORTS
    if tag != "salt_and_pepper" or support != REAL  # the reals have no lowest value
]
SHAPE = (2, 6, 5)
DENOISER = """
gendsl: 1
data:
  source: memory
  rows: 40
  columns: {image: {shape: [1, 2, 3], dtype: uint8}}
  bind: {x: {column: image, as: [{binarize: static}]}}
train: {batch_size: 10}
corruption: {x_noisy: {given: x, dist: CHANNEL}}
encoder: {z: {given: x_noisy, dist: deterministic, shape: [4], net: {type: mlp, hidden: [8]}}}
decoder: {x: {given: z, dist: bernoulli, net: {type: mlp, hidden: [8]}}}
objective: {reconstruction: {x: {walkback: 2}}}
sample: {chain: {steps: 12}}
"""


def denoiser(channel: str = "{type: mask, rate: 0.5}", text: str = DENOISER) -> Model:
    """The float64 model at drawn parameters."""
    torch.manual_seed(0)
    model = build(analyse(loads(text.replace("CHANNEL", channel)))).double().eval()
    perturb(model, 1.0)
    return model


def channel_of(tag: str, example: dict[str, Any], support: Support) -> Any:
    spec = table("corruption")[tag](**example)
    return spec, builder(spec)(spec, support)


@pytest.mark.parametrize(("tag", "example", "support"), EXAMPLES, ids=str)
def test_corrupted_values_lie_in_the_support_that_is_stated(
    tag: str, example: dict[str, Any], support: Support
) -> None:
    torch.manual_seed(0)
    spec, channel = channel_of(tag, example, support)
    clean = torch.randint(0, 2, (64, *SHAPE)).double()
    kept = clean.clone()
    noisy = channel(clean)
    stated = spec.support(support)
    assert torch.equal(clean, kept)
    assert noisy.shape == clean.shape
    assert noisy.dtype == clean.dtype
    assert stated.low <= float(noisy.min())
    assert float(noisy.max()) <= stated.high
    assert not torch.equal(noisy, clean)
    assert not torch.equal(noisy, channel(clean))


@pytest.mark.parametrize("side", [0.1, 0.25, 0.5, 1.0])
def test_a_block_is_one_rectangle_anywhere(side: float) -> None:
    torch.manual_seed(0)
    spec, channel = channel_of("block", {"side": side}, BINARY)
    tall, wide = spec.rectangle(SHAPE)
    hole = channel(torch.ones(3000, *SHAPE)) == 0
    assert (hole.sum((1, 2, 3)) == SHAPE[0] * tall * wide).all()
    assert torch.equal(hole[:, 0], hole[:, 1])
    assert (hole[:, 0].any(2).sum(1) == tall).all()
    assert (hole[:, 0].any(1).sum(1) == wide).all()
    places = (SHAPE[1] - tall + 1) * (SHAPE[2] - wide + 1)
    patterns, counts = hole[:, 0].flatten(1).unique(dim=0, return_counts=True)
    assert len(patterns) == places
    assert float(counts.min()) > 0.6 * 3000 / places


def test_a_mask_hides_the_share_that_is_stated() -> None:
    torch.manual_seed(0)
    for rate in (0.1, 0.5, 0.9):
        _, channel = channel_of("mask", {"rate": rate}, BINARY)
        hidden = (channel(torch.ones(20_000)) == 0).double().mean()
        assert float(hidden) == pytest.approx(rate, rel=0.05)


def states() -> Tensor:
    """Every binary image, [64, 1, 2, 3]."""
    return torch.tensor(list(product((0.0, 1.0), repeat=6)), dtype=torch.float64).view(-1, 1, 2, 3)


def number(x: Tensor) -> Tensor:
    """The place of each image in `states`, [N]."""
    return (x.flatten(1) * 2 ** torch.arange(5, -1, -1)).sum(1).long()


def transition(model: Model, corrupted: Tensor) -> Tensor:
    """T(x' | x) = sum over x~ of C(x~ | x) p(x' | x~), [64, 64], from C(x~ | x) as a table."""
    x = states()
    code = model.distribution("encoder.z", {"x_noisy": x}, 64).draw()[0]
    log_p = torch.stack(
        [model.distribution("decoder.x", {"z": code}, 64).log_prob(y.expand(64, *y.shape)) for y in x], 1
    )
    return corrupted @ log_p.exp()


def masked(rate: float) -> Tensor:
    """C(x~ | x) of the mask, [64, 64]."""
    x = states().flatten(1)
    one, other = x[:, None], x[None]
    hidden = torch.where(other < one, rate, torch.where(one > 0, 1 - rate, torch.ones_like(one)))
    return torch.where(other <= one, hidden, torch.zeros_like(hidden)).prod(2)


def blocks(spec: Any) -> Tensor:
    """C(x~ | x) of the block."""
    tall, wide = spec.rectangle((1, 2, 3))
    x, total = states(), torch.zeros(64, 64, dtype=torch.float64)
    corners = [(i, j) for i in range(2 - tall + 1) for j in range(3 - wide + 1)]
    for i, j in corners:
        noisy = x.clone()
        noisy[:, :, i : i + tall, j : j + wide] = 0
        total[torch.arange(64), number(noisy)] += 1 / len(corners)
    return total


def stationary(table: Tensor) -> Tensor:
    """The distribution that the transition leaves as it is."""
    return torch.linalg.matrix_power(table, 200)[0]


def distance(values: Tensor, wanted: Tensor) -> float:
    """Total variation of an empirical distribution and a table."""
    counts = torch.bincount(number(values), minlength=64).double()
    return float((counts / counts.sum() - wanted).abs().sum() / 2)


@torch.no_grad()
@pytest.mark.parametrize("channel", ["{type: mask, rate: 0.5}", "{type: block, side: 0.5}"])
def test_samples_follow_the_stationary_distribution(channel: str) -> None:
    model = denoiser(channel)
    spec = model.graph.factors["corruption.x_noisy"].channel
    table_ = transition(model, masked(0.5) if spec is not None and spec.tag == "mask" else blocks(spec))
    assert torch.allclose(table_.sum(1), torch.ones(64, dtype=torch.float64))
    wanted = stationary(table_)
    torch.manual_seed(1)
    assert distance(model.sample(60_000)["x"], wanted) < 0.02
    assert distance(chain.noise(model, 60_000)["x"], wanted) > 0.1
    one = chain.run(model, {"x": states()[5:6].expand(60_000, 1, 2, 3)}, 1, {})["x"]
    assert distance(one, table_[5]) < 0.02


@pytest.mark.parametrize("support", [BINARY, UNIT, REAL, categories(5), Support(low=0.0)], ids=str)
def test_noise_lies_in_the_support(support: Support) -> None:
    model = denoiser()
    variable = replace(model.graph.variables["x"], support=support, column=None)
    torch.manual_seed(0)
    value = chain._noise(model, variable, 400)
    assert value.shape == (400, 1, 2, 3)
    assert support.low <= float(value.min()) < float(value.max()) <= support.high


def test_walk_back_reconstructs_the_row_from_the_states_that_the_chain_visits() -> None:
    model = denoiser()
    x = (torch.rand(10, 1, 2, 3) > 0.5).double()
    batch = model.batch(x)
    term = model.graph.terms[0]
    torch.manual_seed(3)
    found = loss(Evaluation(model, batch, 0, training=True), [term])
    torch.manual_seed(3)
    trace, values = Trace(model, batch, 1, corrupt=True), []
    for visited in range(3):
        code = trace.values["z"]
        values.append(-model.distribution("decoder.x", {"z": code}, 10).log_prob(x).mean())
        if visited < 2:
            state = model.distribution("decoder.x", {"z": code.detach()}, 10).draw()[0]
            trace = Trace(model, batch, 1, corrupt=True, state={"x": state})
    assert torch.allclose(found.total, torch.stack(values).mean(), rtol=1e-12)
    assert len({round(float(v.detach()), 6) for v in values}) == 3
    found.total.backward()
    for name in ("encoder.z", "decoder.x"):
        assert all(p.grad is not None and bool(p.grad.any()) for _, p in model.parameters_of([name]))
    clean = loss(Evaluation(model, batch, 0, training=False), [term]).total
    plain = Trace(model, batch, 1, corrupt=False)
    assert torch.allclose(clean, -plain.contributions["x"].mean(), rtol=1e-12)
