"""Means of p(x | z) at samples of the latents: what papers show of a decoder that has noise of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gendsl.compiler.build import build
from gendsl.compiler.plans.reconstruct import decodable
from gendsl.data.dataset import Part
from gendsl.errors import UsageError
from gendsl.runtime.evaluation import evaluate
from gendsl.runtime.initial import untrained
from gendsl.runtime.samples import conditions, given_values, save_pictures
from gendsl.schema.load import loads
from tests.compiler.cases import CASES, graph_of

VAE = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [unit]}}}
prior: {z: {dist: normal, shape: [3]}}
decoder: {x: {given: z, dist: {type: normal, scale: 0.5}, net: {type: mlp, hidden: [8]}}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: [8]}}}
evaluate: {metrics: [sliced_wasserstein], judge: %s}
"""
PIXELS = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}}}
ordering: {x: raster}
decoder: {x: {dist: bernoulli, net: {type: made, hidden: [8]}}}
evaluate: {metrics: [sliced_wasserstein], judge: means}
"""


def test_a_mean_has_the_spread_of_its_latents_alone() -> None:
    _, model, _ = untrained(loads(VAE % "samples"))
    torch.manual_seed(0)
    means, draws = model.means(2000)["x"], model.sample(2000)["x"]
    assert means.shape == draws.shape == (2000, 1, 8, 8)
    noise = draws.var(0) - means.var(0)
    torch.testing.assert_close(noise.mean(), torch.tensor(0.25), rtol=0.03, atol=0)
    assert float(means.var(0).mean()) > 1e-4


def test_what_is_judged_is_what_the_spec_says() -> None:
    found = {}
    for judge in ("samples", "means"):
        _, model, data = untrained(loads(VAE % judge))
        found[judge] = evaluate(model, data, split="test", seed=0, samples=1, metrics=("sliced_wasserstein",))
    samples, means = (found[j]["sliced_wasserstein"] for j in ("samples", "means"))
    assert means["of"] == "means of p(x | z)"
    assert "of" not in samples
    assert means["value"] != samples["value"]


def test_without_a_mean_there_is_a_reason() -> None:
    _, model, data = untrained(loads(PIXELS))
    with pytest.raises(UsageError, match="cannot be asked to reconstruct"):
        model.means(2)
    entry = evaluate(model, data, split="test", seed=0, samples=1, metrics=("sliced_wasserstein",))
    assert entry["sliced_wasserstein"]["value"] is None
    assert "no mean" in entry["sliced_wasserstein"]["why"]


def _no_rows() -> Part:
    raise AssertionError("every condition is given")


@pytest.mark.parametrize("name", sorted(CASES))
def test_whatever_can_be_sampled_and_rebuilt_has_means(name: str) -> None:
    graph = graph_of(CASES[name].text)
    asked = {graph.capabilities[query].how for query in ("sample", "reconstruct")}
    if None in asked or not decodable(graph):
        pytest.skip("it is not sampled and rebuilt")
    model = build(graph)
    given = given_values(model, 2, _no_rows, dict.fromkeys(conditions(graph), 0.0), 0)
    if given:
        with pytest.raises(UsageError, match="needs the condition"):
            model.means(2)
    found = model.means(2, given)
    assert found
    assert {n: v.shape[1:] for n, v in found.items()} == {n: graph.variables[n].shape for n in found}


def test_means_are_drawn_beside_samples(tmp_path: Path) -> None:
    _, model, data = untrained(loads(VAE % "samples"))
    save_pictures(tmp_path, model, data, model.sample(4), 0)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"samples_x.png", "means_x.png", "reconstructions_x.png"}
