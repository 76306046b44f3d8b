"""Active units: counted by hand on a linear encoder, and said in words of a run that collapses and of none that does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gendsl.compiler.build import build
from gendsl.compiler.pipeline import analyse
from gendsl.runtime.activity import activity, watched
from gendsl.runtime.diagnoses import codebook_collapse, posterior_collapse
from gendsl.runtime.verify.subject import perturb
from gendsl.schema.load import load, loads
from tests.laws.test_bounds import LINEAR, raw_scale, set_linear
from tests.runtime.runs import SMALL, whole


def test_units_by_hand() -> None:
    model = build(analyse(loads(LINEAR.replace("shape: [2]", "shape: [4]")))).double().eval()
    weight = torch.zeros(8, 3)
    weight[0, 0], weight[1, 1] = 2.0, 0.5
    weight[2, 2] = 0.05
    bias = torch.zeros(8, dtype=torch.float64)
    bias[3] = 1.5  # moved from the prior on every row alike: a KL, but nothing about the row
    bias[4:] = raw_scale(torch.ones(4))
    set_linear(model, "encoder.z", weight, bias)
    x = torch.randn(2000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = activity(model, model.batch({"x": x}))
    assert found == {"kl.z.active": 2, "kl.z.units": 4, "kl.z.informed": 3}
    assert float(x[:, 2].var()) * 0.05**2 < 0.01 < float(x[:, 1].var()) * 0.25


@pytest.mark.parametrize(
    "name", ["vae", "vae_planar_flow", "hierarchical_vae", "gan", "vq_vae", "planar_flow_2d"]
)
def test_which_latents_are_watched(name: str) -> None:
    wanted = {"hierarchical_vae": ["z2", "z1"], "gan": [], "vq_vae": [], "planar_flow_2d": []}.get(
        name, ["z"]
    )
    assert watched(analyse(load(name))) == wanted


def test_words_in_use_by_hand() -> None:
    """As many as there are different ones among the codes of the rows: few of equal rows, more of noise."""
    torch.manual_seed(0)
    model = build(analyse(load("vq_vae"))).eval()
    perturb(model, 1.0)
    seen = []
    for x in (torch.zeros(64, 1, 8, 8), torch.rand(64, 1, 8, 8)):
        found = activity(model, model.batch({"x": x}))
        assert found["codebook.c.codes"] == 64
        assert found["codebook.c.used"] == len(model.encode({"x": x})["c"].unique())
        seen.append(found["codebook.c.used"])
    assert seen[0] < seen[1]
    two = activity(model, model.batch({"x": torch.rand(2, 1, 8, 8)}))
    assert two["codebook.c.codes"] == 32  # of 64 words: two rows of 4 x 4 cannot show more


def test_a_codebook_of_which_little_is_used_is_named() -> None:
    def records(used: int) -> list[dict[str, object]]:
        return [
            {"split": "train", "step": 1, "diagnostics": {"codebook.c.used": used, "codebook.c.codes": 64}}
        ]

    (sentence,) = codebook_collapse(records(6))
    assert "6 of 64 words of c" in sentence
    assert codebook_collapse(records(7)) == []


@pytest.mark.parametrize(("sets", "ill"), [(["objective.kl.z.weight=300"], True), ([], False)])
def test_a_collapsed_run_gets_the_sentence_and_a_vae_does_not(
    sets: list[str], ill: bool, tmp_path: Path
) -> None:
    wide = ["train.steps=300", "train.log=30", "train.batch_size=64", "train.checkpoint.every=1000"]
    kept = [s for s in SMALL if s.split("=")[0] not in {w.split("=")[0] for w in wide}]
    out = whole("vae", tmp_path / "run", [*kept, *wide, *sets])
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()]
    last = records[-1]["diagnostics"]
    assert last["kl.z.units"] == 16
    found = posterior_collapse(records)
    assert bool(found) == ill, last
    if ill:
        assert "only 0 of 16 dimensions of z vary with the data" in found[0]
        assert "0 have a KL of 0.01 nats or more" in found[0]
