"""The balance of power and the coverage of modes: what is planted in a run is named, a healthy run is left in peace."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gendsl.compiler.pipeline import analyse
from gendsl.data.density import known_modes
from gendsl.runtime import run as runs
from gendsl.runtime.balance import (
    balance,
    critic_leak,
    generator_collapse,
    gradient_vanished,
    modes_missed,
    overlap,
)
from gendsl.runtime.dataset import dataset
from gendsl.runtime.diagnoses import diagnose
from gendsl.runtime.evaluation import evaluate
from gendsl.runtime.initial import compile_model
from gendsl.runtime.metrics.modes import mode_coverage
from gendsl.schema.components.source_generated import Grid, Ring
from gendsl.schema.load import loads

RING = """
gendsl: 1
data: {source: ring, n: 1000, bind: {x: point}}
prior: {z: {dist: normal, shape: [2]}}
decoder: {x: {given: z, dist: deterministic, net: {type: mlp, hidden: [8]}}}
adversary: {d: {sees: x, net: {type: mlp, hidden: [8]}}}
"""
DIGITS = "{source: digits, bind: {x: {column: image, as: [unit]}}}"
GAN = """
gendsl: 1
data: {source: npz, path: DATA, split: {train: 0.9, test: 0.1}, bind: {x: x}}
prior: {z: {dist: normal, shape: [8]}}
decoder: {x: {given: z, dist: DIST, net: {type: mlp, hidden: [16]}}}
adversary: {d: {sees: x, net: {type: mlp, hidden: [32], activation: leaky_relu}}}
train: {steps: 300, batch_size: 64, log: 20, optim: {type: adam, lr: 5e-3, betas: [0.5, 0.999]}}
evaluate: {metrics: [precision, recall, coverage]}
"""


def trained(folder: Path, dist: str, spread: float) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
    x = np.random.default_rng(0).normal(size=(2000, 8)).astype(np.float32)
    np.savez(folder / "data.npz", x=spread * x)
    spec = loads(GAN.replace("DATA", str(folder / "data.npz")).replace("DIST", dist))
    session = runs.start(spec, out=folder / "run")
    try:
        result = runs.finish(session)
    finally:
        session.run.close()
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines], result, (folder / "run" / "report.html").read_text()


def test_a_critic_with_a_leak_is_named_in_the_report(tmp_path: Path) -> None:
    """The noise of the decoder is a hundred times the spread of the data: the critic need not look at anything else."""
    _, result, report = trained(tmp_path, "{type: normal, scale: 2.0}", 0.02)
    (sentence,) = [w for w in result["warnings"] if "leak" in w]
    assert "d told real from made tuples with an accuracy above" in sentence
    assert "A leak, or a critic that is far too strong" in report
    assert "In the last quarter of training d told real" in report


def test_a_healthy_run_is_named_neither(tmp_path: Path) -> None:
    records, result, report = trained(tmp_path, "{type: normal, scale: 0.5}", 1.0)
    assert result["warnings"] == []
    assert {"d.accuracy", "d.gap", "d.gradient", "gradient.model", "gradient.adversary.d"} <= set(
        records[-1]["diagnostics"]
    )
    (sentence,) = balance(records)
    assert "Overlap of the supports: " in report
    assert 0.4 < records[-1]["diagnostics"]["d.accuracy"] < 0.9
    assert sentence.split(".")[0] in report


def test_a_generator_that_is_stuck_on_one_mode_is_named() -> None:
    graph = analyse(loads(RING))
    model, data = compile_model(graph), dataset(graph, Path())
    model.attach(data.pipelines)
    modes = known_modes(Ring())
    assert modes is not None
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("decoder.x.head"):
                parameter.copy_(modes[0][3] if name.endswith("bias") else torch.zeros_like(parameter))
    metrics = evaluate(model, data, split="test", seed=0, samples=10)
    assert metrics["modes"]["value"] == 1
    assert metrics["high_quality"]["value"] == 1.0
    assert metrics["reverse_kl"]["value"] == pytest.approx(math.log(8))
    for name in ("modes", "high_quality", "reverse_kl", "precision", "mmd"):
        assert {"split", "samples", "extractor", "resize", "stderr"} <= set(metrics[name])
    (sentence,) = diagnose([{"step": 1}], {"status": "completed", "metrics": {"test": metrics}})
    assert "reach 1 of the 8 modes" in sentence


def test_the_overlap_of_supports_is_said_with_its_floors() -> None:
    metrics = {"precision": {"value": 0.82, "floor": {"value": 0.92}}, "recall": {"value": 0.125}}
    assert "82% (92%) of the samples lie among the real rows and 12% of the real rows" in overlap(metrics)
    assert "in brackets" not in overlap(metrics)
    metrics["recall"]["floor"] = {"value": 0.9}
    assert "12% (90%) of the real rows among the samples, in brackets" in overlap(metrics)
    assert overlap({"precision": {"value": 0.8}, "recall": {"value": None}}) == ""
    assert overlap({}) == ""


@pytest.mark.parametrize("source", [Ring(), Grid(), Ring(modes=5, noise=0.3)])
def test_the_modes_of_the_data_themselves_are_all_reached(source: Ring | Grid) -> None:
    modes = known_modes(source)
    assert modes is not None
    centres, noise = modes
    torch.manual_seed(0)
    points = centres[torch.randint(len(centres), (2500,))] + noise * torch.randn(2500, 2)
    scores = mode_coverage(points, centres, noise)
    assert scores["modes"].value == len(centres)
    assert scores["high_quality"].value == pytest.approx(1 - math.exp(-4.5), abs=0.01)
    assert 0 < scores["reverse_kl"].value < 3 * (len(centres) - 1) / 2500
    entries = {n: s.as_json() for n, s in scores.items()}
    assert modes_missed(entries) == []
    far = mode_coverage(points + 100, centres, noise)
    assert far["modes"].value == 0
    assert "reverse_kl" not in far


def test_a_gradient_that_vanishes_is_named_with_its_numbers() -> None:
    records = [
        {"step": s, "diagnostics": {"d.gap": 5.0, "d.gradient": 0.5 * math.exp(-s)}} for s in range(1, 20)
    ]
    (sentence,) = gradient_vanished(records)
    assert "has vanished" in sentence
    assert gradient_vanished(records[:6]) == []
    assert critic_leak(records) == []


def test_a_low_recall_beside_a_fair_coverage_is_no_collapse() -> None:
    def quality(recall: float, coverage: float) -> dict[str, Any]:
        found = {"precision": 0.8, "recall": recall, "coverage": coverage}
        return {name: {"value": value, "floor": {"value": 0.95}} for name, value in found.items()}

    assert generator_collapse(quality(0.04, 0.75)) == []
    (sentence,) = generator_collapse(quality(0.04, 0.4))
    assert "recall is 4.0%" in sentence


@pytest.mark.parametrize(("classes", "named"), [(1, True), (3, True), (10, False)])
def test_samples_of_some_classes_only_are_a_collapse_of_modes_that_nobody_wrote_down(
    classes: int, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of one or three digits, which are as good as data and far from all of it."""
    graph = analyse(loads(RING.replace("{source: ring, n: 1000, bind: {x: point}}", DIGITS)))
    model, data = compile_model(graph), dataset(graph, Path())
    model.attach(data.pipelines)
    batch = data.parts["train"].batch(torch.arange(data.parts["train"].rows))
    assert data.labels is not None
    rows = batch.values["x"][data.labels[batch.rows] < classes]
    monkeypatch.setattr(model, "sample", lambda n, given: {"x": rows[torch.randint(len(rows), (n,))]})
    metrics = evaluate(
        model, data, split="test", seed=0, samples=1, metrics=("precision", "recall", "coverage")
    )
    found = diagnose([{"step": 1}], {"status": "completed", "metrics": {"test": metrics}})
    assert bool(found) == named
    assert all("Mode collapse" in sentence and "between two halves" in sentence for sentence in found)


SOFT = (
    956,
    937,
    943,
    970,
    982,
    994,
    995,
    936,
    878,
    922,
    994,
    984,
    991,
    997,
    998,
    981,
    996,
    978,
    963,
    989,
    986,
    979,
)
"""Accuracy in thousandths, every 25 steps, of a critic of images and labels that is shown relaxed labels of one side
beside certain ones of the other (gumbel at temperature 1).
"""


def test_a_leak_through_soft_labels_is_named_though_a_record_now_and_then_is_less_sure() -> None:
    records = [{"step": 25 * i, "diagnostics": {"d.accuracy": a / 1000}} for i, a in enumerate(SOFT, 1)]
    (sentence,) = diagnose(records, {"status": "completed"})
    assert "above 87 % from the start to the end, 97 % on average" in sentence
    assert "a label" in sentence
    assert "straight_through" in sentence
    caught = [{**r, "diagnostics": {"d.accuracy": r["diagnostics"]["d.accuracy"] - 0.1}} for r in records]
    assert diagnose(caught, {"status": "completed"}) == []
