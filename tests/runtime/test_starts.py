"""What starts from data, starts from the first batch of the first stage that fits it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gendsl.nn.factor import FromRows
from gendsl.nn.quantised import VqFamily
from gendsl.nn.transforms.linear import ActNormTransform
from gendsl.runtime.streams import stream
from gendsl.runtime.train import Trainer
from tests.runtime.runs import SMALL, begin, cut, go_on, same, whole

FLOW = """
gendsl: 1
data: {source: two_moons, bind: {x: {column: point}}}
prior: {z: {dist: normal, shape: [2], flow: [{type: actnorm}, {type: coupling, repeat: 2}]}}
encoder: {z: {given: x, dist: deterministic, net: {type: mlp, hidden: [16]}}}
decoder: {x: {given: z, dist: {type: normal, scale: fixed}, net: {type: mlp, hidden: [16]}}}
train:
  ema: 0.9
  optim: {type: adam, lr: 0.05}
  stages: [{fit: [encoder.z, decoder.x], steps: 12}, {fit: [prior.z], steps: 11}]
"""

CODES = """
gendsl: 1
data: {source: two_moons, bind: {x: {column: point}}}
prior: {c: {dist: {type: categorical, logits: learned}}}
encoder: {c: {given: x, dist: {type: vq, codes: 8, dim: 3}, net: {type: mlp, hidden: [16]}, shape: []}}
decoder: {x: {given: c, dist: {type: normal, scale: fixed}, net: {type: mlp, hidden: [16]}}}
train:
  optim: {type: adam, lr: 0.05}
  stages: [{fit: [decoder.x], steps: 12}, {fit: [encoder.c, prior.c], steps: 11}]
"""
SETS = (*SMALL, "train.checkpoint.every=6")


def batch_at(trainer: Trainer) -> dict[str, Tensor]:
    """The minibatch that the trainer takes next."""
    draw = trainer._stretch(trainer.step).draw(trainer.step)
    return trainer.part.batch(trainer.order.indices(draw)).values


def test_actnorm_standardises_the_codes_of_a_trained_encoder(tmp_path: Path) -> None:
    trainer = begin(FLOW, tmp_path, SETS).trainer
    (layer,) = (m for m in trainer.model.modules() if isinstance(m, ActNormTransform))
    for _ in range(12):
        assert not bool(layer.started)
        trainer._one_step()
    assert not bool(layer.started)
    assert float(layer.log_scale.detach().abs().max()) == 0.0
    codes = trainer.model.encode(batch_at(trainer))["z"]
    before = {n: p.detach().clone() for n, p in trainer.model.prior.named_parameters()}
    player = trainer.stretches[1].stage.players[0]
    trainer.model.begin(player.factors)
    with stream(trainer.seed, "noise", 0):
        trainer.model.loss("model", trainer.model.batch(batch_at(trainer)), 12, player.terms)
    assert bool(layer.started)
    torch.testing.assert_close(layer.shift.detach(), codes.mean(0))
    torch.testing.assert_close(layer.log_scale.detach().exp(), codes.std(0, correction=0))
    assert {n for n, p in trainer.model.prior.named_parameters() if not p.equal(before[n])} == {
        n for n, p in trainer.model.prior.named_parameters() if p is layer.shift or p is layer.log_scale
    }


def test_the_trainer_opens_what_its_stage_fits(tmp_path: Path) -> None:
    """By the trainer's own steps: the start is that of the first step of the second stage, and the only one."""
    trainer = begin(FLOW, tmp_path, (*SETS, "train.optim.lr=1e-12")).trainer
    (layer,) = (m for m in trainer.model.modules() if isinstance(m, ActNormTransform))
    for _ in range(12):
        trainer._one_step()
    codes = trainer.model.encode(batch_at(trainer))["z"]
    for _ in range(3):
        trainer._one_step()
        torch.testing.assert_close(layer.shift.detach(), codes.mean(0), rtol=1e-5, atol=1e-6)


def test_codewords_start_in_the_stage_that_fits_them(tmp_path: Path) -> None:
    trainer = begin(CODES, tmp_path, SETS).trainer
    (book,) = (m for m in trainer.model.modules() if isinstance(m, VqFamily))
    before = book.codebook.detach().clone()
    for _ in range(12):
        trainer._one_step()
    assert book.codebook.equal(before)
    trainer._one_step()
    assert bool(book.started)
    assert not book.codebook.equal(before)


@pytest.mark.parametrize("spec", [FLOW, CODES], ids=["actnorm", "codewords"])
def test_killed_around_the_second_stage(spec: str, tmp_path: Path) -> None:
    """Before, at and after the checkpoint that stands between the stages."""
    right = whole(spec, tmp_path / "right", SETS)
    for step in (11, 12, 13):
        path = tmp_path / f"cut{step}"
        cut(begin(spec, path, SETS), step)
        go_on(path)
        same(right, path)


CLASSES = """
gendsl: 1
data: {source: two_moons, n: 400, bind: {x: {column: point}, y: label}}
variables: {y: {observed: {partial: 200}}}
prior: {u: {dist: normal}, y: {dist: categorical}}
flow: {x: {given: [u, y], stack: [{type: lu_linear, given: true, start: whiten}]}}
train: {batch_size: 320}
"""


def test_a_flow_given_a_label_that_is_summed_out_starts_from_what_is_known_of_it(tmp_path: Path) -> None:
    """The rows of a known label are whitened by it, not by the other labels that they are tried with."""
    trainer = begin(CLASSES, tmp_path, [s for s in SMALL if "batch_size" not in s]).trainer
    every = trainer.part.batch(torch.arange(trainer.part.rows))
    known = every.known["y"]
    assert 0 < int(known.sum()) == 200 < len(every)
    start = replace(
        every,
        **{
            n: {k: v[known] for k, v in getattr(every, n).items()}
            for n in ("values", "log_det", "known", "hidden")
        },
        rows=every.rows[known],
    )
    trainer.model.train()
    trainer.model.loss("model", start, 0, ["likelihood.x"])
    trainer.model.eval()
    for label in range(2):
        rows = start.values["y"] == label
        inner = trainer.model.encode({"x": start.values["x"][rows], "y": start.values["y"][rows]})["u"]
        torch.testing.assert_close(inner.mean(0), torch.zeros(2), atol=1e-3, rtol=0)
        torch.testing.assert_close(torch.cov(inner.T, correction=0), torch.eye(2), atol=1e-3, rtol=0)


MIXTURE = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}}}
decoder: {x: {dist: mixture, of: bernoulli, components: 20}}
train: {batch_size: 50}
"""


def test_the_components_of_a_mixture_begin_around_rows_of_the_first_batch(tmp_path: Path) -> None:
    trainer = begin(MIXTURE, tmp_path, SETS).trainer
    module = trainer.model.factor("decoder.x")
    assert isinstance(module, FromRows)
    rows = batch_at(trainer)["x"].flatten(1)
    before = module.raw.detach().clone()
    trainer.model.eval().loss("model", trainer.model.batch(batch_at(trainer)), training=False)
    trainer.model.log_prob({"x": batch_at(trainer)["x"]}, 1)
    torch.testing.assert_close(module.raw.detach(), before, rtol=0, atol=0)
    trainer.model.train().loss("model", trainer.model.batch(batch_at(trainer)))
    assert bool(module.started)
    logits = module.raw.detach()[20:].view(20, 64)
    nearest = (logits.sign().unsqueeze(1) == (2 * rows - 1).unsqueeze(0)).all(2)
    assert bool(nearest.any(1).all()), "each component is around a row"
    assert int(nearest.any(0).sum()) == min(20, len(rows)), "and no two around one while there are enough"
    torch.testing.assert_close(logits.abs().mean(), torch.tensor(1.0), rtol=0.05, atol=0)
    torch.testing.assert_close(module.raw.detach()[:20], torch.zeros(20))
    after = module.raw.detach().clone()
    trainer.model.loss("model", trainer.model.batch(batch_at(trainer)))
    torch.testing.assert_close(module.raw.detach(), after, rtol=0, atol=0)


def test_a_mixture_beneath_an_energy_begins_around_data_and_not_around_chains(tmp_path: Path) -> None:
    text = """
gendsl: 1
data: {source: two_moons, bind: {x: {column: point}}}
decoder: {x: {dist: mixture, of: normal, components: 5}}
energy: {x: {net: {type: mlp, hidden: [8]}, negatives: {type: langevin, steps: 2}}}
"""
    trainer = begin(text, tmp_path, SETS).trainer
    module = trainer.model.factor("decoder.x")
    assert isinstance(module, FromRows)
    rows = batch_at(trainer)["x"]
    trainer.model.train().loss("model", trainer.model.batch(batch_at(trainer)))
    locations = module.raw.detach()[5:].view(5, 2, 2)[:, 0]
    assert float(torch.cdist(locations, rows).min(1).values.max()) < 0.4, (
        "each a tenth of a normal step from a row"
    )
