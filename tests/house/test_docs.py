"""The generated pages say what the registry says; the reference has every key and command."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest
import typer

from gendsl.cli import commands
from gendsl.compiler.explain import as_text
from gendsl.compiler.pipeline import analyse
from gendsl.schema import sections, settings, spec
from gendsl.schema.catalogue import PARTS
from gendsl.schema.load import load
from gendsl.schema.registry import Strict, table
from tests.house.checkout import ROOT


@cache
def pages() -> dict[Path, str]:
    found_at = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert found_at is not None
    assert found_at.loader is not None
    module = importlib.util.module_from_spec(found_at)
    found_at.loader.exec_module(module)
    found: dict[Path, str] = module.pages()
    return found


@pytest.mark.parametrize("name", [str(p.relative_to(ROOT)) for p in pages()])
def test_generated_pages_are_up_to_date(name: str) -> None:
    path = ROOT / name
    assert path.is_file(), "run `make docs`"
    assert path.read_text("utf-8") == pages()[path], f"{name} is out of date: run `make docs`"


def test_no_page_of_a_kind_that_is_gone() -> None:
    assert {p for p in (ROOT / "docs" / "components").glob("*.md")} <= set(pages())


@pytest.mark.parametrize("name", ["README.md", "docs/tutorial.md"])
def test_what_is_shown_of_explain_is_what_it_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / name).read_text("utf-8")
    files = dict(re.findall(r"```yaml (\S+)\n(.*?)```", text, re.DOTALL))
    for file, body in files.items():
        Path(file).write_text(body, "utf-8")
    said = "".join(as_text(analyse(load(s), device="cpu")) for s in (*files, "vae_planar_flow"))
    shown = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    assert shown
    assert [block for block in shown if block.rstrip() not in said] == []


TOLD = ("dist", "flow", "bound", "estimator", "corruption", "step")
"""Kinds whose pages have a formula, shapes, what is offered and where it fails."""


@pytest.mark.parametrize(("kind", "tag"), [(kind, tag) for kind in TOLD for tag in table(kind)])
def test_a_component_says_what_it_computes_and_where_it_fails(kind: str, tag: str) -> None:
    page = pages()[ROOT / "docs" / "components" / f"{kind}.md"]
    section = page.split(f"\n## {tag}\n")[1].split("\n## ")[0]
    assert [
        word for word in PARTS if not re.search(rf"^- \*\*{word}\*\*: .{{10,}}", section, re.MULTILINE)
    ] == []
    assert f"{{type: {tag}" in section, "no example"
    if kind != "step":
        assert re.search(r"\*\*Formula\*\*: .*(\b(19|20)\d\d\b|NIST)", section), (
            "a formula without its source"
        )


SECTIONS = (
    spec.Spec,
    sections.Factor,
    sections.FlowFactor,
    sections.Corruption,
    sections.Adversary,
    sections.VariableFacts,
    sections.Objective,
    sections.KlOptions,
    sections.MmdOptions,
    settings.Data,
    settings.Binding,
    settings.Train,
    settings.Stage,
    settings.Checkpoints,
    settings.Validate,
    settings.Evaluate,
    settings.Sample,
    settings.Run,
)


@pytest.mark.parametrize("model", SECTIONS)
def test_the_reference_of_the_language_has_every_key(model: type[Strict]) -> None:
    text = (ROOT / "docs" / "language.md").read_text("utf-8")
    keys = [field.alias or name for name, field in model.model_fields.items()]
    assert [key for key in keys if not re.search(rf"`(\w+\.)*{key}(`|: )|\[?{key}: ", text)] == []


def test_the_reference_of_the_language_has_every_command() -> None:
    text = (ROOT / "docs" / "language.md").read_text("utf-8")
    known = typer.main.get_command(commands()).commands  # type: ignore[attr-defined]
    assert [name for name in known if f"`gendsl {name}" not in text] == []
