"""A model in one file: what comes back is the model, without its data, and another file is refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import gendsl
from gendsl.errors import DataError, RunError, UsageError
from gendsl.runtime import bundle
from gendsl.runtime import run as runs

SPEC = """gendsl: 1
name: rows
data: {source: csv, path: rows.csv, columns: {a: {}, kind: {classes: 3}}, bind: {x: {column: a, as: [standardize]}, y: kind}}
condition: [y]
prior: {z: {dist: normal, shape: [2]}}
decoder: {x: {given: [z, y], dist: normal, net: {type: mlp, hidden: [4]}}}
encoder: {z: {given: [x, y], dist: normal, net: {type: mlp, hidden: [4]}}}
train: {steps: 2, batch_size: 4, ema: 0.9, log: 1}
evaluate: {samples: 2, metrics: [log_prob]}
sample: {n: 2}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run in `a` and its export in `a.zip`; the data are gone."""
    (tmp_path / "rows.csv").write_text("a,kind\n" + "".join(f"{i / 7},{i % 3}\n" for i in range(40)))
    (tmp_path / "rows.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    session = runs.start(gendsl.load("rows.yaml"), out=Path("a"))
    try:
        runs.finish(session)
    finally:
        session.run.close()
    runs.export(Path("a"), Path("a.zip"))
    torch.set_num_threads(threads)
    return tmp_path


def draws(path: str, n: int = 5) -> torch.Tensor:
    model = gendsl.restore(path)
    torch.manual_seed(3)
    return model.sample(n, {"y": torch.arange(n) % 3})["x"]


def test_the_model_comes_back_without_its_data(folder: Path) -> None:
    expected = draws("a")
    (folder / "rows.csv").unlink()
    assert torch.equal(draws("a.zip"), expected)
    assert expected.std() > 0.01
    trained = runs.restored(folder / "a.zip")
    manifest = json.loads(zipfile.ZipFile("a.zip").read("manifest.json"))
    assert trained.step == manifest["step"] == 2
    assert trained.graph.resources.parameters == manifest["parameters"]
    with pytest.raises(DataError, match=r"no such file or folder: rows\.csv"):
        assert trained.data


def test_the_file_is_plain_and_repeatable(folder: Path) -> None:
    """Equal bytes; the spec inside is a spec, the weights are those that are used."""
    runs.export(folder / "a", folder / "b.zip")
    assert (folder / "a.zip").read_bytes() == (folder / "b.zip").read_bytes()
    runs.export(folder / "a.zip", folder / "b.zip")
    assert (folder / "a.zip").read_bytes() == (folder / "b.zip").read_bytes()
    with zipfile.ZipFile("a.zip") as archive:
        assert archive.testzip() is None
        archive.extractall("out")
    assert gendsl.load(folder / "out" / "spec.yaml").name == "rows"
    used = runs.restored(folder / "a").model.state_dict()
    inside = load_file(folder / "out" / "model.safetensors")
    assert inside.keys() == used.keys()
    assert all(torch.equal(inside[name], used[name]) for name in used)
    assert not list(folder.glob(".*.tmp"))


def rewritten(path: Path, change: dict[str, bytes], compress: int = zipfile.ZIP_STORED) -> None:
    """The archive with some entries replaced."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()} | change
    with zipfile.ZipFile(path, "w", compress) as archive:
        for name, body in files.items():
            archive.writestr(name, body)


def test_damage_is_named(folder: Path) -> None:
    whole = (folder / "a.zip").read_bytes()
    path = folder / "a.zip"
    weights = zipfile.ZipFile(path).read("model.safetensors")
    for change, words in (
        ({"model.safetensors": weights[:-4] + b"\1\2\3\4"}, "model.safetensors is altered"),
        ({"spec.yaml": b"gendsl: 1\n"}, "spec.yaml is altered"),
        ({"manifest.json": b"{}"}, "damaged"),
        ({"manifest.json": b"[1"}, "damaged"),
        ({"manifest.json": b"[]"}, "damaged"),
    ):
        path.write_bytes(whole)
        rewritten(path, change)
        with pytest.raises(RunError, match=words):
            gendsl.restore(path)
    path.write_bytes(whole)
    rewritten(path, {}, zipfile.ZIP_DEFLATED)
    with pytest.raises(RunError, match="do not fit"):
        gendsl.restore(path)
    rewritten(path, {"more": b""})
    with pytest.raises(UsageError, match="did not write"):
        gendsl.restore(path)
    for body in (b"", b"not a zip", whole[:-30]):
        path.write_bytes(body)
        with pytest.raises(UsageError, match="neither a run directory"):
            gendsl.restore(path)


@pytest.mark.parametrize(
    "name", ["vae", "semi_supervised_vae", "planar_flow_2d", "char_rnn", "missing_data_vae"]
)
def test_facts_survive(name: str) -> None:
    """The facts of a source come back equal, infinite bounds and words of labels among them."""
    from gendsl.compiler.pipeline import analyse

    source = analyse(gendsl.load(name)).source
    if source is not None:
        assert bundle.facts_of(json.loads(json.dumps(bundle.facts_json(source)))) == source
