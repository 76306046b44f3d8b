"""Checking a spec never imports a heavy library; what it costs is printed (`pytest -s`), not asserted."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CHECK = """
import json, sys, time
from gendsl.cli import main
assert main(["check", "vae"]) == 0
seconds, checked = time.process_time(), sorted(sys.modules)
from gendsl.schema.registry import Component, component
try:
    component("net", "transformer", build="")(type("Mine", (Component,), {}))
except ValueError as error:
    taken = str(error)
from gendsl.schema.load import load, shipped
from gendsl.compiler.pipeline import analyse
graph = analyse(load("vae_planar_flow"))
from gendsl.compiler.explain import as_json, as_text
from gendsl.errors import SpecError
from gendsl.schema.codes import CODES
from gendsl.schema.jsonschema import json_schema
from gendsl.schema.load import loads
from gendsl.schema.render import render_all
as_json(graph), as_text(graph), json_schema(), len(CODES)
for name in shipped():
    analyse(load(name))
try:
    loads("gendsl: 1\\nprior: {z: {dits: normal}}")
except SpecError as error:
    render_all(error.diagnostics, error.sources)
print(json.dumps({"seconds": seconds, "checked": checked, "taken": taken, "modules": sorted({m.split(".")[0] for m in sys.modules})}))
"""

HEAVY = (
    "torch",
    "sklearn",
    "scipy",
    "matplotlib",
    "pandas",
    "PIL",
    "pyarrow",
    "safetensors",
    "triton",
    "numpy",
    "networkx",
)

UNUSED = (
    "rich",
    "gendsl.cli.running",
    "gendsl.cli.asking",
    "gendsl.cli.progress",
    "gendsl.schema.codes",
    "gendsl.schema.render",
    "gendsl.schema.translate",
    "gendsl.schema.components.flow_linear",
    "gendsl.schema.components.flow_autoregressive",
    "gendsl.schema.components.net_ar",
    "gendsl.schema.components.net_grid",
    "gendsl.schema.components.net_seq",
    "gendsl.schema.components.source_files",
    "gendsl.schema.components.source_media",
    "gendsl.schema.components.source_tables",
)
"""What the check of a valid VAE of digits and perceptrons has no use for."""


@pytest.fixture(scope="module")
def seen() -> dict[str, object]:
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_loading_every_pass_rendering_and_the_schema_import_nothing_heavy(seen: dict[str, object]) -> None:
    modules = seen["modules"]
    assert isinstance(modules, list)
    assert "pydantic" in modules
    assert [name for name in HEAVY if name in modules] == []


def test_a_check_imports_only_what_its_spec_names(seen: dict[str, object]) -> None:
    modules = seen["checked"]
    assert isinstance(modules, list)
    assert {"gendsl.schema.components.net", "gendsl.schema.components.source_generated"} <= set(modules)
    assert [name for name in UNUSED if name in modules] == []


def test_a_tag_that_ships_is_taken_before_its_module_is_imported(seen: dict[str, object]) -> None:
    assert "'transformer' is already registered by gendsl.schema.components.net_seq" in str(seen["taken"])


def test_the_cost_of_a_check_is_printed(seen: dict[str, object]) -> None:
    seconds = seen["seconds"]
    assert isinstance(seconds, float)
    print(f"\ncheck of vae: {seconds:.2f} CPU-seconds for the whole process")
    assert seconds > 0
