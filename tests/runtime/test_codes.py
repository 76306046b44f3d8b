"""Code accuracy: nearest training codes tell labels, beside what untrained networks give."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gendsl.compiler.pipeline import analyse
from gendsl.data.dataset import Dataset
from gendsl.nn.model import Model
from gendsl.runtime.dataset import dataset
from gendsl.runtime.evaluation import evaluate
from gendsl.runtime.initial import compile_model
from gendsl.schema.load import loads

SPEC = """
gendsl: 1
data: {source: {type: ring, n: 600, noise: 0.05}, bind: {x: point}}
decoder: {x: {given: z, dist: normal, net: {type: mlp, hidden: [4]}}}
encoder: {z: {given: x, dist: deterministic, shape: [2], net: {type: mlp, hidden: []}}}
"""
METRICS = ("code_accuracy", "untrained_code_accuracy")


def made() -> tuple[Model, Dataset]:
    graph = analyse(loads(SPEC))
    model, data = compile_model(graph), dataset(graph, Path())
    model.attach(data.pipelines)
    return model, data


def set_linear(model: Model, weight: torch.Tensor) -> None:
    """The encoder is z = W x."""
    found = {tuple(p.shape): p for p in model.factor("encoder.z").parameters()}
    with torch.no_grad():
        found[(2, 2)].copy_(weight)
        found[(2,)].zero_()


@pytest.mark.parametrize(("scale", "least", "most"), [(1.0, 0.97, 1.0), (-7.0, 0.97, 1.0), (0.0, 0.0, 0.3)])
def test_codes_that_keep_the_modes_apart_tell_them(scale: float, least: float, most: float) -> None:
    model, data = made()
    set_linear(model, scale * torch.eye(2))
    found = evaluate(model, data, split="test", seed=0, samples=1, metrics=METRICS)
    assert list(found) == list(METRICS)
    entry = found["code_accuracy"]
    assert least <= entry["value"] <= most
    rows = data.parts["test"].rows
    assert (entry["split"], entry["samples"], entry["resize"]) == ("test", rows, "none")
    assert "training codes" in entry["estimator"]


def test_the_number_beside_it_is_of_the_same_networks_untrained() -> None:
    model, data = made()
    before = evaluate(model, data, split="test", seed=0, samples=1, metrics=METRICS)
    set_linear(model, torch.zeros(2, 2))
    after = evaluate(model, data, split="test", seed=0, samples=1, metrics=METRICS)
    assert after["untrained_code_accuracy"] == before["untrained_code_accuracy"]
    assert after["code_accuracy"]["value"] < 0.3 < before["untrained_code_accuracy"]["value"]
    assert "5 initialisations" in before["untrained_code_accuracy"]["note"]
