"""The published tables: every spec of specs/papers has a row and can be checked, and the document keeps its rows."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from benchmarks import papers
from benchmarks.papers import HEAD, RESULTS, ROWS, SPECS, Number, Row, cells, finished, split, updated
from gendsl.compiler.derive.energies import targets
from gendsl.compiler.pipeline import analyse
from gendsl.schema.load import load

GOALS = ((1.0, False), (1.0, True), (float("nan"), True))
EMPTY = "# Title\n\nWords.\n\n| row | data |\n|---|---|\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Files of the shapes that the rows expect, with few rows and nothing in them."""
    image = np.zeros((60, 28, 28), np.uint8)
    label = np.arange(60, dtype=np.uint8) % 10
    np.savez(tmp_path / "mnist.npz", x_train=image, x_test=image[:10], y_train=label, y_test=label[:10])
    bits = {"dna": 180, "mushrooms": 112}
    (tmp_path / "tinyshakespeare.txt").write_text("To be, or not to be. " * 100, "utf-8")
    (tmp_path / "names.txt").write_text("\n".join("abcdefghijklmnopqrstuvwxyz"), "utf-8")
    arrays = {
        f"{n}_{p}": np.zeros((20, d), np.uint8) for n, d in bits.items() for p in ("train", "valid", "test")
    }
    np.savez(tmp_path / "made_uci.npz", **arrays)
    (tmp_path / "fashion-mnist").mkdir()
    for name, rows in (("train", 60), ("t10k", 10)):
        head = struct.pack(">BBBBIII", 0, 0, 8, 3, rows, 28, 28)
        file = tmp_path / "fashion-mnist" / f"{name}-images-idx3-ubyte"
        file.write_bytes(head + image[:rows].tobytes())
    music = {f"{p}_frames": np.zeros((12, 88), np.uint8) for p in ("train", "valid", "test")}
    places = {f"{p}_offsets": np.array([0, 3, 8, 12]) for p in ("train", "valid", "test")}
    np.savez(tmp_path / "jsb_chorales.npz", **music, **places)
    return tmp_path


def test_every_spec_has_a_row_and_every_row_a_spec() -> None:
    assert sorted(p.stem for p in SPECS.glob("*.yaml")) == sorted(r.spec for r in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.spec)
def test_the_spec_of_a_row_is_sound(row: Row, data: Path) -> None:
    text = (SPECS / f"{row.spec}.yaml").read_text("utf-8")
    assert text.startswith("# ")
    assert text.splitlines()[0].endswith(".")
    where = [f"data.path={data / row.file}"] if row.file else []
    graph = analyse(load(SPECS / f"{row.spec}.yaml", sets=where))
    if targets(graph):
        assert "kl_to_target" in (graph.spec.evaluate.metrics or ())
        return
    plan = graph.capabilities["log_prob"]
    if plan.how is None:
        assert {n.kind for n in row.numbers} == {"estimate"}
        return
    assert {n.kind for n in row.numbers} & {"exact" if str(plan.kind) == "exact" else "upper"}
    assert "log_prob" in (graph.spec.evaluate.metrics or ())


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.spec)
def test_a_result_becomes_lines(row: Row, tmp_path: Path) -> None:
    assert not finished(tmp_path)
    values = {
        "log_prob": (-80.0, 0.5),
        "elbo": (-84.0, 0.4),
        "bits_per_dim": (3.1, 0.01),
        "kl_to_target": (0.2, 0.01),
        "nats_per_step": (2.0, 0.01),
        "modes": (8.0, None),
        "high_quality": (0.7, 0.1),
        "reverse_kl": (0.2, None),
        "code_accuracy": (0.87, 0.02),
        "untrained_code_accuracy": (0.72, 0.02),
        "label_accuracy": (0.96, 0.01),
        "energy_gap": (0.05, 0.01),
        "log_loss": (0.4, 0.02),
        "c2st": (0.66, 0.03),
        "classifier_accuracy": (0.98, 0.01),
    }
    metrics = {n: {"value": v, "stderr": e} for n, (v, e) in values.items()}
    result = {
        "status": "completed",
        "steps": 1200,
        "metrics": {"test" if row.file else "train": metrics},
        "seconds": {"evaluate": 30.0},
    }
    (tmp_path / "result.json").write_text(json.dumps(result))
    (tmp_path / "timings.jsonl").write_text('{"step": 50, "seconds": 60.0}\n{"step": 100, "seconds": 30.0}\n')
    assert finished(tmp_path)
    lines = cells(row, tmp_path, 3, "abc1234")
    assert len(lines) == len(row.numbers) >= 1
    for line, number in zip(lines, row.numbers, strict=True):
        found = dict(zip(HEAD, line, strict=True))
        assert found["minutes"] == "2.0"
        assert (found["ours"].startswith("**")) == number.met(number.of(metrics))
        assert found["command"] == f"`python -m benchmarks.papers {found['row']} --seed 3`"


def test_a_goal_is_reached_from_its_side() -> None:
    most, least, none = (Number("a", "exact", lambda m: 0.0, g, "", least=s) for g, s in GOALS)
    assert [most.met(0.9), most.met(1.1), most.wanted] == [True, False, "<= 1"]
    assert [least.met(0.9), least.met(1.1), least.wanted] == [False, True, ">= 1"]
    assert [none.met(0.9), none.met(1.1), none.wanted] == [False, False, ""]


def test_the_document_replaces_a_row_and_keeps_the_rest() -> None:
    def line(row: str, metric: str, ours: str, seed: str = "0") -> list[str]:
        given = {"row": row, "metric": metric, "ours": ours, "seed": seed}
        return [given.get(name, "-") for name in HEAD]

    first, second = ROWS[0].spec, ROWS[1].spec
    text = updated(EMPTY, [line(second, "a", "1")])
    text = updated(text, [line(first, "a", "2"), line(first, "b", "3")])
    again = updated(text, [line(second, "a", "4"), line(second, "a", "5", seed="1")])
    assert again.startswith("# Title\n\nWords.\n\n| row ")
    table = [split(row) for row in again.splitlines() if row.startswith("|")]
    assert table[0] == list(HEAD)
    assert [(r[0], r[4], r[6], r[3]) for r in table[2:]] == [
        (first, "a", "2", "0"),
        (first, "b", "3", "0"),
        (second, "a", "4", "0"),
        (second, "a", "5", "1"),
    ]
    assert updated(again, []) == again


def test_what_stands_in_the_document_is_a_row() -> None:
    table = [split(row) for row in RESULTS.read_text("utf-8").splitlines() if row.startswith("|")]
    known = {(row.spec, number.name) for row in ROWS for number in row.numbers}
    for line in table[2:]:
        assert (line[0], line[HEAD.index("metric")]) in known
        assert "+" not in line[HEAD.index("commit")], "run from a clean checkout"


def test_a_row_without_its_data_is_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["papers", "made_dna", "--data", str(tmp_path)])
    with pytest.raises(SystemExit) as status:
        papers.main()
    assert status.value.code == 2
