"""Commands that look at specs: check, explain, graph, resolve, schema, components, new."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gendsl.compiler.pipeline import analyse
from gendsl.compiler.resolve import model_hash
from gendsl.schema.load import load
from tests.cli.conftest import Command

WRONG = ("nosuch", "check", "check --bogus vae", "run vae --seed -1", "run vae --steps 0", "new")
MISSING = (
    "check nosuch.yaml",
    "explain nosuch",
    "graph nosuch",
    "resolve nosuch",
    "run nosuch.yaml",
    "verify nosuch",
)
NO_RUN = ("sample", "evaluate", "encode", "report", "resume")


@pytest.mark.parametrize(
    "line", [*WRONG, *MISSING, *(f"{c} nosuch" for c in NO_RUN), *(f"{c} ." for c in NO_RUN)]
)
def test_wrong_usage_is_status_2(line: str, gendsl: Command) -> None:
    """Words on standard error, nothing on standard output; with --json one document there."""
    said = gendsl(*line.split())
    assert said.status == 2
    assert said.out == ""
    assert said.err.strip()
    document = gendsl(*line.split(), "--json").document
    assert document["status"] == "failed"
    assert document["error"]


def test_version(gendsl: Command) -> None:
    assert re.fullmatch(r"gendsl \d+\.\d+\.\d+\n", gendsl("--version").out)


def test_check(gendsl: Command) -> None:
    good = gendsl("check", "vae", "--json")
    assert (good.status, good.err) == (0, "")
    assert good.document == {"format_version": 1, "valid": True, "diagnostics": []}
    words = gendsl("check", "vae")
    assert words.status == 0
    assert "vae: valid, 177,248 parameters" in words.out


def test_check_of_a_wrong_spec(gendsl: Command, tmp_path: Path) -> None:
    text = "gendsl: 1\ndata: {source: digits, bind: {x: image}}\nprior: {z: {dist: norml, shape: [2]}}\ntrane: {}\n"
    (tmp_path / "wrong.yaml").write_text(text)
    said = gendsl("check", "wrong.yaml", "--json")
    assert (said.status, said.err) == (1, "")
    body = said.document
    assert (body["format_version"], body["valid"]) == (1, False)
    codes = {d["code"] for d in body["diagnostics"]}
    assert codes == {"GD201", "GD210"}
    for found in body["diagnostics"]:
        assert found.keys() == {"code", "severity", "message", "file", "range", "help", "related"}
        assert found["severity"] == "error"
        assert found["file"] == "wrong.yaml"
        line = text.splitlines()[found["range"]["start"]["line"] - 1]
        cut = line[found["range"]["start"]["column"] - 1 : found["range"]["end"]["column"] - 1]
        assert cut in ("norml", "trane")
    words = gendsl("check", "wrong.yaml")
    assert (words.status, words.out) == (1, "")
    assert "error[GD210]" in words.err
    assert "wrong.yaml:3:19" in words.err
    assert "\x1b" not in words.err
    assert gendsl("run", "wrong.yaml", "--json").document == body
    assert not list(tmp_path.glob("runs"))


def test_set_and_unset(gendsl: Command) -> None:
    assert gendsl("check", "vae", "--set", "train.stepz=4").status == 1
    assert gendsl("check", "vae", "--set", "nonsense").status == 1
    assert gendsl("check", "vae", "--unset", "nope.x").status == 1
    assert "177,248" not in gendsl("check", "vae", "--set", "prior.z.shape=[4]").out
    assert (
        gendsl("check", "vae", "--unset", "train", "--set", "decoder.x.net={type: mlp, hidden: [8]}").status
        == 0
    )


def test_explain_a_spec(gendsl: Command) -> None:
    body = gendsl("explain", "vae_planar_flow", "--json").document
    assert body["variables"].keys() == {"x", "z"} if isinstance(body["variables"], dict) else True
    assert {t["name"] for t in body["objective"]["terms"]} == {"reconstruction.x", "kl.z"}
    for term in body["objective"]["terms"]:
        assert {"name", "formula", "weight", "sign", "estimator", "player", "kind", "of"} <= term.keys()
    assert body["capabilities"]["sample"]["how"] == "ancestral"
    assert body["capabilities"]["log_prob"]["kind"] == "lower"
    assert body["capabilities"]["compress"]["how"] is None
    assert body["capabilities"]["compress"]["why"]
    assert "p(x, z) = p(z) p(x | z)" in gendsl("explain", "vae_planar_flow").out


def test_explain_a_code(gendsl: Command) -> None:
    assert gendsl("explain", "GD210").out.startswith("GD210: ")
    assert gendsl("explain", "gd210", "--json").document["code"] == "GD210"
    unknown = gendsl("explain", "GD999")
    assert unknown.status == 2
    assert "no diagnostic GD999" in unknown.err


@pytest.mark.parametrize(
    ("form", "mark"), [("text", "x"), ("mermaid", "flowchart"), ("dot", "digraph"), ("json", "{")]
)
def test_graph(form: str, mark: str, gendsl: Command) -> None:
    said = gendsl("graph", "vae", "--format", form)
    assert said.status == 0
    assert mark in said.out
    assert gendsl("graph", "vae", "--format", "bogus").status == 2


@pytest.mark.parametrize("form", ["text", "mermaid", "dot"])
@pytest.mark.parametrize(
    ("spec", "label"), [("vae_planar_flow", "planar x 16 on normal"), ("vae_iaf", "inverse_ar x 4 on normal")]
)
def test_a_graph_shows_the_flow_on_top_of_a_posterior(
    spec: str, label: str, form: str, gendsl: Command
) -> None:
    assert label in gendsl("graph", spec, "--format", form).out


def test_a_graph_shows_the_flow_on_top_of_a_prior(gendsl: Command) -> None:
    assert "-> z   p, coupling x 6 on normal" in gendsl("graph", "vae_flow_prior").out


@pytest.mark.parametrize("name", ["vae_planar_flow", "gan", "realnvp", "conditional_vae"])
def test_resolve_can_be_run_again(name: str, gendsl: Command, tmp_path: Path) -> None:
    """The same model: the same hash, and the same text when it is resolved once more."""
    said = gendsl("resolve", name)
    (tmp_path / "again.yaml").write_text(said.out)
    assert model_hash(analyse(load(tmp_path / "again.yaml"))) == model_hash(analyse(load(name)))
    assert gendsl("resolve", "again.yaml").out == said.out


def test_resolve_blame(gendsl: Command) -> None:
    said = gendsl("resolve", "vae_planar_flow", "--set", "train.steps=5", "--blame", "--json")
    places = {row["path"]: row["from"] for row in said.document}
    assert places["train.steps"].startswith("<--set>")
    assert "vae_planar_flow.yaml:" in next(v for k, v in places.items() if k.startswith("encoder.z.flow"))
    assert "vae.yaml:" in places["decoder.x.given"]
    assert places["train.ema"] == "default"
    assert "prior.z.shape" not in places or places["prior.z.shape"] != "default"


def test_schema(gendsl: Command) -> None:
    assert gendsl("schema").document["$schema"]


def test_components(gendsl: Command) -> None:
    assert "planar" in gendsl("components", "flow").out
    assert "repeat: " in gendsl("components", "flow", "planar").out
    assert "planar" in gendsl("components", "--json").document["flow"]
    wrong = gendsl("components", "flow", "planer")
    assert wrong.status == 2
    assert "did you mean 'planar'?" in wrong.err
    assert gendsl("components", "flwo").status == 2


def test_new(gendsl: Command, tmp_path: Path) -> None:
    assert gendsl("new", "mine.yaml", "--like", "vae_planar_flow").status == 0
    assert gendsl("check", "mine.yaml").status == 0
    before = (tmp_path / "mine.yaml").read_text()
    assert gendsl("new", "mine.yaml").status == 2
    assert (tmp_path / "mine.yaml").read_text() == before
    assert "did you mean 'vae'" in gendsl("new", "other.yaml", "--like", "vaee").err
    assert gendsl("new", "nofolder/other.yaml").status == 2
