"""Laws of sequences: what ends a row, rows of their own length, instants with entries, and nats for each step."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gendsl.compiler.build import build
from gendsl.compiler.pipeline import analyse
from gendsl.errors import SpecError
from gendsl.nn.factor import Sequential
from gendsl.nn.model import Model
from gendsl.nn.networks.ended import Ended
from gendsl.runtime.dataset import dataset
from gendsl.runtime.evaluation import evaluate
from gendsl.runtime.verify.subject import perturb
from gendsl.schema.load import load, loads
from gendsl.schema.spec import Spec

WORDS = """
gendsl: 1
data:
  source: memory
  rows: 40
  columns: {w: {dtype: int64, shape: [4], classes: 3, end: 1}, y: {dtype: int64, classes: 2}}
  bind: {x: w, y: y}
condition: [y]
ordering: {x: time}
decoder: {x: {given: y, dist: categorical, net: NET}}
train: {batch_size: 10}
"""
NETS = (
    "{type: gru, width: 6}",
    "{type: transformer, layers: 1, width: 8, heads: 2}",
    "{type: wavenet, layers: 2, width: 6}",
    "{type: made, hidden: [12]}",
)
STATES = torch.tensor(list(itertools.product(range(3), repeat=4)))
SONG = """
gendsl: 1
data: {source: npz, path: a.npz, columns: {f: {offsets: o, high: 1}}, split: {train: 0.5, test: 0.5}, bind: {x: f}}
ordering: {x: ORDER}
decoder: {x: {dist: bernoulli, net: NET}}
train: {batch_size: 4}
"""
FRAMES = (
    "{type: lstm, width: 6, frame: {type: mlp, hidden: []}}",
    "{type: rnn, width: 6, frame: {type: made, hidden: [7]}}",
    "{type: wavenet, layers: 2, width: 6, frame: made}",
    "{type: transformer, layers: 1, width: 8, heads: 2, frame: {type: mlp, hidden: [5]}}",
    "{type: gru, width: 6}",
)
LENGTHS = (3, 1, 5, 2, 4, 5)


def spec_of(text: str, base: Path) -> Spec:
    (base / "song.yaml").write_text(text, "utf-8")
    return load(base / "song.yaml")


def model_of(text: str, base: Path | None = None) -> Model:
    torch.manual_seed(0)
    model = build(analyse(loads(text) if base is None else spec_of(text, base)))
    model = model.double().eval()
    perturb(model, 0.7)
    return model


@pytest.mark.parametrize("net", NETS)
@torch.no_grad()
def test_nothing_follows_the_end_and_the_rows_sum_to_one(net: str) -> None:
    model = model_of(WORDS.replace("NET", net))
    y = torch.ones(len(STATES), dtype=torch.int64)
    factor = model.distribution("decoder.x", {"y": y}, len(STATES))
    assert isinstance(factor, Sequential)
    assert isinstance(factor.net, Ended)
    log_p = factor.log_prob(STATES)
    assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-9)
    free = factor.family(factor.net.net({"y": y}, STATES)).log_prob(STATES)  # [N, T], as if nothing ended
    first = [row.index(1) if 1 in row else 4 for row in STATES.tolist()]
    for row, found, each, at in zip(STATES.tolist(), log_p, free, first, strict=True):
        if any(symbol != 1 for symbol in row[at + 1 :]):
            assert found == -torch.inf
        else:
            torch.testing.assert_close(found, each[: at + 1].sum())
    torch.manual_seed(1)
    drawn = model.sample(4000, {"y": torch.ones(4000, dtype=torch.int64)})["x"]
    ends = drawn == 1
    assert bool((ends[:, 1:] | ~ends[:, :-1]).all())
    index = (drawn * torch.tensor([27, 9, 3, 1])).sum(1)
    counts = torch.bincount(index, minlength=81).double() / 4000
    assert float((counts - log_p.exp()).abs().sum() / 2) < 0.06


@pytest.mark.parametrize("net", NETS)
@torch.no_grad()
def test_walks_of_rows_that_end_are_those_of_whole_passes(net: str) -> None:
    model = model_of(WORDS.replace("NET", net))
    factor = model.distribution("decoder.x", {"y": torch.zeros(50, dtype=torch.int64)}, 50)
    assert isinstance(factor, Sequential)
    found = []
    for cached in (True, False):
        torch.manual_seed(2)
        found.append(factor.draw(cached=cached)[0])
    assert torch.equal(*found)
    known = torch.rand(50, 4) < 0.5
    done = factor.complete(found[0], known)
    assert torch.equal(done[known], found[0][known])


def test_gradients_are_finite_behind_the_end() -> None:
    model = model_of(WORDS.replace("NET", NETS[0]))
    x = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1], [2, 0, 2, 0]])
    loss = model.losses({"x": x, "y": torch.tensor([0, 1, 0])})["model"].total
    grads = torch.autograd.grad(loss, list(model.parameters()))
    assert all(bool(torch.isfinite(g).all()) for g in grads)
    assert sum(float(g.abs().sum()) for g in grads) > 0


def songs(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(LENGTHS)])
    np.savez(tmp_path / "a.npz", f=draw.integers(0, 2, (offsets[-1], 3), dtype=np.uint8), o=offsets)


@pytest.mark.parametrize("net", FRAMES)
@torch.no_grad()
def test_a_row_of_its_own_length_is_scored_as_if_nothing_followed(net: str, tmp_path: Path) -> None:
    songs(tmp_path)
    model = model_of(SONG.replace("NET", net).replace("ORDER", "time"), tmp_path)
    data = dataset(model.graph, tmp_path)
    part = data.parts["train"]
    batch = part.batch(torch.arange(part.rows))
    batch = replace(batch, values={"x": batch.values["x"].double()})
    known = batch.known["x"]
    assert sorted(known[:, :, 0].sum(1).tolist()) == sorted(LENGTHS[i] for i in part.index.tolist())
    log_p = model.log_prob(batch)
    other = torch.where(known, batch.values["x"], 1 - batch.values["x"])
    torch.testing.assert_close(model.log_prob(replace(batch, values={"x": other})), log_p)
    rest = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3))).double()
    for row in range(part.rows):  # the sum over every instant that might have come next
        length = int(known[row, :, 0].sum())
        if length == known.shape[1]:
            continue
        value, mask = batch.values["x"][row].repeat(8, 1, 1), known[row].repeat(8, 1, 1)
        value[:, length], mask[:, length] = rest, True
        many = replace(
            batch.each(lambda t: t[:1].expand(8, *t.shape[1:])), values={"x": value}, known={"x": mask}
        )
        torch.testing.assert_close(torch.logsumexp(model.log_prob(many), 0), log_p[row])


@pytest.mark.parametrize(("order", "problem"), [("reverse", "GD510"), ("{type: random}", "GD510")])
def test_an_order_that_does_not_end_with_the_padding_is_refused(
    order: str, problem: str, tmp_path: Path
) -> None:
    songs(tmp_path)
    with pytest.raises(SpecError) as error:
        analyse(spec_of(SONG.replace("NET", "{type: made, hidden: [20]}").replace("ORDER", order), tmp_path))
    assert [d.code for d in error.value.diagnostics] == [problem]
    assert "rows of different lengths" in error.value.diagnostics[0].message


@torch.no_grad()
def test_nats_for_each_step_are_all_nats_over_all_steps(tmp_path: Path) -> None:
    songs(tmp_path)
    model = model_of(SONG.replace("NET", FRAMES[0]).replace("ORDER", "time"), tmp_path).float()
    data = dataset(model.graph, tmp_path)
    metrics = ("log_prob", "nats_per_step")
    found = evaluate(model, data, split="train", seed=0, samples=1, metrics=metrics)
    part = data.parts["train"]
    steps = sum(LENGTHS[i] for i in part.index.tolist())
    assert found["nats_per_step"]["steps"] == steps
    assert found["nats_per_step"]["kind"] == "exact"
    assert found["nats_per_step"]["value"] == pytest.approx(
        -found["log_prob"]["value"] * part.rows / steps, rel=1e-9
    )
    words = model_of(WORDS.replace("NET", NETS[0])).float()
    w = np.array([[0, 2, 1, 1], [1, 1, 1, 1], [0, 0, 2, 2], [2, 0, 2, 1]] * 10)
    lengths = (3, 1, 4, 4)
    data = dataset(words.graph, tmp_path, {"w": w, "y": np.zeros(40, np.int64)})
    found = evaluate(words, data, split="train", seed=0, samples=1, metrics=metrics)
    assert found["nats_per_step"]["steps"] == sum(lengths[int(i) % 4] for i in data.parts["train"].index)
    assert found["nats_per_step"]["stderr"] > 0
