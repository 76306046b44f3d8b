"""diff: what two specs or runs differ in, and which numbers may be subtracted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gendsl.compiler.compare import Side, compare, leaves
from tests.cli.conftest import Command

KEYS = {
    "format_version",
    "a",
    "b",
    "equal",
    "model",
    "spec",
    "objective",
    "parameters",
    "capabilities",
    "metrics",
}


@pytest.mark.parametrize("name", ["vae", "gan", "pixelcnn", "planar_flow_2d", "semi_supervised_vae"])
def test_a_spec_does_not_differ_from_itself(name: str, gendsl: Command, tmp_path: Path) -> None:
    """Nor from what resolve makes of it."""
    (tmp_path / "resolved.yaml").write_text(gendsl("resolve", name).out)
    for other in (name, "resolved.yaml"):
        said = gendsl("diff", name, other, "--json")
        assert (said.status, said.err, said.document.keys()) == (0, "", KEYS)
        assert said.document["equal"]
        assert said.document["model"]
        assert said.document["spec"] == {}
    assert "no differences" in gendsl("diff", name, name).out


def test_what_differs_is_named_and_diff_is_symmetric(gendsl: Command) -> None:
    there = gendsl("diff", "vae", "vae_planar_flow", "--json").document
    back = gendsl("diff", "vae_planar_flow", "vae", "--json").document
    assert not there["equal"]
    assert not there["model"]
    assert there["spec"]["encoder.z.flow[0].type"] == {"a": None, "b": "planar"}
    assert there["objective"]["kl.z"]["a"]["kind"] == "exact"
    assert there["capabilities"]["compress"]["b"]["how"] is None
    assert there["parameters"]["a"] < there["parameters"]["b"]
    for section in ("spec", "objective", "capabilities"):
        swapped = {k: {"a": v["b"], "b": v["a"]} for k, v in back[section].items()}
        assert swapped == there[section]
    assert "encoder.z.flow[0].type" in gendsl("diff", "vae", "vae_planar_flow").out


def test_runs_side_by_side(gendsl: Command, vae: Path, gan: Path, tmp_path: Path) -> None:
    """Equal runs differ by nothing; numbers of another kind, estimator or data stand beside each other only."""
    same = gendsl("diff", vae, vae, "--json").document
    assert same["equal"]
    numbers = same["metrics"]["test"]
    assert numbers["log_prob"]["difference"] == 0
    assert all(pair["comparable"] or pair["a"]["value"] is None for pair in numbers.values())
    other = tmp_path / "other"
    shutil.copytree(vae, other)
    result = json.loads((vae / "result.json").read_text())
    result["metrics"]["test"]["log_prob"] |= {"value": -1.0, "kind": "exact", "estimator": "density"}
    result["metrics"]["test"]["bits_per_dim"]["value"] += 0.5
    (other / "result.json").write_text(json.dumps(result))
    found = gendsl("diff", vae, other, "--json").document["metrics"]["test"]
    assert not found["log_prob"]["comparable"]
    assert "kind differs: lower and exact" in found["log_prob"]["why"]
    assert "difference" not in found["log_prob"]
    assert found["bits_per_dim"]["difference"] == pytest.approx(0.5)
    words = gendsl("diff", vae, other)
    assert "not compared: kind differs" in words.out
    against = gendsl("diff", vae, gan, "--json").document["metrics"]["test"]
    assert not any(pair["comparable"] for pair in against.values())
    assert "train.steps" in gendsl("diff", vae, "vae", "--json").document["spec"]


def test_wrong_usage_and_damage(gendsl: Command, vae: Path, tmp_path: Path) -> None:
    for words in (
        ("vae",),
        ("vae", "vae", "vae"),
        ("vae", "nowhere"),
        (".", "vae"),
        ("vae", "vae", "--seed", "1"),
    ):
        said = gendsl("diff", *words, "--json")
        assert (said.status, said.document["status"]) == (2, "failed")
    (tmp_path / "bad.yaml").write_text("gendsl: 1\nprior: {z: {dist: nrmal}}\n")
    assert gendsl("diff", "vae", "bad.yaml", "--json").status == 1
    for i, (name, body) in enumerate((("result.json", "{"), ("graph.json", "[]"), ("graph.json", "{}"))):
        shutil.copytree(vae, tmp_path / f"broken{i}")
        (tmp_path / f"broken{i}" / name).write_text(body)
        assert gendsl("diff", vae, f"broken{i}", "--json").status == 3


SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "b"])
TREES = st.recursive(
    SCALARS, lambda t: st.lists(t, max_size=3) | st.dictionaries(st.sampled_from("xyz"), t), max_leaves=8
)


def side(body: Mapping[str, Any]) -> Side:
    explained = {"name": "s", "hash": "", "parameters": 0, "capabilities": {}, "objective": {"terms": []}}
    return Side(body, explained)


@given(TREES, TREES)
def test_differences_are_those_of_the_leaves(a: Any, b: Any) -> None:
    found = compare(side({"s": a}), side({"s": b}))
    first, second = dict(leaves({"s": a})), dict(leaves({"s": b}))
    assert found["equal"] == (first == second)
    for path, pair in found["spec"].items():
        assert (first.get(path), second.get(path)) == (pair["a"], pair["b"])
        assert pair["a"] != pair["b"]
