"""Every shipped spec trains, evaluates, samples and reports, for 50 steps: `make check-all`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gendsl.cli import main
from gendsl.schema.load import shipped

SHORT = ("--set", "evaluate.samples=20", "--set", "sample.n=16")


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped())
def test_a_shipped_spec_runs(name: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert main(["run", name, "--steps", "50", "--out", str(out), *SHORT]) == 0
    result = json.loads((out / "result.json").read_text("utf-8"))
    assert (result["status"], result["spec"]["name"]) == ("completed", name)
    assert (out / "report.html").stat().st_size > 10_000
    numbers = [entry["value"] for split in result["metrics"].values() for entry in split.values()]
    assert any(value is not None for value in numbers)


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_spec_says_what_it_is(name: str) -> None:
    first = shipped()[name].read_text("utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith(".")
