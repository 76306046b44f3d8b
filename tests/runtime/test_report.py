"""The report: self-contained, safe with untrusted text, complete, well-formed, robust to what is missing."""

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from gendsl.runtime.metrics import judge_real, sample_quality
from gendsl.runtime.pictures import save_grid, save_pairs, save_points
from gendsl.runtime.report import write_report
from gendsl.runtime.report.axes import Axis, smoothed, step_axis, thinned, value_axis
from gendsl.runtime.report.diagram import diagram
from gendsl.runtime.report.highlight import maths_html, yaml_html
from gendsl.runtime.report.words import JUDGES, number, seconds, with_error

EVIL = "<script>alert('x')</script>\"&<img src=x onerror=alert(1)>"
VOID = {"meta", "img", "br", "hr", "input", "link"}
SVG_LEAVES = {"circle", "line", "path", "rect"}


class Reader(HTMLParser):
    """Collects the page's elements and its text, and fails on a tag that is closed out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in SVG_LEAVES, tag
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


def parsed(run: Path) -> tuple[str, Reader]:
    page = write_report(run).read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return page, reader


def text_of(run: Path) -> str:
    return re.sub(r"\s+", " ", "".join(parsed(run)[1].text))


def images(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def write(run: Path, documents: dict[str, Any]) -> Path:
    run.mkdir(parents=True, exist_ok=True)
    for name, content in documents.items():
        if isinstance(content, str):
            text = content
        elif isinstance(content, list):
            text = "".join(json.dumps(line) + "\n" for line in content)
        else:
            text = json.dumps(content)
        (run / name).write_text(text, encoding="utf-8")
    return run


def vae_lines(last: int = 2000) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for step in range(10, last + 1, 10):
        fall, noise = math.exp(-step / 350), 0.5 * math.sin(step * 1.7) + 0.4 * math.sin(step * 0.61)
        terms = {"reconstruction.x": 16.5 + 24 * fall + noise, "kl.z": 8.4 * (1 - fall) + 0.2 * noise}
        rates = {"grad_norm.model": 900 * fall + 2.0 + noise, "kl.z.active": 13, "kl.z.units": 16}
        lines.append(
            {
                "step": step,
                "split": "train",
                "terms": terms,
                "losses": {"model": sum(terms.values())},
                "diagnostics": rates,
            }
        )
        if step % 200 == 0:
            valid = {"reconstruction.x": 17.2 + 24 * fall, "kl.z": 8.3 * (1 - fall)}
            lines.append(
                {"step": step, "split": "valid", "terms": valid, "losses": {"model": sum(valid.values())}}
            )
    return lines


VAE_SPEC = """\
gendsl: 1
name: vae_planar_flow
# a VAE whose posterior is bent by sixteen planar maps
data:    {source: digits, bind: {x: {column: image, as: [{binarize: static}]}}}
prior:   {z: {dist: normal, shape: [16]}}
decoder: {x: {given: z, dist: bernoulli, net: mlp}}
encoder:
  z:
    given: x
    dist: normal
    net: {type: mlp, hidden: [128, 128]}
    flow:
      - {type: planar, repeat: 16}
train:
  steps: 2000
  optim: {type: adam, lr: 1e-3, clip: 1.0}
  validate: {every: 200}
run: {seed: 0, device: "cpu", compile: false}
"""
VAE_EXPLAIN = """\
vae_planar_flow

model      p(x, z) = p(z) p(x | z)
inference  q(z | x)
           q(z | x) = N(e; mu(x), sigma(x)^2) |det J|^-1, z = f16 ... f1(e)

variables
  x   observed  {0, 1}  [1, 8, 8]
  z   latent    reals   [16]

objective  (minimised by: model)
  + reconstruction.x   -E_q log p(x | z)              weight 1   reparameterised
  + kl.z                E_q [log q(z | x) - log p(z)]  weight 1   sampled (q has a flow)

can be asked
  sample    ancestral
  log_prob  lower   iwae
"""
VAE_GRAPH = {
    "variables": [
        {"name": "z", "role": "latent", "shape": [16], "observed": "never"},
        {"name": "x", "role": "observed", "shape": [1, 8, 8], "observed": "always"},
    ],
    "factors": [
        {"section": "prior", "variable": "z", "given": []},
        {"section": "decoder", "variable": "x", "given": ["z"]},
        {"section": "encoder", "variable": "z", "given": ["x"]},
    ],
}
ENVIRONMENT = {
    "gendsl": "0.1.0",
    "python": "3.11.9",
    "packages": {"torch": "2.13.0", "numpy": "2.3.1"},
    "platform": "Linux-6.1-x86_64",
    "device": "cpu",
    "threads": 1,
}


def vae_run(run: Path, real: torch.Tensor | None = None) -> Path:
    real = images(64) if real is None else real
    noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(3))
    fake = (real.flip(0) * 0.85 + 0.05 + 0.12 * noise).clamp(0, 1)
    save_grid(run / "samples/samples-step-000500.png", (fake * 0.5 + 0.25)[:64], 16)
    save_grid(run / "samples/samples-step-001000.png", (fake * 0.8 + 0.1)[:64], 16)
    save_grid(run / "samples/samples-step-002000.png", fake[:64], 16)
    save_pairs(run / "samples/reconstructions.png", real[:16], fake.flip(0)[:16], 16)
    bound = {"kind": "lower", "estimator": "iwae", "samples": 500, "stderr": 0.21, "unit": "nats"}
    test = {
        "log_prob": {"value": -24.13, **bound},
        "bits_per_dim": {
            "value": 0.5441,
            "kind": "upper",
            "stderr": 0.0047,
            "estimator": "iwae",
            "samples": 500,
        },
        "elbo": {"value": -25.02, **bound, "estimator": "elbo"},
        **sample_quality(real, fake, seed=0),
    }
    return write(
        run,
        {
            "spec.yaml": VAE_SPEC,
            "resolved.yaml": VAE_SPEC,
            "overrides.txt": "train.steps=2000\n",
            "explain.txt": VAE_EXPLAIN,
            "graph.json": VAE_GRAPH,
            "environment.json": ENVIRONMENT,
            "metrics.jsonl": vae_lines(),
            "timings.jsonl": [
                {"step": s, "seconds": 0.015 + 0.002 * math.sin(s)} for s in range(10, 2001, 10)
            ],
            "result.json": {
                "gendsl": "0.1.0",
                "spec": {"name": "vae_planar_flow", "hash": "3f9a1c7e"},
                "seed": 0,
                "steps": 2000,
                "parameters": 123456,
                "data": {
                    "source": "digits",
                    "variant": "binarize:static",
                    "split": {"train": 1437, "test": 360},
                },
                "metrics": {"test": test, "train": {"log_prob": {"value": -22.81, **bound}}},
                "seconds": {"compile": 0.8, "train": 31.2, "evaluate": 2.0},
                "status": "completed",
            },
        },
    )


def gan_run(run: Path, real: torch.Tensor | None = None) -> Path:
    real = images(64) if real is None else real
    fake = (
        real[:4].repeat(len(real) // 4, 1, 1, 1)
        + 0.01 * torch.randn(real.shape, generator=torch.Generator().manual_seed(4))[: len(real) // 4 * 4]
    )
    save_grid(run / "samples/samples.png", fake[:64], 16)
    lines = [
        {
            "step": s,
            "split": "train",
            "terms": {"adversary.d": 0.1 + math.exp(-s / 300)},
            "losses": {"model": 1.0 + s / 400 + 0.3 * math.sin(s), "adversary.d": 0.1 + math.exp(-s / 300)},
            "diagnostics": {"adversary.d.accuracy": 1.0 - 0.4 * math.exp(-s / 80)},
        }
        for s in range(20, 2001, 20)
    ]
    none = {"value": None, "kind": "none", "why": "x is deterministic given z: the model has no density"}
    return write(
        run,
        {
            "spec.yaml": "gendsl: 1\nname: gan\nprior: {z: {dist: normal, shape: [64]}}\n"
            "decoder: {x: {given: z, dist: deterministic, net: conv_up}}\n"
            "adversary: {d: {sees: x, loss: non_saturating, net: conv_down}}\n",
            "explain.txt": "gan\n  p(x, z) = p(z) p(x | z)\n  D(x): real against generated\n",
            "graph.json": {
                "nodes": [{"id": "z"}, {"id": "x", "observed": True}],
                "edges": [{"source": "z", "target": "x"}],
            },
            "environment.json": ENVIRONMENT,
            "metrics.jsonl": lines,
            "result.json": {
                "spec": {"name": "gan"},
                "seed": 3,
                "steps": 2000,
                "parameters": 88211,
                "data": {"source": "digits"},
                "metrics": {
                    "test": {"log_prob": none, "bits_per_dim": none, **sample_quality(real, fake, seed=0)}
                },
                "warnings": ["The column y is bound and never used."],
                "status": "completed",
            },
        },
    )


def flow_run(run: Path, real: torch.Tensor | None = None) -> Path:
    generator = torch.Generator().manual_seed(0)
    real = torch.randn(400, 2, generator=generator) if real is None else real
    fake = real.flip(0) + 0.1 * torch.randn(real.shape, generator=generator)
    save_points(run / "samples/points.png", fake, real)
    lines = []
    for step in range(20, 3001, 20):
        value = 0.4 + 2.2 * math.exp(-step / 400) + 0.05 * math.sin(step)
        lines.append(
            {"step": step, "split": "train", "terms": {"likelihood.x": value}, "losses": {"model": value}}
        )
    exact = {
        "value": -0.412,
        "kind": "exact",
        "stderr": 0.013,
        "unit": "nats",
        "estimator": "change of variables",
    }
    return write(
        run,
        {
            "spec.yaml": "gendsl: 1\nname: nsf_moons\nflow: {x: {given: z, stack: [coupling]}}\n",
            "resolved.yaml": "gendsl: 1\nname: nsf_moons\n",
            "explain.txt": "nsf_moons\n  p(x) = p_z(f(x)) |det df/dx|\n",
            "metrics.jsonl": lines,
            "result.json": {
                "spec": {"name": "nsf_moons"},
                "seed": 1,
                "steps": 3000,
                "parameters": 5400,
                "data": {"source": "two_moons", "split": {"train": 2000, "test": 500}},
                "metrics": {"test": {"log_prob": exact, **sample_quality(real, fake, seed=0)}},
                "seconds": {"train": 140.0, "evaluate": 1.0},
                "status": "completed",
            },
        },
    )


def early_run(run: Path) -> Path:
    write(run, {"spec.yaml": VAE_SPEC, "explain.txt": VAE_EXPLAIN, "metrics.jsonl": vae_lines(430)})
    with (run / "metrics.jsonl").open("a") as lines:
        lines.write('{"step": 440, "split": "tr')
    return run


RUNS: dict[str, Callable[[Path], Path]] = {
    "vae": vae_run,
    "gan": gan_run,
    "flow": flow_run,
    "early": early_run,
}


@pytest.fixture(params=sorted(RUNS))
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return RUNS[request.param](tmp_path / f"{request.param}-0-1")


def test_the_page_is_well_formed_and_fetches_nothing(run: Path) -> None:
    page, reader = parsed(run)
    assert page.startswith("<!doctype html>")
    for tag, attributes in reader.elements:
        for name, value in attributes.items():
            if name in ("src", "href", "action", "poster", "srcset", "data"):
                assert (value or "").startswith(("data:image/png;base64,", "#")), (tag, name)
            assert not name.startswith("on"), "an inline handler"
            assert name != "style", "the policy refuses it"
    assert "link" not in {tag for tag, _ in reader.elements}
    assert "@import" not in page
    assert not re.search(r"url\((?!#tip\))", page)
    assert not re.search(r"https?://", page)


def test_the_policy_allows_only_the_style_and_script_of_the_page(run: Path) -> None:
    page, reader = parsed(run)
    policy = next(a["content"] for a in reader.attributes("meta") if "http-equiv" in a) or ""
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_everything_can_be_read_aloud(run: Path) -> None:
    _, reader = parsed(run)
    assert all((a.get("alt") or "").strip() for a in reader.attributes("img"))
    assert all(a.get("aria-label") for a in reader.attributes("svg"))
    levels = [int(tag[1]) for tag, _ in reader.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    ids = [a["id"] for _, a in reader.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {str(a["href"])[1:] for a in reader.attributes("a")} <= set(ids)


def test_equal_files_give_equal_bytes(run: Path) -> None:
    assert write_report(run).read_bytes() == write_report(run).read_bytes()


def test_every_term_loss_diagnostic_metric_and_kind_is_on_the_page(tmp_path: Path) -> None:
    run = vae_run(tmp_path / "vae-0-1")
    page, reader = parsed(run)
    text = text_of(run)
    for name in ("reconstruction.x", "kl.z", "model", "grad_norm.model", "kl.z.active", "kl.z.units"):
        assert name in text
    result = json.loads((run / "result.json").read_text())
    for name, entry in result["metrics"]["test"].items():
        assert name in text
        assert with_error(entry["value"], entry["stderr"])[0] in text
    assert "The true value is at least this." in text
    assert "The true value is at most this." in text
    assert "iwae · 500 samples · standard error 0.21" in text
    assert "−22.81" in text
    panels = [a for a in reader.attributes("svg") if "data-box" in a]
    reconstruction = next(a for a in panels if (a["aria-label"] or "").startswith("reconstruction.x over"))
    assert json.loads(reconstruction["data-valid"] or "")[-1][0] == 2000
    assert 100 < len(json.loads(reconstruction["data-train"] or "")) <= 240
    assert page.count("data:image/png") == 4


def test_the_judges_stand_beside_real_against_real(tmp_path: Path) -> None:
    run = vae_run(tmp_path / "vae-0-1")
    text = text_of(run)
    metrics = json.loads((run / "result.json").read_text())["metrics"]["test"]
    assert set(JUDGES) == set(judge_real(images(40), 0)) <= set(metrics)
    for name in JUDGES:
        floor = metrics[name]["floor"]
        assert with_error(floor["value"], floor["stderr"])[0] in text
        assert metrics[name]["note"] in text


def test_a_number_that_a_model_has_not_is_explained(tmp_path: Path) -> None:
    text = text_of(gan_run(tmp_path / "gan-3-1"))
    assert "no value Log-likelihood log_prob: x is deterministic given z: the model has no density" in text
    assert "The column y is bound and never used." in text
    assert "Mode collapse" in text
    assert "with an accuracy above 99 %" in text
    assert "reconstruction" not in text


def test_where_a_run_comes_from_is_told(tmp_path: Path) -> None:
    text = text_of(vae_run(tmp_path / "vae-0-1"))
    assert "p(x, z) = p(z) p(x | z)" in text
    assert "digits binarize:static" in text
    assert "1 437 train, 360 test" in text
    assert "packages.torch2.13.0" in text
    assert "spec 3f9a1c7e" in text
    assert "gendsl run vae-0-1/resolved.yaml --seed 0" in text
    assert "gendsl run vae-0-1/spec.yaml --set train.steps=2000 --seed 0" in text
    assert "gendsl resume" not in text
    assert "train 31.2 s" in text


def test_the_command_quotes_what_a_shell_would_read(tmp_path: Path) -> None:
    run = write(
        tmp_path / "a b",
        {
            "spec.yaml": "gendsl: 1\n",
            "overrides.txt": "name=x; rm -rf $HOME\n--unset train.ema\n--seed 7\n",
            "result.json": {"seed": 7, "status": "interrupted"},
        },
    )
    text = text_of(run)
    assert "gendsl run 'a b/spec.yaml' --set 'name=x; rm -rf $HOME' --unset train.ema --seed 7" in text
    assert text.count("--seed 7") == 2
    assert "gendsl resume 'a b'" in text


def test_untrusted_text_stays_text(tmp_path: Path) -> None:
    run = tmp_path / "evil-0-1"
    save_grid(run / "samples" / "<b>&.png", images(2))
    write(
        run,
        {
            "spec.yaml": f"gendsl: 1\nname: {EVIL}\nx{EVIL}: '{EVIL}' # {EVIL}\n",
            "resolved.yaml": EVIL,
            "overrides.txt": EVIL,
            "explain.txt": f"p(x) = {EVIL}\n{EVIL}",
            "graph.json": {
                "variables": [{"name": EVIL}, {"name": "x"}],
                "factors": [{"variable": "x", "given": [EVIL]}],
            },
            "environment.json": {EVIL: {EVIL: [EVIL]}},
            "metrics.jsonl": [
                {
                    "step": s,
                    "split": "train",
                    "terms": {EVIL: 1.0 / s},
                    "losses": {EVIL: s},
                    "diagnostics": {EVIL: s * s},
                }
                for s in range(1, 5)
            ],
            "timings.jsonl": [{"step": s, EVIL: s} for s in (1, 2)],
            "result.json": {
                "gendsl": EVIL,
                "spec": {"name": EVIL, "hash": EVIL},
                "seed": EVIL,
                "steps": EVIL,
                "parameters": EVIL,
                "data": {"source": EVIL, "variant": EVIL, "split": {EVIL: EVIL}},
                "metrics": {
                    EVIL: {
                        EVIL: {"value": 1, "kind": EVIL, "unit": EVIL, "estimator": EVIL, "note": EVIL},
                        "mmd": {"value": 0.1, "note": EVIL, "floor": EVIL, "samples": EVIL},
                        "log_prob": {"value": None, "kind": "none", "why": EVIL},
                    }
                },
                "seconds": {EVIL: 1.0},
                "warnings": [EVIL],
                "status": EVIL,
            },
        },
    )
    page, reader = parsed(run)
    assert len(reader.attributes("script")) == 1
    assert len(reader.attributes("img")) == 1
    assert len(reader.attributes("b")) == len(re.findall("<b>", page))
    assert "<script>alert" not in page
    assert "".join(reader.text).count("<script>alert('x')</script>") > 20
    assert not any("onerror" in attributes for _, attributes in reader.elements)


def test_a_run_that_stopped_early_says_what_is_missing(tmp_path: Path) -> None:
    text = text_of(early_run(tmp_path / "early-0-1"))
    assert "The run has no result: it stopped after step 430" in text
    assert "No metrics were recorded." in text
    for words in (
        "result.json: the final numbers",
        "samples: the pictures",
        "metrics.jsonl: 1 unreadable line",
    ):
        assert words in text
    assert "overrides.txt" not in text
    assert "gendsl resume early-0-1" in text
    assert "vae_planar_flow" in text


def test_an_empty_directory_still_gives_a_page(tmp_path: Path) -> None:
    text = text_of(tmp_path)
    assert text.count("spec.yaml: the spec as it was given") == 1
    assert "before its first record" in text
    with pytest.raises(NotADirectoryError, match="not a run directory"):
        write_report(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "junk", ["", "{", "[]", "null", "3", '{"metrics": 3, "seconds": [], "data": 7, "spec": 1}', "\x00\xff"]
)
def test_damaged_files_are_named_and_survived(tmp_path: Path, junk: str) -> None:
    run = vae_run(tmp_path / "vae-0-1")
    for name in (
        "result.json",
        "graph.json",
        "environment.json",
        "metrics.jsonl",
        "timings.jsonl",
        "explain.txt",
    ):
        (run / name).write_text(junk, encoding="latin-1")
    (run / "samples" / "broken.png").write_bytes(b"no picture")
    (run / "samples" / "short.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    text = text_of(run)
    assert "samples/broken.png: not a PNG file" in text
    assert "samples/short.png: not a PNG file" in text


def test_values_that_are_not_finite_leave_gaps_and_are_named(tmp_path: Path) -> None:
    lines = [
        {
            "step": s,
            "split": "train",
            "terms": {"kl.z": float("nan") if s > 2 else 1.0 / s, "energy.x": float("inf")},
        }
        for s in range(1, 6)
    ]
    metrics = {"log_prob": {"value": float("nan"), "kind": "lower"}, "elbo": 4.0}
    run = write(tmp_path / "r", {"metrics.jsonl": lines, "result.json": {"metrics": {"test": metrics}}})
    text = text_of(run)
    assert "kl.z was not finite, first at step 3." in text
    assert "energy.x was never finite." in text
    assert "not a number" in text


def test_pictures_keep_their_size_and_the_last_of_a_series_leads(tmp_path: Path) -> None:
    run = tmp_path / "r"
    for step in range(100, 2100, 100):
        save_grid(run / f"samples/samples-step-{step:06d}.png", images(4, seed=step))
    _, reader = parsed(run)
    shown = reader.attributes("img")
    assert len(shown) == 1 + 8
    assert shown[0]["alt"] == "4 images in a grid of 2 columns, at step 2 000".replace(" 000", "\u202f000")
    assert (shown[0]["width"], shown[0]["height"]) == ("132", "132")
    assert "at step 100" in (shown[1]["alt"] or "")
    assert [a["class"] for a in reader.attributes("figure")] == ["full pixels"] + ["frame pixels"] * 8


def test_numbers_are_printed_for_people() -> None:
    assert [number(v) for v in (0, -1.5, 123456, 0.00012345, 2.5e9, None, float("nan"))] == [
        "0",
        "−1.500",
        "123\u202f456",
        "1.23e−4",
        "2\u202f500\u202f000\u202f000",
        "–",
        "not a number",
    ]
    assert with_error(24.1312, 0.2077) == ("24.13", "0.21")
    assert with_error(-24.1312, 0.0471) == ("−24.13", "0.05")
    assert with_error(3.0, None) == ("3.000", "")
    assert [seconds(v) for v in (0.8, 31.24, 150, 7300, None)] == [
        "0.800 s",
        "31.2 s",
        "2 min 30 s",
        "2 h 1 min",
        "–",
    ]


@pytest.mark.parametrize(
    "values", [[0.0, 1.0], [-3e5, 2e5], [1e-9, 2e-9], [5.0, 5.0], [0.0, 0.0], [1e-3, 1e4], [-7.3]]
)
def test_an_axis_holds_its_values_and_has_a_few_round_ticks(values: list[float]) -> None:
    axis = value_axis(values)
    assert all(0.0 < axis(v) < 1.0 for v in values)
    labels = axis.labels(4)
    assert 2 <= len(labels) <= 9
    assert len({label for _, label in labels}) == len(labels)
    assert all(axis.low - 1e-9 <= tick <= axis.high + 1e-9 for tick, _ in labels)
    places = [axis(tick) for tick, _ in labels]
    assert places == sorted(places)


def test_an_axis_is_logarithmic_over_decades_and_cuts_a_first_shock() -> None:
    assert value_axis([0.01, 5.0]).log
    assert not value_axis([-0.01, 5.0]).log
    shocked = value_axis([1e4, *(-1.0 - i / 100 for i in range(100))])
    assert shocked.high < 1.0
    assert shocked(1e4) == 1.0
    assert step_axis([7.0]) == Axis(6.0, 8.0)


def test_thinning_and_smoothing_keep_the_mean_and_the_ends() -> None:
    points = [(float(s), float(s % 7)) for s in range(1000)]
    few = thinned(points, 100)
    assert len(few) == 100
    assert sum(v for _, v in few) / 100 == pytest.approx(sum(v for _, v in points) / 1000)
    assert thinned(points[:50]) == points[:50]
    smooth = smoothed(points)
    assert [s for s, _ in smooth] == [s for s, _ in points]
    assert (smooth[0], smooth[-1]) == (points[0], points[-1])
    assert max(v for _, v in smooth[100:900]) < 3.5


def test_highlighting_changes_no_character() -> None:
    for text in (
        VAE_SPEC,
        EVIL,
        "a: 'it''s'\n- &x [1e-3, .5, -2, 010, true, null]\n- *x # c\nb: ${w}\n",
        'k: "un',
    ):
        assert html.unescape(re.sub(r"</?span[^>]*>", "", yaml_html(text))) == text
    assert '<span class="y-key">prior</span>' in yaml_html(VAE_SPEC)
    bar = "<span class='bar'>|</span>"
    assert maths_html("p(x1 | z) <= prod_i s^2") == (
        f"<i>p</i>(<i>x</i><sub>1</sub> {bar} <i>z</i>) ≤ ∏<sub>i</sub> <i>s</i><sup>2</sup>"
    )


def test_a_graph_is_drawn_from_either_form_and_never_from_another() -> None:
    drawn = diagram(VAE_GRAPH)
    assert drawn.count('class="p"') == drawn.count('class="q"') == 1
    assert drawn.count('class="seen"') == drawn.count('class="latent"') == 1
    assert "z to x; x to z in q" in drawn
    links = [{"source": s, "target": t} for s, t in ("ab", "bc", "ca")]
    ring = {"nodes": [{"id": n} for n in "abc"], "links": links}
    assert diagram(ring).count('class="p"') == 3
    for other in (
        None,
        [],
        {},
        {"nodes": 3},
        {"nodes": [{"id": "a"}], "edges": []},
        {"variables": [None, 1]},
    ):
        assert diagram(other) == ""
