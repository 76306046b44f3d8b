"""A run knows its data again: other values stop a resume, a trained model needs no file to be sampled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import gendsl
from gendsl.cli import main
from gendsl.data.dataset import digest
from gendsl.errors import DataError
from gendsl.runtime import data_record
from gendsl.runtime import run as runs
from gendsl.runtime.trained import evaluated, restored
from gendsl.schema.load import load, loads

SPEC = """gendsl: 1
data: {source: csv, path: data.csv, bind: {x: a}}
prior: {z: {dist: normal, shape: [2]}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: [3]}}}
decoder: {x: {given: z, dist: normal, net: {type: mlp, hidden: [3]}}}
train: {steps: 2, checkpoint: {every: 1}}
evaluate: {metrics: [elbo]}
"""


def table(folder: Path, values: np.ndarray, header: str = "a") -> None:
    np.savetxt(folder / "data.csv", values, header=header, comments="", delimiter=",")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run on a table of forty numbers."""
    table(tmp_path, np.arange(40.0)[:, None])
    (tmp_path / "spec.yaml").write_text(SPEC)
    session = runs.start(load(tmp_path / "spec.yaml"), out=tmp_path / "run")
    try:
        runs.finish(session)
    finally:
        session.run.close()
    return tmp_path / "run"


def test_other_values_are_not_gone_on_with(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.parent)
    runs.reopen(run).run.close()
    values = np.arange(40.0)
    values[7] += 0.5
    table(run.parent, values[:, None])
    with pytest.raises(DataError, match="changed since the run began: column a held other values"):
        runs.reopen(run)
    assert main(["resume", "run"]) == 3
    assert "bring them back" in capsys.readouterr().err
    table(run.parent, np.arange(40.0)[:, None])
    runs.reopen(run).run.close()


def test_fewer_rows_are_other_data(run: Path) -> None:
    table(run.parent, np.arange(39.0)[:, None])
    with pytest.raises(DataError, match="column a held other values"):
        runs.reopen(run)


def test_a_sample_needs_no_file(run: Path) -> None:
    before = restored(run).model.state_dict()
    (run.parent / "data.csv").unlink()
    trained = restored(run)
    assert trained.model.sample(3)["x"].shape == (3,)
    assert all(torch.equal(v, before[n]) for n, v in trained.model.state_dict().items())
    with pytest.raises(DataError, match="cannot be read"):
        trained.part("test")


def test_an_evaluation_on_other_data_says_so(run: Path) -> None:
    told: list[str] = []
    evaluated(run, split="train", warn=told.append)
    assert told == []
    table(run.parent, np.arange(40.0)[::-1, None])
    evaluated(run, split="train", warn=told.append)
    assert len(told) == 1
    assert "column a held other values" in told[0]
    table(run.parent, np.arange(40.0)[:, None], "b")
    with pytest.raises(DataError, match="'a' of this model's data is not the one"):
        evaluated(run, split="train")


def test_arrays_from_memory_are_compared_too(tmp_path: Path) -> None:
    text = SPEC.replace("{source: csv, path: data.csv, bind: {x: a}}", "{source: memory, bind: {x: a}}")
    first = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    arrays = {"a": first}
    model = gendsl.compile(loads(text), data=arrays)
    gendsl.train(model, out=tmp_path / "run")
    runs.reopen(tmp_path / "run", arrays=arrays).run.close()
    with pytest.raises(DataError, match="column a"):
        runs.reopen(tmp_path / "run", arrays={"a": first + 1})


def test_generated_data_have_no_digest(tmp_path: Path) -> None:
    text = SPEC.replace("csv, path: data.csv, bind: {x: a}", "two_moons, n: 40, bind: {x: point}")
    session = runs.start(loads(text), out=tmp_path / "run")
    session.run.close()
    assert session.data.digests == {}
    assert data_record.facts_known(tmp_path / "run") == session.graph.source


def test_a_digest_knows_type_shape_and_values() -> None:
    a = np.arange(6, dtype=np.int32)
    others = (a.astype(np.int64), a.reshape(2, 3), a[::-1], a + 1, a[:5])
    assert len({digest(a), *map(digest, others)}) == 6
    assert digest(a[::-1][::-1]) == digest(a)
