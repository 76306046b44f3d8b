"""A run that is killed anywhere and resumed has the bits of one that never stopped."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gendsl.runtime import checkpoint
from gendsl.runtime import run as runs
from gendsl.runtime.train import Interrupted
from gendsl.schema.load import shipped
from tests.runtime.runs import SMALL, STEPS, begin, cut, gendsl, go_on, same, whole

NAMED = (
    "vae_planar_flow",
    "vae_flow_prior",
    "conditional_vae",
    "hierarchical_vae",
    "gan",
    "pixelcnn",
    "realnvp",
    "adversarial_codes_flow_prior",
)
EVERYTHING = (
    "train.ema=0.9",
    "train.validate={every: 4, patience: 50}",
    "train.optim={type: adam, lr: 1e-3, clip: 1.0, schedule: {type: cosine, warmup: 5}}",
)

TWO_STAGES = """
gendsl: 1
data: {source: two_moons, bind: {x: {column: point}}}
prior: {z: {dist: normal, shape: [2], flow: [{type: coupling, repeat: 2}]}}
encoder: {z: {given: x, dist: deterministic, net: {type: mlp, hidden: [16]}}}
decoder: {x: {given: z, dist: {type: normal, scale: fixed}, net: {type: mlp, hidden: [16]}}}
train:
  ema: 0.9
  validate: {every: 3}
  stages: [{fit: [encoder.z, decoder.x], steps: 12}, {fit: [prior.z], steps: 11}]
"""

CRITIC = """
gendsl: 1
data: {source: two_moons, bind: {x: {column: point}}}
prior: {z: {dist: normal, shape: [4]}}
decoder: {x: {given: z, dist: deterministic, net: {type: mlp, hidden: [16]}}}
adversary: {d: {sees: x, loss: %s, penalty: %s, steps: 2, noise: {std: 0.1, anneal: 15}, net: {type: mlp, hidden: [16]}}}
train: {ema: 0.9, optim: {type: rmsprop, lr: 1e-3}, players: {adversary: {d: {optim: {type: adamw, lr: 2e-3}}}}}
"""

ADAPTIVE = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [unit]}}}
prior: {z: {dist: normal, shape: [4]}}
decoder: {x: {given: z, dist: deterministic, net: {type: style, width: 4, style: 6, mapping: 1, mixing: 0.9}}}
adversary:
  d:
    sees: x
    augment: {type: adaptive, target: 0.3, every: 2, rows: 300}
    penalty: [{type: r1, every: 3}, spectral]
    pack: 2
    unroll: 1
    net: {type: conv_down, width: 4}
objective: {path_length: {x: {every: 2}}}
train: {batch_size: 16}
"""

PATIENT = """
gendsl: 1
data: {source: two_moons, bind: {x: {column: point}}}
prior: {z: {dist: normal, shape: [2]}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: [16]}}}
decoder: {x: {given: z, dist: normal, net: {type: mlp, hidden: [16]}}}
objective: {kl: {z: {weight: 2, warmup: 10}}}
train: {optim: {type: sgd, lr: 0.02, momentum: 0.9}, validate: {every: 2, patience: 1}}
"""

IMPATIENT_STAGES = TWO_STAGES.replace("validate: {every: 3}", "validate: {every: 1, patience: 1}").replace(
    "ema: 0.9", "optim: {type: adam, lr: 0.1}"
)

CHAINS = """
gendsl: 1
data: {source: two_moons, bind: {x: {column: point}}}
energy: {x: {net: {type: mlp, hidden: [16]}, negatives: {type: langevin, steps: 3, buffer: 40, fresh: 0.2}}}
train: {ema: 0.9, validate: {every: 4, patience: 3}}
"""

GIVEN_CHAINS = """
gendsl: 1
data: {source: two_moons, bind: {x: {column: point}, y: label}}
condition: [y]
energy: {x: {given: y, net: {type: mlp, hidden: [16]}, negatives: {type: langevin, steps: 3, buffer: 40, fresh: 0.2}}}
"""

MIXTURE = """
gendsl: 1
data: {source: two_moons, bind: {x: {column: point}}}
decoder: {x: {dist: mixture, of: normal, components: 6}}
"""

NO_DATA = """
gendsl: 1
energy: {z: {type: u1}}
encoder: {z: {dist: normal, flow: [{type: planar, repeat: 2}]}}
"""

QUANTISED = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [unit]}}}
encoder: {c: {given: x, dist: {type: vq, codes: 16, dim: 4}, shape: [2, 2], net: {type: conv_down, width: 4}}}
decoder: {x: {given: c, dist: {type: normal, scale: shared}, net: {type: conv_up, width: 4}}}
ordering: {c: {type: raster}}
prior: {c: {dist: categorical, net: {type: transformer, layers: 1, width: 8}}}
train: {ema: 0.9, stages: [{fit: [encoder.c, decoder.x], steps: 12}, {fit: [prior.c], steps: 11}]}
"""

DISCRETE = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}}}
prior: {c: {dist: %s, shape: [4]}}
encoder: {c: {given: x, dist: %s, net: {type: mlp, hidden: [16]}}}
decoder: {x: {given: c, dist: bernoulli, net: {type: mlp, hidden: [16]}}}
objective: {estimator: {c: %s}, bound: %s}
train: {ema: 0.9, validate: {every: 4, patience: 3}}
"""

PSEUDO_INPUTS = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [{binarize: dynamic}]}}}
prior: {z: {dist: {type: vamp, pseudo_inputs: 5}, shape: [2]}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: [16]}}}
decoder: {x: {given: z, dist: bernoulli, net: {type: mlp, hidden: [16]}}}
train: {ema: 0.9}
"""

PARTLY_LABELLED = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}, y: label}}
variables: {y: {observed: {partial: 100}}}
prior: {z: {dist: normal, shape: [4]}, y: {dist: categorical, logits: uniform}}
decoder: {x: {given: [z, y], dist: bernoulli, net: {type: mlp, hidden: [16]}}}
encoder:
  y: {given: x, dist: categorical, net: {type: mlp, hidden: [16]}}
  z: {given: [x, y], dist: normal, net: {type: mlp, hidden: [16]}}
objective: {classification: {y: {weight: 30}}}
train: {validate: {every: 4}}
"""

WALK_BACK = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}}}
corruption: {x_noisy: {given: x, dist: mask, rate: 0.5}}
encoder: {z: {given: x_noisy, dist: deterministic, shape: [8], net: {type: mlp, hidden: [16]}}}
decoder: {x: {given: z, dist: bernoulli, net: {type: mlp, hidden: [16]}}}
objective: {reconstruction: {x: {walkback: 2}}}
train: {ema: 0.9}
"""

MACHINE = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}}}
energy: {x: {net: {type: rbm, hidden: 8}, negatives: {type: contrastive_divergence, steps: 2, buffer: 40}}}
train: {ema: 0.9}
"""

UNROLLED = """
gendsl: 1
data: {source: ring, bind: {x: point}}
prior: {z: {dist: normal, shape: [4]}}
decoder: {x: {given: z, dist: deterministic, net: {type: mlp, hidden: [16]}}}
adversary: {d: {sees: x, loss: non_saturating, unroll: {steps: 3, lr: 0.1}, net: {type: mlp, hidden: [16]}}}
train: {optim: {type: adam, lr: 1e-3, betas: [0.5, 0.999]}}
"""

DEQUANTIZED = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [{dequantize: variational}, logit]}}}
prior: {z: {dist: normal}}
flow: {x: {given: z, stack: [{type: coupling, hidden: [16]}, {type: lu_linear, start: whiten}]}}
train: {ema: 0.9, validate: {every: 4}}
"""

SPECS = {
    "chains that go on": CHAINS,
    "no data": NO_DATA,
    "two stages": TWO_STAGES,
    "spectral": CRITIC % ("hinge", "spectral"),
    "clip": CRITIC % ("wasserstein", "{type: clip, limit: 0.05}"),
    "gradient": CRITIC % ("wasserstein", "{type: gradient, weight: 10}"),
    "adaptive augmentation": ADAPTIVE,
    "patience": PATIENT,
    "patience in stages": IMPATIENT_STAGES,
}

FAMILIES = {
    "quantised codes": QUANTISED,
    "score function": DISCRETE % ("bernoulli", "bernoulli", "score_function", "elbo"),
    "importance-weighted score function": DISCRETE
    % ("categorical, classes: 3", "categorical, classes: 3", "score_function", "{type: iwae, samples: 4}"),
    "relaxed values": DISCRETE % ("bernoulli", "bernoulli", "{type: gumbel, anneal: 15}", "elbo"),
    "pseudo-inputs": PSEUDO_INPUTS,
    "some labels": PARTLY_LABELLED,
    "walk-back": WALK_BACK,
    "machine": MACHINE,
    "chains under conditions": GIVEN_CHAINS,
    "components around rows": MIXTURE,
    "unrolled": UNROLLED,
    "learned dequantization": DEQUANTIZED,
}


def poisoned(folder: Path, on_nan: str) -> str:
    """A spec whose data hold three rows so large that float32 overflows."""
    x = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    x[[5, 60, 170]] = 3e30
    np.savez(folder / "data.npz", x=x)
    return f"""
gendsl: 1
data: {{source: npz, path: {folder / "data.npz"}, split: {{train: 0.9, test: 0.1}}, bind: {{x: {{column: x}}}}}}
prior: {{z: {{dist: normal, shape: [2]}}}}
encoder: {{z: {{given: x, dist: normal, net: {{type: mlp, hidden: [16]}}}}}}
decoder: {{x: {{given: z, dist: normal, net: {{type: mlp, hidden: [16]}}}}}}
train: {{on_nan: {on_nan}, ema: 0.9}}
"""


# -- processes that are killed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "extra"), [("vae_planar_flow", EVERYTHING), ("gan", ("train.ema=0.9",))])
def test_killed_three_times(name: str, extra: tuple[str, ...], tmp_path: Path) -> None:
    """Before the first checkpoint, inside a checkpoint's write, and anywhere: one run, killed and resumed."""
    sets = (*SMALL, *extra)
    draw = random.Random(f"{name}/kills")
    right = whole(name, tmp_path / "right", sets)
    options = [part for item in sets for part in ("--set", item)]
    kills = [
        ("step", draw.randrange(1, 8), ["run", name, *options, "--out", "killed"]),
        ("file", draw.randrange(8, 30), ["resume", "killed"]),
        ("step", draw.randrange(1, 3), ["resume", "killed"]),
    ]
    for point, count, arguments in kills:
        done = gendsl(point, str(count), *arguments, cwd=tmp_path, module=("tests.runtime.killed",))
        assert done.returncode == -signal.SIGKILL, (point, count, done.stderr)
        assert not (tmp_path / "killed" / "result.json").exists()
    go_on(tmp_path / "killed")
    same(right, tmp_path / "killed")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_spec_killed_three_times(name: str, tmp_path: Path) -> None:
    test_killed_three_times(name, ("train.log=3",), tmp_path)


# -- the same in one process --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMED)
def test_shipped_specs(name: str, tmp_path: Path) -> None:
    right = whole(name, tmp_path / "right")
    cut(begin(name, tmp_path / "cut"), random.Random(name).randrange(8, STEPS))
    go_on(tmp_path / "cut")
    same(right, tmp_path / "cut")


@pytest.mark.parametrize("name", SPECS)
def test_every_part_of_the_loop(name: str, tmp_path: Path) -> None:
    """Killed at every instant that a run of this length has a different kind of: six steps of it."""
    right = whole(SPECS[name], tmp_path / "right")
    for step in (0, 6, 7, 11, 13, 22):
        path = tmp_path / f"cut{step}"
        cut(begin(SPECS[name], path), step)
        go_on(path)
        same(right, path)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family(name: str, tmp_path: Path) -> None:
    """Killed at three instants: whatever a family keeps from step to step (codes, chains, masks) is in the checkpoint."""
    right = whole(FAMILIES[name], tmp_path / "right")
    for step in random.Random(name).sample(range(1, STEPS), 3):
        cut(begin(FAMILIES[name], tmp_path / f"cut{step}"), step)
        go_on(tmp_path / f"cut{step}")
        same(right, tmp_path / f"cut{step}")


def test_patience_ends_its_stage_only(tmp_path: Path) -> None:
    """Each stage is judged by itself and goes on from its best weights; patience in the last one ends the run."""
    session = begin(PATIENT, tmp_path / "one")
    session.trainer.fit()
    session.run.close()
    assert session.trainer.state.stopped == "patience"
    assert session.trainer.step < STEPS
    found = [
        r for r in records(tmp_path / "one") if r["split"] == "valid" and r["step"] >= 10
    ]  # warm by then
    losses = {r["step"]: r["losses"]["model"] for r in found}
    assert session.trainer.state.best_loss == min(losses.values()) != losses[session.trainer.step]
    whole(IMPATIENT_STAGES, tmp_path / "two")
    first = [
        r for r in records(tmp_path / "two") if r["split"] == "valid" and "reconstruction.x" in r["terms"]
    ]
    second = [r for r in records(tmp_path / "two") if r["split"] == "valid" and "prior.z" in r["terms"]]
    assert 0 < len(first) < 12
    assert second[0]["step"] == 13


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("on_nan", ["skip", "rollback"])
def test_steps_left_out(on_nan: str, tmp_path: Path) -> None:
    """A step that is not finite is left out in the same way after a resume, and after a stop in between."""
    spec = poisoned(tmp_path, on_nan)
    right = whole(spec, tmp_path / "right")
    state = checkpoint.newest(right / "checkpoints", None, pytest.fail)
    assert state is not None
    assert 1 <= state.state["skipped"] <= 12
    assert [json.loads(line)["step"] for line in (right / "metrics.jsonl").read_text().splitlines()] == [
        5,
        10,
        15,
        20,
        23,
    ]
    for step in range(1, STEPS, 3):
        path = tmp_path / f"cut{step}"
        session = begin(spec, path)
        one = session.trainer._one_step

        def counted(session: runs.Session = session, one: object = one, step: int = step) -> None:
            session.trainer.stop.requested = session.trainer.step + 1 == step
            one()  # type: ignore[operator]

        session.trainer._one_step = counted  # type: ignore[method-assign]
        with pytest.raises(Interrupted):
            session.trainer.fit()
        session.run.close()
        go_on(path)
        same(right, path)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_a_damaged_newest_checkpoint(damage: str, tmp_path: Path) -> None:
    """Resume falls back to the one before it, says so, and ends with the same bits."""
    right = whole("vae", tmp_path / "right")
    cut(begin("vae", tmp_path / "cut"), 17)
    newest = checkpoint.entries(tmp_path / "cut" / "checkpoints")[-1]
    file = newest / "tensors.safetensors"
    body = bytearray(file.read_bytes())
    if damage == "truncated":
        file.write_bytes(body[: len(body) // 2])
    elif damage == "flipped":
        body[len(body) // 2] ^= 1
        file.write_bytes(body)
    else:
        file.unlink()
    said: list[str] = []
    session = runs.reopen(tmp_path / "cut", warn=said.append)
    assert session.trainer.step == 7
    assert len(said) == 1
    assert newest.name in said[0]
    session.trainer.fit()
    session.run.close()
    same(right, tmp_path / "cut")


def test_resumed_twice_at_the_end(tmp_path: Path) -> None:
    """Resuming a finished run trains nothing and leaves its files as they are."""
    right = whole("vae", tmp_path / "right")
    files = {p: p.read_bytes() for p in right.rglob("*") if p.is_file() and "checkpoints" in p.parts}
    assert go_on(right).trainer.done
    assert {p: p.read_bytes() for p in right.rglob("*") if p.is_file() and "checkpoints" in p.parts} == files


def test_the_random_state_outside_does_not_matter(tmp_path: Path) -> None:
    """Nor is it changed: training draws from its own streams."""
    torch.manual_seed(1)
    right = whole("vae", tmp_path / "right")
    torch.manual_seed(2)
    before = torch.get_rng_state()
    whole("vae", tmp_path / "other")
    assert torch.get_rng_state().equal(before)
    same(right, tmp_path / "other")
