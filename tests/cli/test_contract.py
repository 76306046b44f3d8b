"""The contract of the command line on models of different families: exit status, one JSON document, refusals.

What a model can be asked is what explain says, and the reason of a refusal is explain's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gendsl.cli import main
from tests.cli.conftest import Command

FAMILIES = (
    "vae_planar_flow",
    "gan",
    "pixelcnn",
    "realnvp",
    "conditional_vae",
    "vq_vae",
    "energy_model",
    "denoising_autoencoder",
    "semi_supervised_vae",
    "planar_flow_2d",
)
SMALL = ("evaluate.samples=2", "sample.n=4", "train.batch_size=16", "train.log=1")
SMALL_DATA = "data.split={train: 0.9, test: 0.1}"
KINDS = ("exact", "lower", "upper", "estimate", "none")
SECTION_KEYS = {
    "check": {"format_version", "valid", "diagnostics"},
    "explain": {
        "variables",
        "factors",
        "objective",
        "players",
        "capabilities",
        "parameters",
        "memory",
        "flops",
    },
    "graph": {"variables", "factors", "players"},
}
RESULT_KEYS = {"gendsl", "spec", "seed", "steps", "parameters", "data", "metrics", "seconds", "status"}
MORE_KEYS = {"stopped", "warnings"}


@pytest.fixture(scope="module", params=FAMILIES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps."""
    path = tmp_path_factory.mktemp("contract") / str(request.param)
    sets = [*SMALL, *(() if request.param == "planar_flow_2d" else (SMALL_DATA,))]
    threads = torch.get_num_threads()
    options = [part for item in sets for part in ("--set", item)]
    assert main(["run", request.param, "--steps", "2", *options, "--device", "cpu", "--out", str(path)]) == 0
    torch.set_num_threads(threads)
    return path


def trained_steps(run: Path) -> int:
    """Two steps for each stage."""
    return 2 * len(json.loads((run / "graph.json").read_text())["stages"])


@pytest.mark.parametrize("name", FAMILIES)
def test_commands_on_a_spec(name: str, gendsl: Command) -> None:
    for command, keys in SECTION_KEYS.items():
        said = gendsl(command, name, "--json")
        assert (said.status, said.err) == (0, "")
        assert keys <= said.document.keys()
    explained = gendsl("explain", name, "--json").document
    assert gendsl("run", name, "--dry-run", "--json").document == explained
    assert gendsl("graph", name, "--format", "json").out == gendsl("graph", name, "--json").out
    for form, start in (("mermaid", "flowchart"), ("dot", "digraph"), ("text", "")):
        said = gendsl("graph", name, "--format", form)
        assert said.status == 0
        assert said.out.startswith(start)
        assert all(variable in said.out for variable in explained["variables"])
    for term in explained["objective"]["terms"]:
        assert {"name", "formula", "weight", "sign", "estimator", "player"} <= term.keys()
    for plan in explained["capabilities"].values():
        assert plan["how"] or plan["why"]
    assert gendsl("resolve", name, "--json").document["gendsl"] == 1
    for blamed in gendsl("resolve", name, "--blame", "--json").document:
        assert blamed.keys() == {"path", "from"}


def test_the_result_of_a_run(run: Path, gendsl: Command) -> None:
    result = json.loads((run / "result.json").read_text())
    explained = json.loads((run / "graph.json").read_text())
    assert result.keys() == RESULT_KEYS | MORE_KEYS
    assert (result["status"], result["steps"], result["seed"]) == ("completed", trained_steps(run), 0)
    assert result["spec"] == {"name": run.name, "hash": explained["hash"]}
    assert result["parameters"] == explained["parameters"]
    assert result["data"].keys() == {"source", "variant", "split"}
    assert result["seconds"].keys() == {"compile", "train", "evaluate"}
    entries = [entry for metrics in result["metrics"].values() for entry in metrics.values()]
    assert entries
    for entry in entries:
        assert {"value", "unit", "kind"} <= entry.keys()
        assert entry["kind"] in KINDS
        assert (entry["value"] is not None and entry["unit"]) or entry["why"]
    (metrics,) = result["metrics"].values()
    plan = explained["capabilities"]["log_prob"]
    if result["data"]["source"] is not None:
        assert metrics["log_prob"]["kind"] == (plan["kind"] if plan["how"] else "none")
    some = gendsl("evaluate", run, "--split", "train", "--n", "8", "--seed", "1", "--out", "e.json", "--json")
    assert some.document.keys() == result.keys()
    assert json.loads(Path("e.json").read_text()) == some.document
    assert all(e["rows"] == 8 for e in some.document["metrics"]["train"].values() if "rows" in e)


def test_what_a_run_can_be_asked(run: Path, gendsl: Command) -> None:
    """A query either writes its file, or is wrong usage with the reason that explain gives."""
    plans = json.loads((run / "graph.json").read_text())["capabilities"]
    asked: dict[str, tuple[Any, ...]] = {
        "sample": ("sample", run, "--n", "3", "--seed", "1", "--out", "sample.npz"),
        "encode": ("encode", run, "--split", "train", "--n", "3", "--out", "encode.npz"),
        "impute": ("impute", run, "--rate", "0.5", "--out", "impute.png"),
        "compress": ("compress", run, "--out", "compress.bin"),
    }
    for query, words in asked.items():
        if query == "compress" and plans[query]["how"] is not None:
            continue
        said = gendsl(*words, "--json")
        if plans[query]["how"] is None:
            assert (said.status, said.document.keys()) == (2, {"status", "error"})
            assert plans[query]["why"] in said.document["error"]
            assert said.document["error"] in said.err
            assert not Path(words[-1]).exists()
        elif query != "impute" or said.status == 0:
            assert (said.status, said.document["file"]) == (0, words[-1])
            assert Path(words[-1]).is_file()
        else:
            assert "image" in said.document["error"]
    if plans["sample"]["how"] is not None:
        first = np.load("sample.npz")
        assert gendsl(*asked["sample"]).status == 0
        assert all(np.array_equal(first[name], np.load("sample.npz")[name]) for name in first.files)
    if plans["compress"]["how"] is None:
        said = gendsl("decompress", run, "absent.bin", "--out", "d.npz", "--json")
        assert said.status == 2
        assert plans["compress"]["why"] in said.document["error"]
    assert gendsl("report", run, "--out", "page.html", "--json").document == {"file": "page.html"}
    assert Path("page.html").read_bytes() == (run / "report.html").read_bytes()


WRONG: tuple[tuple[str, ...], ...] = (
    ("nothing",),
    ("check",),
    ("check", "gan", "vae"),
    ("check", "nofile.yaml"),
    ("check", "."),
    ("check", "gan", "--device", "tpu"),
    ("explain", "GD999"),
    ("graph", "gan", "--format", "svg"),
    ("graph", "gan", "--format", "dot", "--json"),
    ("components", "flo"),
    ("components", "flow", "plana"),
    ("new", "no/such.yaml"),
    ("new", "a.yaml", "--like", "gann"),
    ("run", "gan", "--steps", "0"),
    ("run", "gan", "--seed", "-1"),
    ("run", "gan", "--out", "RUN"),
    ("resume", "nowhere"),
    ("resume", "."),
    *(
        (command, where)
        for command in ("sample", "encode", "evaluate", "impute", "report")
        for where in ("x", ".")
    ),
    ("verify", "nowhere"),
    ("verify", "RUN", "--set", "train.steps=3"),
    ("verify", "RUN", "--out", "."),
    ("verify", "RUN", "--split", "bogus"),
    ("verify", "RUN", "--n", "1"),
    ("evaluate", "RUN", "--given", "y=3"),
    ("impute", "RUN", "--given", "y=3"),
    ("sample", "RUN", "--n", "0"),
    ("sample", "RUN", "--temperature", "inf"),
    ("sample", "RUN", "--given", "y=3"),
    ("sample", "RUN", "--out", "no/such.npz"),
    ("encode", "RUN", "--split", "bogus"),
    ("encode", "RUN", "--given", "z=3"),
    ("evaluate", "RUN", "--split", "bogus"),
    ("evaluate", "RUN", "--out", "no/such.json"),
    ("evaluate", "RUN", "--n", "0"),
    ("impute", "RUN", "--rate", "2"),
    ("compress", "RUN"),
    ("compress", "RUN", "absent.npz", "--out", "c.bin"),
    ("decompress", "RUN", "absent.bin", "--out", "d.npz"),
    ("report", "RUN", "--out", "no/such.html"),
)


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_usage(words: tuple[str, ...], gendsl: Command, vae: Path) -> None:
    said = gendsl(*(vae if word == "RUN" else word for word in words), "--json")
    assert said.status == 2
    assert said.document.keys() == {"status", "error"}
    assert said.document["status"] == "failed"
    assert said.document["error"] in said.err


@pytest.mark.parametrize("command", ["check", "explain", "graph", "resolve", "run", "verify"])
def test_a_refused_spec(command: str, gendsl: Command, tmp_path: Path) -> None:
    """Every command that takes a spec refuses it alike: status 1 and the diagnostics."""
    (tmp_path / "bad.yaml").write_text("gendsl: 1\nprior: {z: {dist: nrmal, shape: [2]}}\n")
    said = gendsl(command, "bad.yaml", "--json")
    assert said.status == 1
    assert said.document == gendsl("check", "bad.yaml", "--json").document
    assert not said.document["valid"]
    place = said.document["diagnostics"][0]
    assert {"code", "severity", "message", "file", "range", "help", "related"} == place.keys()
    people = gendsl(command, "bad.yaml")
    assert (people.status, people.out) == (1, "")
    assert "bad.yaml:2:" in people.err


def test_failures_while_running(gendsl: Command, vae: Path, tmp_path: Path) -> None:
    """Not finite: status 3 and the result so far; a folder that cannot be made: 3."""
    said = gendsl("run", "vae", "--steps", "9", "--set", "train.optim.lr=1e30", "--out", "nan", "--json")
    assert said.status == 3
    assert (said.document["status"], said.document["metrics"]) == ("nan", {})
    assert said.document["error"] in said.err
    (tmp_path / "file").write_text("")
    said = gendsl("run", "vae", "--steps", "1", "--out", "file/run", "--json")
    assert (said.status, said.document.keys()) == (3, {"status", "error"})


def test_components_new_and_the_schema(gendsl: Command) -> None:
    everything = gendsl("components", "--json").document
    assert everything["flow"] == gendsl("components", "flow", "--json").document["flow"]
    planar = gendsl("components", "flow", "planar", "--json").document
    assert {"description", "parameters"} <= planar.keys()
    assert gendsl("new", "mine.yaml", "--like", "gan", "--json").document == {
        "file": "mine.yaml",
        "like": "gan",
    }
    assert gendsl("check", "mine.yaml", "--json").document["valid"]
    page = gendsl("explain", "GD210", "--json").document
    assert page.keys() == {"code", "title", "text"}
    assert page["title"] in gendsl("explain", "GD210").out
