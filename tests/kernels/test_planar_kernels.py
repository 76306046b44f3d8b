"""The planar kernels without a GPU: the interpreter's tests, and what the compiler makes of the kernels.

Figures are held against `budget.json`, which `python -m tests.kernels.aot` renews. They are static:
registers, spills, bytes of shared memory. They say nothing of time.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("triton")

from triton import knobs

from gendsl.kernels import planar_triton
from gendsl.kernels.table import INTERPRETED
from tests.kernels import aot

HERE = Path(__file__).parent
BUDGET = json.loads((HERE / "budget.json").read_text())
compiled = pytest.mark.skipif(
    INTERPRETED, reason="kernels declared under TRITON_INTERPRET cannot be compiled"
)


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with knobs.cache.scope():
        knobs.cache.dir = str(tmp_path_factory.mktemp("triton"))
        yield


def test_interpreter() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--rootdir",
        str(HERE.parent.parent),
        str(HERE / "interpreted.py"),
    ]
    done = subprocess.run(
        command,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        cwd=HERE.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b\d{2,} passed in", done.stdout), done.stdout


@compiled
@pytest.mark.parametrize(
    ("name", "target", "shared"),
    [pytest.param(*case, marks=[] if case[1] == "sm_90" else pytest.mark.slow) for case in aot.cases()],
)
def test_compiled_kernels_keep_to_the_budget(name: str, target: str, shared: bool) -> None:
    binary = aot.compile_kernel(name, target, shared)
    budget = BUDGET[aot.key(name, target, shared)]
    assert binary.figures.spills == budget["spills"] == 0
    assert 0 < binary.figures.registers <= 1.15 * budget["registers"]
    assert binary.figures.shared <= budget["shared"] <= aot.SHARED_LIMIT[target]
    assert not re.search(r"\b(RED|ATOM|ATOMG)\b|_atomic_", binary.text)
    if target == "sm_90":
        assert re.search(r"\bLDG\.E\S*\.128", binary.text), "rows are not read 16 bytes at a time"


@compiled
@pytest.mark.slow
@pytest.mark.parametrize("name", ["planar_forward", "planar_backward"])
def test_sizes_of_one_compile(name: str) -> None:
    """A launch turns a size or stride of 1 into a constant, which is another program."""
    assert aot.compile_kernel(name, "sm_90", shared=True, columns=1, ones=True).figures.spills == 0


def test_the_budget_has_no_other_lines() -> None:
    assert set(BUDGET) == {aot.key(*case) for case in aot.cases()}


def test_masked_loads_say_what_masked_lanes_hold() -> None:
    """The interpreter reads 0 there; on a GPU they would be undefined."""
    calls = [
        x for x in ast.walk(ast.parse(Path(planar_triton.__file__).read_text())) if isinstance(x, ast.Call)
    ]
    loads = [x for x in calls if ast.unparse(x.func) == "tl.load"]
    assert len(loads) > 10
    assert all({"mask", "other"} <= {keyword.arg for keyword in x.keywords} for x in loads)
