"""The linear probe of a transformer's layers: what it reads, on which rows, and where there is none."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from gendsl.compiler.build import build
from gendsl.compiler.pipeline import analyse
from gendsl.nn.model import Model
from gendsl.runtime.dataset import dataset
from gendsl.runtime.evaluation import evaluate
from gendsl.runtime.evaluation.entry import Entry
from gendsl.schema.load import loads

SPEC = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [{binarize: threshold}]}}}
ordering: {x: ORDER}
decoder: {x: {dist: bernoulli, net: {type: transformer, layers: 2, width: 16, heads: 2}}}
evaluate: {metrics: [linear_probe]}
"""


def probed(text: str) -> tuple[Entry, Model]:
    torch.manual_seed(0)
    model = build(analyse(loads(text))).eval()
    data = dataset(model.graph, Path())
    return evaluate(model, data, split="test", seed=0, samples=1, metrics=("linear_probe",))[
        "linear_probe"
    ], model


@pytest.mark.parametrize("order", ["raster", "any"])
def test_layers_of_a_transformer_tell_digits_better_than_chance(order: str) -> None:
    found, model = probed(SPEC.replace("ORDER", order))
    assert len(found["layers"]) == 3
    assert found["value"] in [pytest.approx(v, abs=1e-5) for v in found["layers"]]
    assert found["value"] > 0.2
    assert (found["rows"], found["trained_on"]) == (360, 1437)
    again, _ = probed(SPEC.replace("ORDER", order))
    assert again == found
    net = model.distribution("decoder.x", {}, 4).net  # type: ignore[attr-defined]
    x = (torch.rand(4, 1, 8, 8) < 0.5).float()
    with torch.no_grad():
        layers = net.layers({}, x)
        first = net.tokens(x).mean(1)
    torch.testing.assert_close(layers[0], first)
    assert all(float((a - b).abs().max()) > 1e-3 for a, b in itertools.pairwise(layers))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("net: {type: transformer, layers: 2, width: 16, heads: 2}", "net: made"), "no transformer"),
        (("]}}}\nord", "]}, y: label}}\ncondition: [y]\nord"), "the model uses label"),
    ],
)
def test_there_is_no_probe_without_layers_or_a_free_label(change: tuple[str, str], why: str) -> None:
    text = SPEC.replace("ORDER", "raster").replace(*change)
    if "condition" in text:
        text = text.replace("{dist: bernoulli", "{given: y, dist: bernoulli")
    found, _ = probed(text)
    assert found["value"] is None
    assert why in found["why"]
