"""Commands that make and continue runs: run, resume, report, verify."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gendsl.runtime import verify as certificates
from tests.cli.conftest import TINY, Command
from tests.runtime.runs import begin, cut, environment, same, whole

OPTIONS = [part for item in (*TINY, "evaluate.metrics=[]") for part in ("--set", item)]


def test_run_prints_its_result(vae: Path) -> None:
    """result.json has what the language says of it."""
    body = json.loads((vae / "result.json").read_text())
    assert {
        "gendsl",
        "spec",
        "seed",
        "steps",
        "parameters",
        "data",
        "metrics",
        "seconds",
        "status",
    } <= body.keys()
    assert body["spec"]["name"] == "vae"
    assert body["data"]["split"] == {"train": 1294, "valid": 143, "test": 360}
    score = body["metrics"]["test"]["log_prob"]
    assert {"value", "unit", "kind", "estimator", "samples", "stderr"} <= score.keys()
    assert (score["unit"], score["kind"], score["estimator"], score["samples"]) == (
        "nats",
        "lower",
        "iwae",
        3,
    )
    assert score["value"] < 0 < score["stderr"]
    assert body["metrics"]["test"]["bits_per_dim"]["kind"] == "upper"


def test_run_without_out(gendsl: Command, tmp_path: Path) -> None:
    first = gendsl("run", "vae", *OPTIONS, "--seed", "3", "--json")
    assert first.status == 0
    assert first.document == json.loads((tmp_path / "runs" / "vae-3-1" / "result.json").read_text())
    assert "step 4/4" in first.err
    assert gendsl("run", "vae", *OPTIONS, "--seed", "3").status == 0
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["vae-3-1", "vae-3-2"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["runs"]


def test_a_directory_is_never_used_twice(gendsl: Command, vae: Path) -> None:
    files = {p: p.stat().st_mtime_ns for p in vae.rglob("*")}
    said = gendsl("run", "vae", *OPTIONS, "--out", vae)
    assert said.status == 2
    assert "gendsl resume" in said.err
    assert {p: p.stat().st_mtime_ns for p in vae.rglob("*")} == files


def test_where_nothing_can_be_written(gendsl: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert gendsl("run", "vae", *OPTIONS, "--out", "file").status == 2
    assert gendsl("run", "vae", *OPTIONS, "--out", "file/run").status == 3
    (tmp_path / "runs").write_text("")
    said = gendsl("run", "vae", *OPTIONS, "--json")
    assert said.status == 3
    assert "run directory runs" in said.document["error"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_directory(gendsl: Command, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    said = gendsl("run", "vae", *OPTIONS)
    tmp_path.chmod(0o700)
    assert said.status == 3
    assert "Permission denied" in said.err


def test_dry_run(gendsl: Command, tmp_path: Path) -> None:
    said = gendsl("run", "vae", "--dry-run")
    assert said.status == 0
    assert said.out == gendsl("explain", "vae").out
    assert not list(tmp_path.iterdir())


def test_devices(gendsl: Command, tmp_path: Path) -> None:
    import torch

    assert gendsl("run", "vae", "--device", "banana").status == 2
    if not torch.cuda.is_available():
        for command in (("run", "vae", "--device", "cuda"), ("run", "vae", "--set", "run.device=cuda:1")):
            said = gendsl(*command, *OPTIONS)
            assert said.status == 2
            assert "there is no cuda" in said.err
    assert not list(tmp_path.iterdir())


TWO_STAGES = """
gendsl: 1
data: {source: two_moons, bind: {x: {column: point}}}
prior: {z: {dist: normal, shape: [2]}}
encoder: {z: {given: x, dist: deterministic, net: {type: mlp, hidden: [8]}}}
decoder: {x: {given: z, dist: normal, net: {type: mlp, hidden: [8]}}}
train: {epochs: 3, stages: [{fit: [encoder.z, decoder.x], steps: 12}, {fit: [prior.z]}]}
"""


def test_steps_replaces_every_length(gendsl: Command, tmp_path: Path) -> None:
    text = TWO_STAGES.replace("shape: [2]}", "shape: [2], flow: [{type: coupling, repeat: 2}]}")
    (tmp_path / "staged.yaml").write_text(text)
    said = gendsl(
        "run", "staged.yaml", "--steps", "3", "--set", "evaluate.metrics=[]", "--out", "a", "--json"
    )
    assert said.status == 0, said.err
    assert said.document["steps"] == 6
    overrides = (tmp_path / "a" / "overrides.txt").read_text()
    assert "train.steps=3" in overrides
    assert "train.epochs" in overrides


def test_resolved_trains_to_the_same_bits(gendsl: Command, tmp_path: Path) -> None:
    (tmp_path / "again.yaml").write_text(gendsl("resolve", "vae_planar_flow").out)
    hashes = []
    for spec, out in (("vae_planar_flow", "one"), ("again.yaml", "two")):
        said = gendsl("run", spec, *OPTIONS, "--out", out, "--json")
        assert said.status == 0
        hashes.append(said.document["spec"]["hash"])
    same(tmp_path / "one", tmp_path / "two")
    assert hashes[0] == hashes[1]


def test_resume(gendsl: Command, tmp_path: Path) -> None:
    right = whole("vae", tmp_path / "right")
    cut(begin("vae", tmp_path / "cut"), 12)
    said = gendsl("resume", "cut", "--json")
    assert said.status == 0
    assert said.document["status"] == "completed"
    assert "step 7 of 23" in said.err
    same(right, tmp_path / "cut")
    again = gendsl("resume", "cut", "--json")
    assert again.status == 0
    assert "training is complete" in again.err
    assert {**again.document, "seconds": 0} == {**said.document, "seconds": 0}


def test_resume_past_a_damaged_checkpoint(gendsl: Command, tmp_path: Path) -> None:
    right = whole("vae", tmp_path / "right")
    cut(begin("vae", tmp_path / "cut"), 16)
    (tmp_path / "cut" / "checkpoints" / "step-000000014" / "tensors.safetensors").write_bytes(b"damaged")
    said = gendsl("resume", "cut")
    assert said.status == 0
    assert "warning: checkpoint step-000000014" in said.err
    same(right, tmp_path / "cut")
    for entry in (tmp_path / "cut" / "checkpoints").iterdir():
        (entry / "state.json").unlink()
    said = gendsl("resume", "cut", "--json")
    assert said.status == 3
    assert "can be used" in said.document["error"]


def test_a_run_that_is_held(gendsl: Command, tmp_path: Path) -> None:
    session = begin("vae", tmp_path / "held")
    said = gendsl("resume", "held")
    session.run.close()
    assert said.status == 3
    assert "in use" in said.err


def test_report_of_an_unfinished_run(gendsl: Command, tmp_path: Path) -> None:
    cut(begin("vae", tmp_path / "cut"), 12)
    said = gendsl("report", "cut", "--json")
    assert said.status == 0
    assert Path(said.document["file"]).is_file()
    assert "unfinished" in (tmp_path / "cut" / "report.html").read_text()
    evaluated = gendsl("evaluate", "cut", "--json")
    assert evaluated.status == 0
    assert (evaluated.document["steps"], evaluated.document["status"]) == (7, "unfinished")


def test_verify(gendsl: Command, vae: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = gendsl("verify", vae, "--json")
    assert said.status == 0, said.out
    for found in said.document["certificates"]:
        assert {"name", "passed", "value", "bound"} <= found.keys()
        assert found["passed"] is True

    def failing(*args: Any, **options: Any) -> Any:
        return (certificates.Certificate("log_det:x", False, 1.0, 1e-4, 1e-3),)

    monkeypatch.setattr(certificates, "verify", failing)
    failed = gendsl("verify", vae, "--json")
    assert failed.status == 3
    assert failed.document["certificates"][0]["passed"] is False
    assert "log_det:x" in gendsl("verify", vae).err


def test_damaged_files_of_a_run(gendsl: Command, vae: Path, tmp_path: Path) -> None:
    """Words, not a traceback, whatever is wrong with a run directory."""
    for name, text, status in (
        ("environment.json", "{", 3),
        ("data.json", "[", 3),
        ("resolved.yaml", "gendsl: 1\nprior: [", 1),
        ("resolved.yaml", None, 2),
    ):
        copy = tmp_path / f"copy-{name}-{status}"
        shutil.copytree(vae, copy)
        if text is None:
            (copy / name).unlink()
        else:
            (copy / name).write_text(text)
        assert gendsl("sample", copy).status == status
        assert gendsl("resume", copy).status == status


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    """`gendsl explain vae | true` ends quietly."""
    pipe = subprocess.Popen(
        [sys.executable, "-m", "gendsl", "resolve", "vae", "--json"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert pipe.stdout is not None
    assert pipe.stderr is not None
    pipe.stdout.close()
    told = pipe.stderr.read()
    pipe.stderr.close()
    assert pipe.wait(60) == 0
    assert told == b""
