"""The run directory: who may use it, what its files hold, and what a kill at any instant leaves."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gendsl.errors import RunError, UsageError
from gendsl.runtime import checkpoint, durable
from gendsl.runtime.jsonlines import JsonLines
from gendsl.runtime.rundir import ABOUT, BEGUN, RunDirectory


def new(path: Path | None) -> RunDirectory:
    return RunDirectory.create(path, name="vae", seed=3)


def started(path: Path) -> Path:
    with new(path) as run:
        run.write_text("resolved.yaml", "gendsl: 1\n")
    return path


def test_runs_are_numbered_and_never_reused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for k in (1, 2):
        with new(None) as run:
            assert run.path == Path("runs") / f"vae-3-{k}"
            assert run.checkpoints.is_dir()
            assert run.samples.is_dir()
    os.rename("runs/vae-3-2", "runs/vae-3-7")
    Path("runs/vae-3-best").mkdir()
    with new(None) as run:
        assert run.path.name == "vae-3-8"
    with RunDirectory.create(None, name="vae", seed=33) as run:
        assert run.path.name == "vae-33-1"


@pytest.mark.parametrize("name", ["../../etc", "a/b", "..", "", "a b\n", "-x", "n" * 300])
def test_no_name_leaves_the_folder_of_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with RunDirectory.create(None, name=name, seed=0) as run:
        assert run.path.resolve().parent == tmp_path / "runs"
        assert run.path.name[0].isalnum()
    assert os.listdir(tmp_path) == ["runs"]


def test_a_directory_in_use_is_refused_with_the_way_on(tmp_path: Path) -> None:
    path = started(tmp_path / "a")
    with pytest.raises(UsageError, match=f"not empty.*gendsl resume {path}"):
        new(path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        new(tmp_path / "other")
    assert os.listdir(tmp_path / "other") == ["thesis.tex"]
    with pytest.raises(UsageError, match="is a file"):
        new(tmp_path / "other" / "thesis.tex")


def test_an_empty_directory_and_a_create_that_was_killed_are_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    new(tmp_path / "empty").close()
    assert sorted(os.listdir(tmp_path / "empty")) == [".lock", "checkpoints", "samples"]
    new(tmp_path / "empty").close()
    (tmp_path / "empty" / "samples" / "1.npz").write_bytes(b"")
    with pytest.raises(UsageError, match="not empty"):
        new(tmp_path / "empty")


@pytest.mark.parametrize("written", range(len(ABOUT) + 1))
def test_a_run_that_was_killed_before_it_began_gives_way(tmp_path: Path, written: int) -> None:
    """At every file about it, whole and half written: resume says to start again, run does."""
    path = tmp_path / "a"
    with new(path) as run:
        for name in ABOUT[:written]:
            run.write_text(name, "")
    half = (*ABOUT, BEGUN)[written]
    (path / f".{half}.tmp").write_text("")
    with pytest.raises(UsageError, match=f"stopped before it began.*gendsl run SPEC --out {path}"):
        RunDirectory.open(path)
    with new(path) as run:
        run.write_text(BEGUN, "gendsl: 1\n")
    RunDirectory.open(path).close()
    with pytest.raises(UsageError, match="never used twice"):
        new(path)


@pytest.mark.parametrize("own", ["spec.yaml", ".spec.yaml.tmp", "overrides.txt"])
def test_files_of_such_names_without_a_lock_are_somebody_elses(tmp_path: Path, own: str) -> None:
    (tmp_path / own).write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        new(tmp_path)
    with pytest.raises(UsageError, match="not a run directory"):
        RunDirectory.open(tmp_path)
    assert os.listdir(tmp_path) == [own]


def test_a_checkpoint_makes_a_run(tmp_path: Path) -> None:
    with new(tmp_path) as run:
        run.write_text("spec.yaml", "")
        (run.checkpoints / "step-2").mkdir()
    with pytest.raises(UsageError, match="not empty"):
        new(tmp_path)


@pytest.mark.parametrize("kind", ["absent", "file", "folder"])
def test_what_is_no_run_cannot_be_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "file":
        path.write_text("")
    if kind == "folder":
        path.mkdir()
    with pytest.raises(UsageError, match=r"does not exist|is a file|is not a run directory"):
        RunDirectory.open(path)
    assert not (path / ".lock").exists()


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    path = started(tmp_path / "a")
    with RunDirectory.open(path), pytest.raises(RunError, match="in use: this process itself"):
        RunDirectory.open(path)
    run = RunDirectory.open(path)
    run.close()
    run.close()
    RunDirectory.open(path).close()


def test_another_process_is_named_and_its_death_frees_the_run(tmp_path: Path) -> None:
    path = started(tmp_path / "a")
    code = f"import fcntl, os; f = open({str(path / '.lock')!r}, 'r+'); fcntl.flock(f, fcntl.LOCK_EX); "
    code += "f.write(str(os.getpid()) + '\\n'); f.flush(); print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=rf"another process \(pid {child.pid}\)"):
            RunDirectory.open(path)
        child.kill()
        child.wait()
    RunDirectory.open(path).close()


def test_without_file_locks_the_reason_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UsageError, match="Windows"):
        new(tmp_path / "a")


def test_files_hold_exactly_what_was_given(tmp_path: Path) -> None:
    with new(tmp_path / "a") as run:
        assert run.write_bytes("spec.yaml", b"a: 1\r\n\xff").read_bytes() == b"a: 1\r\n\xff"
        assert run.write_text("explain.txt", "é\r\n").read_bytes() == "é\r\n".encode()
        document = {"z": 1, "a": [0.1 + 0.2, math.nan, {"b": -math.inf}], "c": True}
        text = run.write_json("result.json", document).read_text()
        assert json.loads(text) == {"z": 1, "a": [0.1 + 0.2, None, {"b": None}], "c": True}
        assert list(json.loads(text)) == ["z", "a", "c"]
        for name in ("../x", "/tmp/x", "a/../../x", "", "."):
            with pytest.raises(ValueError, match="not a file inside"):
                run.write_text(name, "")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with new(tmp_path / "a") as run:
        run.write_text("result.json", "old")
        before = sorted(os.listdir(run.path))
        for name in ("fsync", "replace"):
            with monkeypatch.context() as patch:
                patch.setattr(durable.os, name, _refuse)
                with pytest.raises(RunError, match="No space left"):
                    run.write_text("result.json", "new")
            assert (run.path / "result.json").read_text() == "old"
            assert sorted(os.listdir(run.path)) == before


def _refuse(*_: Any) -> None:
    raise OSError(28, "No space left on device")


def test_records_are_one_json_line_each(tmp_path: Path) -> None:
    with new(tmp_path / "a") as run:
        run.append_metrics(
            {"step": 1, "split": "train", "terms": {"kl.z": 1e-7, "x": math.nan}, "b": [math.inf, 0.1]}
        )
        run.append_metrics({"step": 1, "name": "Größe\n"})
        run.append_timings({"step": 1, "seconds": 0.25})
        assert run.metrics.read_text(encoding="utf-8") == (
            '{"step": 1, "split": "train", "terms": {"kl.z": 1e-07, "x": null}, "b": [null, 0.1]}\n'
            '{"step": 1, "name": "Größe\\n"}\n'
        )
        assert run.timings.read_text() == '{"step": 1, "seconds": 0.25}\n'


@pytest.mark.parametrize("record", [{}, {"step": "3"}, {"step": 3.0}, {"step": True}, {"step": 4}])
def test_records_that_could_not_be_cut_back_are_refused(tmp_path: Path, record: dict[str, Any]) -> None:
    log = JsonLines(tmp_path / "metrics.jsonl")
    log.append({"step": 5})
    with pytest.raises(ValueError, match="step"):
        log.append(record)
    log.close()
    assert log.path.read_text() == '{"step": 5}\n'
    with pytest.raises(ValueError, match="too late"):
        log.append({"step": 4})
    log.close()


def test_a_damaged_log_is_not_taken_for_one_that_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"st\x00p": 2}\n{"step": 3}\n')
    with pytest.raises(RunError, match=r"metrics\.jsonl is damaged: line 2"):
        JsonLines(path).cut_back(3)
    path.write_bytes(b'{"step": 1}\n{"step": 9}\n{"step": 3}\n')
    with pytest.raises(RunError, match="line 3 is out of order"):
        JsonLines(path).cut_back(3)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(steps=st.lists(st.integers(0, 12), max_size=10), cut=st.integers(-1, 13), data=st.data())
def test_cut_back_keeps_just_the_records_up_to_the_step(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], cut: int, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("log") / "metrics.jsonl"
    lines = [json.dumps({"step": step, "n": n}).encode() + b"\n" for n, step in enumerate(sorted(steps))]
    kept = b"".join(line for line in lines if json.loads(line)["step"] <= cut)
    whole = b"".join(lines)
    path.write_bytes(whole[: data.draw(st.integers(len(kept), len(whole)))])
    log = JsonLines(path)
    log.cut_back(cut)
    assert path.read_bytes() == kept
    log.append({"step": 14})
    log.close()
    assert path.read_bytes() == kept + b'{"step": 14}\n'
    path.unlink()
    path.parent.rmdir()


def test_appending_after_a_torn_line_drops_it(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2, "te')
    log = JsonLines(path)
    log.append({"step": 2})
    log.close()
    assert path.read_bytes() == b'{"step": 1}\n{"step": 2}\n'


class Stopped(Exception):
    """The run was stopped here."""


def _run(run: RunDirectory, total: int, stop: int | None) -> None:
    """A loop that obeys the three rules, whose n-th operation on the directory is its last."""
    operations = 0

    def tick() -> None:
        nonlocal operations
        operations += 1
        if operations == stop:
            raise Stopped

    back = checkpoint.newest(run.checkpoints, None, pytest.fail)
    first = 0 if back is None else back.step
    value = torch.zeros((), dtype=torch.float64) if back is None else back.tensors["value"]
    run.cut_back(first)
    for step in range(first + 1, total + 1):
        value = value * 1.25 + step
        tick()
        run.append_metrics({"step": step, "split": "train", "value": float(value)})
        tick()
        run.append_timings({"step": step, "seconds": 0.5})
        if step % 3 == 0:
            tick()
            run.append_metrics({"step": step, "split": "valid", "value": float(value) / 3})
            tick()
            run.flush()
            tick()
            checkpoint.save(run.checkpoints, step, {"value": value}, {})
            tick()
            checkpoint.prune(run.checkpoints, 1)


def test_stopped_anywhere_and_resumed_the_metrics_are_the_same_bytes(tmp_path: Path) -> None:
    with new(tmp_path / "whole") as run:
        _run(run, 8, None)
        undisturbed = run.metrics.read_bytes()
    assert undisturbed.count(b"\n") == 10
    for stop in range(1, 24):
        path = started(tmp_path / str(stop))
        with RunDirectory.open(path) as run, pytest.raises(Stopped):
            _run(run, 8, stop)
        with RunDirectory.open(path) as run, pytest.raises(Stopped):
            _run(run, 8, 3)
        with (path / "metrics.jsonl").open("ab") as file:
            file.write(b'{"step": 9, "spl')
        with RunDirectory.open(path) as run:
            _run(run, 8, None)
            assert run.metrics.read_bytes() == undisturbed
