"""A run directory does not tell whose it is: no folder where none is needed, none of the home folder's own name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gendsl.runtime import run as runs
from gendsl.runtime.trained import stored
from gendsl.schema.load import load, loads

SPEC = """gendsl: 1
data: {source: csv, path: data.csv, bind: {x: a}}
prior: {z: {dist: normal, shape: [2]}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: [3]}}}
decoder: {x: {given: z, dist: normal, net: {type: mlp, hidden: [3]}}}
train: {steps: 1}
"""


def started(spec: Path, out: Path) -> Path:
    session = runs.start(load(spec), out=out)
    session.run.close()
    return out


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    folder = tmp_path / "ada" / "specs"
    folder.mkdir(parents=True)
    np.savetxt(folder / "data.csv", np.arange(40.0)[:, None], header="a", comments="")
    (folder / "spec.yaml").write_text(SPEC)
    return folder / "spec.yaml"


def test_a_folder_at_home_is_noted_from_there(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "ada"))
    monkeypatch.chdir(spec.parent)
    run = started(Path(spec.name), tmp_path / "run")
    assert json.loads((run / "environment.json").read_text())["data_folder"] == "~/specs"
    assert [file.name for file in run.iterdir() if file.is_file() and "ada/" in file.read_text()] == []
    _, base = stored(run)
    assert base == spec.parent


def test_a_folder_elsewhere_is_noted_whole(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "bob"))
    _, base = stored(started(spec, tmp_path / "run"))
    assert base == spec.parent


def test_a_source_without_files_has_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    session = runs.start(
        loads(SPEC.replace("csv, path: data.csv", "ring").replace("x: a", "x: point")), out=tmp_path / "run"
    )
    session.run.close()
    assert "data_folder" not in json.loads((tmp_path / "run" / "environment.json").read_text())
