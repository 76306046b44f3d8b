"""FID and the accuracy of labels, by a classifier that is trained on training rows only and named as such."""

from __future__ import annotations

import hashlib
import sys
import types
from pathlib import Path

import pytest
import torch

from gendsl.compiler.pipeline import analyse
from gendsl.errors import RunError, SpecError
from gendsl.runtime.dataset import dataset
from gendsl.runtime.evaluation import evaluate, inception
from gendsl.runtime.initial import compile_model
from gendsl.runtime.metrics.classifier import Classifier, fid, kid, label_accuracy, train_classifier
from gendsl.schema.components.extractor import weights
from gendsl.schema.load import loads

SPEC = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [unit]}, y: label}}
condition: [y]
prior: {z: {dist: normal, shape: [2]}}
decoder: {x: {given: [z, y], dist: deterministic, net: {type: mlp, hidden: [8]}}}
adversary: {d: {sees: [x, y], net: {type: mlp, hidden: [8]}}}
"""


@pytest.fixture(scope="module")
def digits() -> tuple[Classifier, torch.Tensor, torch.Tensor]:
    data = dataset(analyse(loads(SPEC)), Path())
    assert data.labels is not None
    rows, labels = {}, {}
    for name, part in data.parts.items():
        batch = part.batch(torch.arange(part.rows))
        rows[name], labels[name] = batch.values["x"].flatten(1), data.labels[batch.rows]
        assert torch.equal(labels[name], batch.values["y"])
    made = train_classifier(rows["train"], labels["train"], rows["test"], labels["test"], seed=0)
    return made, rows["test"], labels["test"]


def test_the_classifier_is_good_and_says_so(digits: tuple[Classifier, torch.Tensor, torch.Tensor]) -> None:
    classifier, rows, labels = digits
    assert classifier.accuracy[0] >= 0.97
    assert f"{classifier.accuracy[0]:.1%}" in classifier.name
    assert "1437 training rows" in classifier.name
    score = label_accuracy(classifier, rows, labels)
    assert score.value == classifier.accuracy[0]
    assert label_accuracy(classifier, rows, (labels + 1) % 10).value < 0.02


def test_fid_is_nothing_for_equal_rows_and_grows_with_what_is_lost(
    digits: tuple[Classifier, torch.Tensor, torch.Tensor],
) -> None:
    classifier, rows, labels = digits
    assert fid(classifier, rows, rows).value < 1e-6
    half = torch.arange(len(rows)) % 2 == 0
    near = fid(classifier, rows[half], rows[~half]).value
    one = fid(classifier, rows, rows[labels == 3]).value
    noise = fid(classifier, rows, torch.rand_like(rows)).value
    assert 0 < near < 0.2 * one
    assert 0 < near < 0.2 * noise
    assert fid(classifier, rows, rows[:30]).value == pytest.approx(
        fid(classifier, rows[:30], rows).value, rel=1e-6
    )


def test_records_state_split_rows_extractor_and_resize() -> None:
    graph = analyse(loads(SPEC))
    model, data = compile_model(graph), dataset(graph, Path())
    model.attach(data.pipelines)
    names = ("fid", "kid", "label_accuracy", "classifier_accuracy")
    found = evaluate(model, data, split="test", seed=0, samples=10, metrics=names)
    assert tuple(found) == names
    for entry in found.values():
        assert (entry["split"], entry["samples"], entry["resize"]) == ("test", 360, "none")
        assert "classifier of the data's labels" in entry["extractor"]
    assert found["fid"]["value"] > 5 * found["fid"]["floor"]["value"] > 0
    assert found["kid"]["value"] > 5 * abs(found["kid"]["floor"]["value"]) > 0
    assert found["label_accuracy"]["value"] < 0.5
    own = found["classifier_accuracy"]
    assert own["value"] >= 0.97
    assert f"accuracy on unseen rows {own['value']:.1%} +- {own['stderr']:.1%}" in own["extractor"]


def test_kid_is_about_nothing_for_the_same_law_and_grows_with_what_is_lost(
    digits: tuple[Classifier, torch.Tensor, torch.Tensor],
) -> None:
    classifier, rows, labels = digits
    half = torch.arange(len(rows)) % 2 == 0
    near = kid(classifier, rows[half], rows[~half], seed=0)
    one = kid(classifier, rows, rows[labels == 3], seed=0)
    assert near.stderr is not None
    assert abs(near.value) < 4 * near.stderr
    assert one.value > 10 * abs(near.value) > 0
    assert one.extractor == classifier.name
    features = classifier.features(rows[:5]), classifier.features(rows[5:10])
    kernel = [[(float(a @ b) / 32 + 1) ** 3 for b in torch.cat(features)] for a in torch.cat(features)]
    within = sum(kernel[i][j] + kernel[5 + i][5 + j] for i in range(5) for j in range(5) if i != j) / 20
    between = sum(kernel[i][5 + j] for i in range(5) for j in range(5) if i != j) / 20
    assert kid(classifier, rows[:5], rows[5:10], seed=0).value == pytest.approx(within - 2 * between)
    with pytest.raises(ValueError, match="at least four rows"):
        kid(classifier, rows[:3], rows, seed=0)


class Inceptions(torch.nn.Module):
    """In place of torchmetrics' network: means of blocks of an image of 8-bit numbers."""

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str) -> None:
        super().__init__()
        assert (name, features_list) == ("inception-v3-compat", ["64"])
        assert Path(feature_extractor_weights_path).is_file()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.dtype == torch.uint8
        assert x.shape[1] == 3
        assert x.max() > 100
        return torch.nn.functional.adaptive_avg_pool2d(x.float(), 4).flatten(1) / 255


def test_inception_is_used_where_its_weights_are_and_only_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    text = SPEC + "evaluate: {metrics: [fid, kid], extractor: {type: inception, width: 64}}\n"
    with pytest.raises(SpecError) as caught:
        analyse(loads(text))
    (found,) = caught.value.diagnostics
    assert found.code == "GD512"
    assert "torchmetrics and torch_fidelity cannot be imported" in found.message
    assert "extractor: classifier" in found.help
    monkeypatch.setattr("gendsl.schema.components.extractor.find_spec", lambda name: name)
    with pytest.raises(SpecError, match="its weights are not at"):
        analyse(loads(text))
    fid_module = types.ModuleType("torchmetrics.image.fid")
    fid_module.NoTrainInceptionV3 = Inceptions  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchmetrics.image.fid", fid_module)
    weights().parent.mkdir(parents=True)
    weights().write_bytes(b"some weights")
    graph = analyse(loads(text))
    model, data = compile_model(graph), dataset(graph, Path())
    model.attach(data.pipelines)
    with pytest.raises(RunError, match="damaged"):
        evaluate(model, data, split="test", seed=0, samples=10, metrics=("fid",))
    monkeypatch.setattr(inception, "PUBLISHED", hashlib.sha256(b"some weights").hexdigest()[:8])
    entries = evaluate(
        model, data, split="test", seed=0, samples=10, metrics=("fid", "kid", "label_accuracy")
    )
    for name in ("fid", "kid"):
        assert entries[name]["extractor"] == "InceptionV3 of torchmetrics, 64 features"
        assert entries[name]["resize"].startswith("299 x 299")
        assert entries[name]["value"] > 5 * abs(entries[name]["floor"]["value"])
    assert "classifier of the data's labels" in entries["label_accuracy"]["extractor"]


def test_inception_sees_one_image() -> None:
    points = "gendsl: 1\ndata: {source: ring, bind: {x: point}}\nprior: {z: {dist: normal}}\n"
    points += "flow: {x: {given: z, stack: [{type: coupling, hidden: [4]}]}}\n"
    with pytest.raises(SpecError, match="one image"):
        analyse(loads(points + "evaluate: {metrics: [fid], extractor: inception}\n"))
