"""Commands that ask a trained model: sample, encode, evaluate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.cli.conftest import Command


def test_samples_are_reproducible(gendsl: Command, vae: Path, tmp_path: Path) -> None:
    said = gendsl("sample", vae, "--n", "5", "--seed", "1", "--out", "a.npz", "--json")
    assert said.status == 0
    assert said.document == {"n": 5, "seed": 1, "file": "a.npz", "variables": {"x": {"shape": [5, 1, 8, 8]}}}
    assert gendsl("sample", vae, "--n", "5", "--seed", "1", "--out", "b.npz").status == 0
    assert gendsl("sample", vae, "--n", "5", "--seed", "2", "--out", "c.npz").status == 0
    a, b, c = (np.load(tmp_path / f"{n}.npz")["x"] for n in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert set(np.unique(a)) == {0.0, 16.0}


def test_samples_of_the_run_itself(gendsl: Command, vae: Path, tmp_path: Path) -> None:
    """The run's own seed and number give the run's own samples."""
    assert gendsl("sample", vae, "--n", "6", "--out", "a.npz").status == 0
    assert np.array_equal(np.load(tmp_path / "a.npz")["x"], np.load(vae / "samples" / "samples.npz")["x"])


def test_where_samples_go(gendsl: Command, vae: Path, tmp_path: Path) -> None:
    assert gendsl("sample", vae, "--n", "4", "--out", "a.png").status == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    for wrong in ("a.gif", "nofolder/a.npz", "a"):
        assert gendsl("sample", vae, "--out", wrong).status == 2
    assert gendsl("sample", vae, "--n", "2").status == 0
    assert (vae / "samples" / "samples-seed0.npz").is_file()
    assert gendsl("sample", vae, "--n", "0").status == 2


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("y=12", "outside"),
        ("y=-1", "outside"),
        ("y=3.5", "whole number"),
        ("label=3", "not a condition"),
        ("y", "--given y=3"),
        ("y=three", "--given y=3"),
        ("y=nan", "--given y=3"),
        ("y=1e999", "outside"),
    ],
)
def test_conditions_that_are_wrong(given: str, words: str, gendsl: Command, conditional: Path) -> None:
    said = gendsl("sample", conditional, "--given", given, "--json")
    assert said.status == 2
    assert words in said.document["error"]


def test_conditions(gendsl: Command, conditional: Path, tmp_path: Path) -> None:
    """A constant condition gives other samples than conditions drawn from the training rows."""
    for name, options in (("a", ("--given", "y=3")), ("b", ("--given", "y=3")), ("c", ())):
        assert gendsl("sample", conditional, "--n", "8", *options, "--out", f"{name}.npz").status == 0
    a, b, c = (np.load(tmp_path / f"{n}.npz")["x"] for n in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert gendsl("sample", conditional, "--given", "z=3").status == 2


def test_encode(gendsl: Command, vae: Path, gan: Path, tmp_path: Path) -> None:
    said = gendsl("encode", vae, "--split", "valid", "--out", "z.npz", "--json")
    assert said.status == 0
    assert said.document["variables"] == {"z": {"shape": [143, 16]}, "row": {"shape": [143]}}
    codes = np.load(tmp_path / "z.npz")
    assert len(set(codes["row"].tolist())) == 143
    assert gendsl("encode", vae, "--out", "t.npz", "--json").document["split"] == "test"
    assert gendsl("encode", vae, "--split", "bogus").status == 2
    refused = gendsl("encode", gan, "--json")
    assert refused.status == 2
    assert "no latent has an encoder" in refused.document["error"]


def test_evaluate_repeats_the_run(gendsl: Command, vae: Path) -> None:
    """The same seed, part and samples: the same numbers; the directory is only read."""
    files = {p: p.stat().st_mtime_ns for p in vae.rglob("*")}
    said = gendsl("evaluate", vae, "--json")
    assert said.status == 0
    run = json.loads((vae / "result.json").read_text())
    assert said.document["metrics"] == run["metrics"]
    assert {k: v for k, v in said.document.items() if k != "seconds"} == {
        k: v for k, v in run.items() if k != "seconds"
    }
    assert {p: p.stat().st_mtime_ns for p in vae.rglob("*")} == files
    other = gendsl("evaluate", vae, "--seed", "5", "--samples", "2", "--json").document["metrics"]["test"]
    assert other["log_prob"]["value"] != run["metrics"]["test"]["log_prob"]["value"]
    assert other["log_prob"]["samples"] == 2


def test_evaluate_other_parts(gendsl: Command, vae: Path, gan: Path, tmp_path: Path) -> None:
    assert gendsl("evaluate", vae, "--split", "valid", "--out", "e.json").status == 0
    assert json.loads((tmp_path / "e.json").read_text())["metrics"]["valid"]["log_prob"]["rows"] == 143
    refused = gendsl("evaluate", gan, "--split", "valid")
    assert refused.status == 2
    assert "train, test" in refused.err
    words = gendsl("evaluate", gan)
    assert words.status == 0
    assert "log_prob             none: p(x) has no density" in words.out


def test_a_model_that_cannot_be_sampled(gendsl: Command, tmp_path: Path) -> None:
    """An autoencoder has no prior: refused as wrong usage, with the reason; its codes can be had."""
    (tmp_path / "autoencoder.yaml").write_text(
        """gendsl: 1
data: {source: two_moons, bind: {x: {column: point}}}
encoder: {z: {given: x, dist: deterministic, shape: [2], net: {type: mlp, hidden: [8]}}}
decoder: {x: {given: z, dist: {type: normal, scale: fixed}, net: {type: mlp, hidden: [8]}}}
"""
    )
    assert gendsl("run", "autoencoder.yaml", "--steps", "3", "--out", "a").status == 0
    refused = gendsl("sample", "a", "--json")
    assert refused.status == 2
    assert "prior" in refused.document["error"]
    assert gendsl("encode", "a").status == 0
    score = gendsl("evaluate", "a", "--json").document["metrics"]["test"]["log_prob"]
    assert (score["value"], score["kind"]) == (None, "none")
    assert score["why"]


def test_missing_entries_are_imputed(gendsl: Command, vae: Path, tmp_path: Path) -> None:
    said = gendsl("impute", vae, "--n", "2", "--rate", "0.5", "--seed", "1", "--out", "a.npz", "--json")
    assert said.status == 0
    shapes = {name: about["shape"] for name, about in said.document["variables"].items()}
    rows = shapes["row"][0]
    assert shapes == {"x": [2, rows, 1, 8, 8], "x_known": [rows, 1, 8, 8], "row": [rows]}
    assert gendsl("impute", vae, "--n", "2", "--rate", "0.5", "--seed", "1", "--out", "b.npz").status == 0
    a, b = np.load(tmp_path / "a.npz"), np.load(tmp_path / "b.npz")
    assert np.array_equal(a["x"], b["x"])
    known = a["x_known"]
    assert 0.4 < known.mean() < 0.6
    assert np.array_equal(a["x"][0][known], a["x"][1][known])
    assert not np.array_equal(a["x"][0], a["x"][1])
    assert gendsl("impute", vae, "--rate", "0.5", "--out", "a.png").status == 0


def test_half_of_complete_rows_is_imputed(gendsl: Command, vae: Path, tmp_path: Path) -> None:
    said = gendsl("impute", vae, "--out", "c.npz", "--json")
    assert said.status == 0
    assert said.document["removed"] == 0.5
    assert "half of its entries are removed" in said.err
    assert 0.4 < np.load(tmp_path / "c.npz")["x_known"].mean() < 0.6
    nothing = gendsl("impute", vae, "--rate", "0", "--json")
    assert nothing.status == 2
    assert "--rate" in nothing.document["error"]


def test_queries_under_one_condition(gendsl: Command, conditional: Path, tmp_path: Path) -> None:
    """impute holds the condition at the value; evaluate and verify take the rows that have it."""
    for name, options in (("a", ("--given", "y=3")), ("b", ("--given", "y=5"))):
        said = gendsl("impute", conditional, "--n", "2", "--rows", "5", *options, "--out", f"{name}.npz")
        assert said.status == 0
    a, b = (np.load(tmp_path / f"{n}.npz") for n in "ab")
    assert np.array_equal(a["x_known"], b["x_known"])
    assert not np.array_equal(a["x"], b["x"])
    assert gendsl("encode", conditional, "--out", "z.npz").status == 0
    threes = int((load_digits().target[np.load(tmp_path / "z.npz")["row"]] == 3).sum())
    for more, rows in (((), threes), (("--n", "4"), 4)):
        said = gendsl("evaluate", conditional, "--given", "y=3", *more, "--json")
        assert said.document["metrics"]["test"]["log_prob"]["rows"] == rows
        assert said.document["given"] == {"y": 3}
    assert gendsl("verify", conditional, "--given", "y=3", "--n", "8", "--split", "train").status == 0
    for command in ("evaluate", "verify", "impute"):
        assert gendsl(command, conditional, "--given", "y=12", "--out", "no.npz").status == 2


def test_a_long_imputation_is_cut_short_or_says_what_is_left(
    gendsl: Command, vae: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gendsl.runtime import impute as runtime

    few = gendsl("impute", vae, "--rate", "0.5", "--rows", "3", "--particles", "2", "--out", "few.npz")
    assert few.status == 0
    assert "rows completed" not in few.err
    assert np.load(tmp_path / "few.npz")["x"].shape == (1, 3, 1, 8, 8)
    monkeypatch.setattr(runtime, "PATIENCE", 0.0)
    said = gendsl("impute", vae, "--rate", "0.5", "--particles", "2", "--out", "all.npz")
    assert "64 of 360 rows completed, about" in said.err


def test_rows_are_compressed_and_come_back(gendsl: Command, vae: Path, tmp_path: Path) -> None:
    pytest.importorskip("constriction")
    said = gendsl("compress", vae, "--split", "test", "--out", "a.bin", "--json")
    assert said.status == 0
    assert said.document["kind"] == "upper"
    assert said.document["bytes"] == (tmp_path / "a.bin").stat().st_size
    assert gendsl("decompress", vae, "a.bin", "--out", "a.npz").status == 0
    rows = np.load(tmp_path / "a.npz")["x"]
    assert rows.shape == (said.document["rows"], 1, 8, 8)
    assert gendsl("compress", vae, "a.npz", "--out", "b.bin").status == 0
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()
    assert gendsl("compress", vae).status == 2
    assert gendsl("decompress", vae, "a.npz", "--out", "b.npz").status == 2


def test_an_exported_file_is_asked_like_its_run(
    gendsl: Command, vae: Path, gan: Path, tmp_path: Path
) -> None:
    said = gendsl("export", vae, "--out", "vae.zip", "--json")
    assert said.status == 0
    assert said.document["name"] == "vae"
    assert said.document["bytes"] == (tmp_path / "vae.zip").stat().st_size
    for where, out in ((vae, "a.npz"), (Path("vae.zip"), "b.npz")):
        assert gendsl("sample", where, "--n", "3", "--seed", "4", "--out", out).status == 0
    assert np.array_equal(np.load("a.npz")["x"], np.load("b.npz")["x"])
    metrics = gendsl("evaluate", "vae.zip", "--json").document["metrics"]
    assert metrics == json.loads((vae / "result.json").read_text())["metrics"]
    assert gendsl("resume", "vae.zip").status == 2
    nowhere = gendsl("sample", "vae.zip", "--json")
    assert nowhere.status == 2
    assert "--out samples-seed0.npz" in nowhere.document["error"]
    for words in (("nowhere",), (gan, "--out", "no/a.zip"), (gan, "--out", ".")):
        assert gendsl("export", *words, "--json").status == 2
    (tmp_path / "text").write_text("text")
    assert gendsl("sample", "text", "--json").status == 2


def test_files_that_cannot_be_coded(gendsl: Command, vae: Path, tmp_path: Path) -> None:
    """What is no array is wrong usage; a compressed file that was altered anywhere is damaged, never decoded."""
    pytest.importorskip("constriction")
    np.savez("words.npz", x=np.array(["a", "b"]))
    np.savez("shape.npz", x=np.zeros((3, 2)))
    np.savez("names.npz", q=np.zeros(3))
    (tmp_path / "torn.npz").write_bytes(b"PK\3\4xx")
    (tmp_path / "torn.npy").write_bytes(b"\x93NUMPYxx")
    for name in ("words.npz", "shape.npz", "names.npz", "torn.npz", "torn.npy", "absent.npz"):
        said = gendsl("compress", vae, name, "--out", "a.bin", "--json")
        assert (said.status, said.document["status"]) == (2, "failed")
    np.save("zeros.npy", np.zeros((2, 1, 8, 8)))
    assert gendsl("compress", vae, "zeros.npy", "--out", "a.bin").status == 0
    whole = (tmp_path / "a.bin").read_bytes()
    for damaged in (
        whole[:-8],
        whole[:-1],
        whole.replace(b'"rows": 2', b'"rows": 9'),
        whole[:60],
        whole[:-1] + b"\0\0",
    ):
        (tmp_path / "a.bin").write_bytes(damaged)
        said = gendsl("decompress", vae, "a.bin", "--out", "a.npz", "--json")
        assert said.status == 3
        assert "damaged" in said.document["error"]
