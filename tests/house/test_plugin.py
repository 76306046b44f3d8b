"""A plug-in outside the tree: its flow layer, distribution, data source and extractor are registered and trained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gendsl
from tests.house.checkout import ROOT

PLUGIN = ROOT / "tests" / "plugin"


def install(site: Path) -> None:
    """The metadata that pip would write for tests/plugin/pyproject.toml."""
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text("utf-8"))["project"]
    info = site / f"gendsl_example-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = project["entry-points"]["gendsl.components"]
    lines = "\n".join(f"{name} = {target}" for name, target in points.items())
    (info / "entry_points.txt").write_text(f"[gendsl.components]\n{lines}\n")


def test_a_spec_trains_with_components_of_a_plug_in(tmp_path: Path) -> None:
    install(tmp_path / "site")
    path = os.pathsep.join([str(tmp_path / "site"), str(PLUGIN), str(ROOT)])
    command = [
        sys.executable,
        "-W",
        "error",
        str(PLUGIN / "session.py"),
        str(PLUGIN / "rose.yaml"),
        str(tmp_path / "run"),
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("done\n")
    result = json.loads((tmp_path / "run" / "result.json").read_text("utf-8"))
    assert (result["steps"], result["status"], result["data"]["source"]) == (5, "completed", "rose")
    assert result["metrics"]["test"]["fid"]["extractor"] == "radius of a point"
    assert result["metrics"]["test"]["fid"]["value"] > result["metrics"]["test"]["fid"]["floor"]["value"]


def test_a_plug_in_that_is_not_installed_is_refused_at_its_name() -> None:
    with pytest.raises(gendsl.SpecError) as refused:
        gendsl.load(PLUGIN / "rose.yaml")
    (problem,) = refused.value.diagnostics
    assert problem.code == "GD901"
    assert problem.place is not None
    assert (problem.place.start.line, problem.place.start.column) == (3, 12)
