"""Checking a spec never imports a heavy library; what it costs is printed (`pytest -s`), not asserted."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CHECK = """
import json, sys, time
from gendsl.schema.load import load, shipped
from gendsl.compiler.pipeline import analyse
graph = analyse(load("vae_planar_flow"))
seconds = time.process_time()
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
print(json.dumps({"seconds": seconds, "modules": sorted({m.split(".")[0] for m in sys.modules})}))
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
)


@pytest.fixture(scope="module")
def seen() -> dict[str, object]:
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def test_loading_every_pass_rendering_and_the_schema_import_nothing_heavy(seen: dict[str, object]) -> None:
    modules = seen["modules"]
    assert isinstance(modules, list)
    assert "pydantic" in modules
    assert [name for name in HEAVY if name in modules] == []


def test_the_cost_of_a_check_is_printed(seen: dict[str, object]) -> None:
    seconds = seen["seconds"]
    assert isinstance(seconds, float)
    print(f"\nload + analyse of vae_planar_flow: {seconds:.2f} CPU-seconds for the whole process")
    assert seconds > 0
