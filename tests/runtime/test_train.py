"""The loop itself: what is logged, who is validated, which weights are used afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from gendsl.nn.objective.evaluation import weight_at
from gendsl.runtime.train import Progress, Trainer
from tests.runtime.runs import SMALL, STEPS, begin, whole

VAE = """
gendsl: 1
data: {source: two_moons, bind: {x: {column: point}}}
prior: {z: {dist: normal, shape: [2]}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: [16]}}}
decoder: {x: {given: z, dist: normal, net: {type: mlp, hidden: [16]}}}
"""

MIXTURE = """
gendsl: 1
data: {source: two_moons, n: 1030, bind: {x: {column: point}}}
prior: {c: {dist: categorical, classes: 3, logits: learned}}
decoder: {x: {given: c, dist: normal}}
"""

CRITIC_FIRST = """
gendsl: 1
data: {source: two_moons, bind: {x: {column: point}}}
prior: {z: {dist: normal, shape: [2]}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: [16]}}}
decoder: {x: {given: z, dist: normal, net: {type: mlp, hidden: [16]}}}
adversary: {d: {sees: x, net: {type: mlp, hidden: [8]}}}
train: {validate: {every: 2}, stages: [{fit: adversary.d, steps: 6}, {fit: [encoder.z, decoder.x], steps: 5}]}
"""


def records(path: Path, split: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["split"] == split]


@pytest.mark.parametrize("options", [(), ("objective.kl={z: {weight: 3, warmup: 20, free_bits: 0.2}}",)])
def test_a_line_is_the_mean_since_the_last_one(options: tuple[str, ...], tmp_path: Path) -> None:
    """Of the terms, and of what each player minimised: with warm-up and free bits that is no sum of the terms."""
    every = records(whole(VAE, tmp_path / "every", (*SMALL, *options, "train.log=1")), "train")
    fifth = records(whole(VAE, tmp_path / "fifth", (*SMALL, *options)), "train")
    assert [r["step"] for r in every] == list(range(1, STEPS + 1))
    assert [r["step"] for r in fifth] == [5, 10, 15, 20, STEPS]
    for group, name in (("losses", "model"), ("terms", "reconstruction.x"), ("terms", "kl.z")):
        single = [r[group][name] for r in every]
        for record, start in zip(fifth, range(0, STEPS, 5), strict=True):
            window = single[start : start + 5]
            assert record[group][name] == pytest.approx(sum(window) / len(window), rel=1e-6)
    sums = [r["terms"]["reconstruction.x"] + r["terms"]["kl.z"] for r in every]
    losses = [r["losses"]["model"] for r in every]
    assert (losses == pytest.approx(sums, rel=1e-5)) == (not options)


def test_a_stage_of_a_critic_alone_is_not_validated(tmp_path: Path) -> None:
    """The model's loss is not what such a stage changes; the next stage is validated."""
    run = whole(CRITIC_FIRST, tmp_path / "a", SMALL[1:])
    assert [r["step"] for r in records(run, "valid")] == [8, 10]
    names = {r["step"]: set(r["losses"]) for r in records(run, "train")}
    assert names == {5: {"adversary.d"}, 10: {"adversary.d", "model"}, 11: {"model"}}


def test_a_stage_changes_only_what_it_fits(tmp_path: Path) -> None:
    session = begin(CRITIC_FIRST, tmp_path / "a", SMALL[1:])
    start = {n: p.detach().clone() for n, p in session.model.named_parameters()}
    while session.trainer.step < 6:
        session.trainer._one_step()
    moved = {n.split(".")[0] for n, p in session.model.named_parameters() if not p.equal(start[n])}
    assert moved == {"adversary"}
    middle = {n: p.detach().clone() for n, p in session.model.named_parameters()}
    session.trainer.fit()
    session.run.close()
    moved = {n.split(".")[0] for n, p in session.model.named_parameters() if not p.equal(middle[n])}
    assert moved == {"encoder", "decoder"}


def test_validation_reports_the_objective_that_is_trained(tmp_path: Path) -> None:
    """The same terms, weighted as they are at that step: in a warm-up too, and averaged over unequal batches."""
    options = ("objective.kl={z: {weight: 3, warmup: 20}}", "train.validate={every: 6}")
    session = begin(VAE, tmp_path / "a", (*SMALL, *options))
    weighed = {t.name: t for t in session.graph.terms}
    session.trainer.fit()
    session.run.close()
    valid, train = records(tmp_path / "a", "valid"), records(tmp_path / "a", "train")
    assert [r["step"] for r in valid] == [6, 12, 18]
    for record in valid:
        assert set(record["terms"]) == set(train[0]["terms"])
        total = sum(weight_at(weighed[n], record["step"]) * v for n, v in record["terms"].items())
        assert record["losses"]["model"] == pytest.approx(total, rel=1e-5)
    mixture = begin(MIXTURE, tmp_path / "b", (*SMALL, "train.validate={every: 6}"))
    while mixture.trainer.step < 6:
        mixture.trainer._one_step()
    mixture.trainer._judge()
    part = mixture.trainer.valid
    assert part is not None
    assert part.rows % mixture.trainer.order.batch_size
    expected = mixture.model.loss("model", part.batch(torch.arange(part.rows)), 6).total.item()
    mixture.run.close()
    assert records(tmp_path / "b", "valid")[0]["losses"]["model"] == pytest.approx(expected, rel=1e-5)


def test_the_best_weights_are_averaged_ones(tmp_path: Path) -> None:
    """What is validated is the average, so the average is what is kept."""
    options = ("train.ema=0.9", "train.validate={every: 2, patience: 50}", "train.steps=2")
    session = begin(VAE, tmp_path / "a", (*SMALL, *options))
    session.trainer.fit()
    session.run.close()
    state = session.trainer.state
    assert state.average is not None
    for name, parameter in session.model.named_parameters():
        assert torch.equal(state.best[name], state.average.values[name])
        assert not torch.equal(state.best[name], parameter)


def test_no_weights_are_best_while_a_warm_up_lasts(tmp_path: Path) -> None:
    """The objective of half a KL is lower whatever the weights: the first of them would be kept."""
    options = ("objective.kl.z.warmup=9", "train.validate={every: 2, patience: 1}", "train.steps=12")
    session = begin(VAE, tmp_path / "a", (*SMALL, *options))
    judged = []
    judge = session.trainer.state.judge
    session.trainer.state.judge = lambda loss: judged.append(session.trainer.step) or judge(loss)  # type: ignore[method-assign, func-returns-value]
    session.trainer.fit()
    session.run.close()
    assert [r["step"] for r in records(tmp_path / "a", "valid")] == [2, 4, 6, 8, 10, 12][: len(judged) + 4]
    assert judged[0] == 10
    for split in ("train", "valid"):
        lines = records(tmp_path / "a", split)
        assert [r["step"] for r in lines if r.get("warming")] == [r["step"] for r in lines if r["step"] < 9]


def test_averaged_weights_are_used_afterwards(tmp_path: Path) -> None:
    session = begin(VAE, tmp_path / "a", (*SMALL, "train.ema=0.99"))
    session.trainer.fit()
    average = session.trainer.state.average
    assert average is not None
    raw = {n: p.detach().clone() for n, p in session.model.named_parameters()}
    session.trainer.finish()
    session.run.close()
    for name, parameter in session.model.named_parameters():
        assert parameter.equal(average.values[name])
    assert any(not raw[n].equal(p) for n, p in session.model.named_parameters())
    assert not session.model.training


def test_an_epoch_sees_every_row(tmp_path: Path) -> None:
    """epochs: 2 at a batch of 64 takes as many steps as it needs to see each row twice."""
    session = begin(VAE, tmp_path / "a", ("train.epochs=2", "train.batch_size=64"))
    rows = session.trainer.part.rows
    session.run.close()
    assert session.trainer.total == -(-2 * rows // 64)
    seen = torch.cat([session.trainer.order.indices(i) for i in range(session.trainer.total)])
    assert int(torch.bincount(seen, minlength=rows).min()) >= 2


def test_reports_between_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow model is reported about once a second although its next line is far; this changes nothing."""
    from gendsl.runtime import train

    monkeypatch.setattr(train, "TICK", 0.0)
    reports: list[Progress] = []
    session = begin(VAE, tmp_path / "a", SMALL, callbacks=(reports.append,))
    session.trainer.fit()
    session.run.close()
    assert [r.step for r in reports if r.logged] == [5, 10, 15, 20, STEPS]
    assert [r.step for r in reports] == list(range(1, STEPS + 1))
    assert all(r.total == STEPS and r.rows_per_second > 0 for r in reports)
    monkeypatch.undo()
    again = whole(VAE, tmp_path / "b")
    assert (tmp_path / "a" / "metrics.jsonl").read_bytes() == (again / "metrics.jsonl").read_bytes()


def test_without_a_run_directory() -> None:
    """A trainer keeps nothing where it has no directory, and trains all the same."""
    from gendsl.runtime.initial import untrained
    from gendsl.schema.load import loads

    _, model, data = untrained(loads(VAE, sets=list(SMALL)))
    before = [p.detach().clone() for p in model.parameters()]
    trainer = Trainer(model, data)
    trainer.fit()
    assert trainer.done
    assert not trainer.restore()
    assert all(not p.equal(b) for p, b in zip(model.parameters(), before, strict=True))
