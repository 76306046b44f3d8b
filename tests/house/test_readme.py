"""README's two commands are what continuous integration runs; what the documents show exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from gendsl.cli import commands
from gendsl.compiler.pipeline import analyse
from gendsl.schema.load import loads
from tests.house.checkout import ROOT, tracked

DOCUMENTS = [p for p in tracked() if p.endswith(".md")]
COMMANDS = set(typer.main.get_command(commands()).commands)  # type: ignore[attr-defined]


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def commands() -> list[str]:
    block = re.search(r"<!-- commands -->\n```sh\n(.*?)```", read("README.md"), re.DOTALL)
    assert block is not None
    return block[1].splitlines()


def test_continuous_integration_runs_the_two_commands_of_the_readme() -> None:
    first, second = commands()
    script = read(".ci/run").splitlines()
    at = script.index(first)
    assert script[at + 1] == second
    assert "gendsl run specs/vae_planar_flow.yaml" in first
    assert "make check" in script[at:]
    assert "set -euo pipefail" in script
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_the_readme_shows_the_spec_that_ships() -> None:
    from gendsl.schema.load import load

    (shown,) = re.findall(r"```yaml\n(gendsl: 1\n.*?)```", read("README.md"), re.DOTALL)
    assert loads(shown).hash == load("vae_planar_flow").hash


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    folder = (ROOT / name).parent
    links = [
        target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", read(name)) if ":" not in target
    ]
    assert [link for link in links if link and not (folder / link).exists()] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_exist(name: str) -> None:
    text = read(name)
    shell = "\n".join(re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL))
    said = re.findall(r"^(?:\$ )?gendsl ([a-z]+)", shell, re.MULTILINE) + re.findall(
        r"`gendsl ([a-z]+)", text
    )
    assert sorted(set(said) - COMMANDS) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_whole_specs_are_accepted(name: str) -> None:
    for text in re.findall(r"```yaml\n(gendsl: 1\n.*?)```", read(name), re.DOTALL):
        if "extends:" not in text and "requires:" not in text:
            analyse(loads(text), device="cpu")


@pytest.mark.parametrize(
    "name", [p for p in tracked() if Path(p).suffix in (".md", ".yaml", ".toml", ".cff")]
)
def test_documents_are_plain_text(name: str) -> None:
    text = read(name) if "bad_specs" not in name else ""
    assert "\t" not in text
    assert not [line for line in text.splitlines() if line != line.rstrip()]
