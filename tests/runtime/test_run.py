"""How a run ends other than well: signals, values that are not finite, and what is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gendsl.cli import main
from gendsl.runtime import checkpoint
from gendsl.runtime import run as runs
from gendsl.runtime.run import evaluate
from gendsl.runtime.train import Trainer
from tests.runtime.runs import SMALL, begin, environment, go_on, same, whole

OPTIONS = [part for item in SMALL for part in ("--set", item)]


def result(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "result.json").read_text())
    return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def signalled_at(monkeypatch: pytest.MonkeyPatch, step: int, number: int) -> None:
    """The process gets a signal while training step `step` is computed."""
    one = Trainer._one_step

    def stepping(self: Trainer) -> None:
        if self.step == step:
            os.kill(os.getpid(), number)
        one(self)

    monkeypatch.setattr(Trainer, "_one_step", stepping)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_checkpoint(number: int, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    right = whole("vae", here / "right")
    with monkeypatch.context() as patch:
        signalled_at(patch, 9, number)
        assert main(["run", "vae", *OPTIONS, "--out", "a"]) == 130
    entries = [p.name for p in checkpoint.entries(here / "a" / "checkpoints")]
    assert entries == ["step-000000007", "step-000000010"]
    assert result(here / "a")["status"] == "interrupted"
    assert result(here / "a")["steps"] == 10
    assert signal.getsignal(signal.SIGINT) is before
    go_on(here / "a")
    same(right, here / "a")


def test_a_signal_before_the_first_step(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the model is built: nothing was trained, and the run can be resumed all the same."""
    build = runs.compile_model

    def building(graph: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return build(graph)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "compile_model", building)
        assert main(["run", "vae", *OPTIONS, "--out", "a"]) == 130
    assert [p.name for p in checkpoint.entries(here / "a" / "checkpoints")] == ["step-000000000"]
    go_on(here / "a")
    same(whole("vae", here / "right"), here / "a")


def test_a_signal_while_evaluating(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends at once; training is kept, and resuming evaluates."""

    def evaluating(*args: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return evaluate(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "evaluate", evaluating)
        assert main(["run", "vae", *OPTIONS, "--out", "a", "--json"]) == 130
    assert json.loads(capsys.readouterr().out) == result(here / "a")
    assert result(here / "a")["status"] == "interrupted"
    assert [p.name for p in checkpoint.entries(here / "a" / "checkpoints")][-1] == "step-000000023"
    assert main(["resume", "a", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "completed"


def test_the_second_signal_does_not_wait(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Trainer._one_step

    def stepping(self: Trainer) -> None:
        if self.step == 9:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
        one(self)

    monkeypatch.setattr(Trainer, "_one_step", stepping)
    began = time.monotonic()
    assert main(["run", "vae", *OPTIONS, "--out", "a"]) == 130
    assert time.monotonic() - began < 8
    assert [p.name for p in checkpoint.entries(here / "a" / "checkpoints")] == ["step-000000007"]


def test_ctrl_c_from_outside(tmp_path: Path) -> None:
    """The same with a process of its own and a signal at no particular step."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gendsl", "run", "vae", "--out", "a", "--json", "--set", "train.log=1"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = tmp_path / "a" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (log.exists() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    document = json.loads(said)
    assert document["status"] == "interrupted"
    (entry,) = checkpoint.entries(tmp_path / "a" / "checkpoints")
    assert checkpoint.step_of(entry) == document["steps"] == len(log.read_text().splitlines()) > 0
    assert "gendsl resume a" in told
    assert "Traceback" not in told


# -- values that are not finite -----------------------------------------------------------------------------------------


def test_a_learning_rate_without_measure(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message has the term, the variable and the step; the last good checkpoint stays; exit 3."""
    assert (
        main(
            [
                "run",
                "vae",
                *OPTIONS,
                "--set",
                "train.checkpoint.every=1",
                "--set",
                "train.optim.lr=1e30",
                "--out",
                "a",
            ]
        )
        == 3
    )
    told = capsys.readouterr().err
    assert "step 2: " in told
    assert ".x is " in told or ".z is " in told
    assert "variable" in told
    assert "Traceback" not in told
    assert result(here / "a")["status"] == "nan"
    for entry in checkpoint.entries(here / "a" / "checkpoints"):
        checkpoint.load(entry)


def test_a_row_that_overflows(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    x[40] = 3e30
    np.savetxt(here / "data.csv", x, delimiter=",", header="a,b", comments="")
    (here / "spec.yaml").write_text(
        """gendsl: 1
data: {source: csv, path: data.csv, bind: {a: a, b: b}}
prior: {z: {dist: normal, shape: [2]}}
encoder: {z: {given: [a, b], dist: normal, net: mlp}}
decoder: {a: {given: z, dist: normal, net: mlp}, b: {given: z, dist: normal, net: mlp}}
train: {steps: 40, batch_size: 10, checkpoint: {every: 1}}
"""
    )
    assert main(["run", "spec.yaml", "--out", "a"]) == 3
    told = capsys.readouterr().err
    document = result(here / "a")
    assert document["status"] == "nan"
    assert f"step {document['steps'] + 1}: " in document["error"]
    assert document["error"] in told
    last = checkpoint.entries(here / "a" / "checkpoints")[-1] if document["steps"] else None
    if last is not None:
        assert checkpoint.step_of(last) == document["steps"]
        assert last.name in told
    # sample and evaluate work on the last good checkpoint
    if last is not None:
        assert main(["sample", "a", "--n", "3", "--json"]) == 0
    assert (
        main(["run", "spec.yaml", "--set", "train.on_nan=skip", "--set", "evaluate.metrics=[]", "--out", "b"])
        == 0
    )
    assert "left out" in capsys.readouterr().err


def test_skipping_gives_up(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that is lost does not go on to the end of a long training."""
    options = ["--set", "train.steps=1000", "--set", "train.optim.lr=1e30", "--set", "train.on_nan=skip"]
    assert main(["run", "vae", *OPTIONS, *options, "--out", "a"]) == 3
    assert "in a row" in capsys.readouterr().err
    assert result(here / "a")["steps"] < 200


# -- what a run leaves --------------------------------------------------------------------------------------------------


def test_the_files_of_a_run(here: Path) -> None:
    assert main(["run", "vae", *OPTIONS, "--out", "a"]) == 0
    run = here / "a"
    files = ("spec.yaml", "resolved.yaml", "overrides.txt", "explain.txt", "graph.json", "environment.json")
    for name in (*files, "metrics.jsonl", "checkpoints", "samples", "result.json", "report.html"):
        assert (run / name).exists(), name
    assert (run / "overrides.txt").read_text().splitlines() == list(SMALL)
    document = result(run)
    assert document["gendsl"]
    assert document["spec"].keys() == {"name", "hash"}
    assert document["data"] == {
        "source": "digits",
        "variant": "binarize:static",
        "split": {"train": 1437, "test": 360},
    }
    assert document["seconds"].keys() == {"compile", "train", "evaluate"}
    assert (document["seed"], document["steps"], document["status"]) == (0, 23, "completed")
    assert not any("seconds" in line for line in (run / "metrics.jsonl").read_text().splitlines())
    assert sorted(p.name for p in here.iterdir()) == ["a"]


def test_a_directory_without_a_start_cannot_be_resumed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed while the directory was made: `resume` says to start again, and starting again takes it."""
    session = begin("vae", here / "a")
    session.run.close()
    (here / "a" / "resolved.yaml").unlink()
    assert main(["resume", "a"]) == 2
    assert "stopped before it began" in capsys.readouterr().err
    assert main(["run", "vae", *OPTIONS, "--out", "a"]) == 0
