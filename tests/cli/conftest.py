"""A command in this process: exit status, standard output, standard error."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from gendsl.cli import main

TINY = ("train.steps=4", "train.log=2", "train.checkpoint.every=2", "evaluate.samples=3", "sample.n=6")


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output is exactly one JSON document."""
        return json.loads(self.out)


Command = Callable[..., Said]


@pytest.fixture
def gendsl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run one command in an empty current directory, which it may not leave."""
    monkeypatch.chdir(tmp_path)

    def command(*words: str | Path) -> Said:
        capsys.readouterr()
        status = main([str(w) for w in words])
        said = capsys.readouterr()
        assert Path.cwd() == tmp_path
        assert "Traceback" not in said.err
        return Said(status, said.out, said.err)

    return command


def trained(name: str, folder: Path, *sets: str) -> Path:
    """A tiny finished run of a shipped spec."""
    options = [part for item in (*TINY, *sets) for part in ("--set", item)]
    threads = torch.get_num_threads()
    assert main(["run", name, *options, "--out", str(folder / name)]) == 0
    torch.set_num_threads(threads)
    return folder / name


@pytest.fixture(scope="session")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained("vae", tmp_path_factory.mktemp("runs"), "train.validate={every: 2}")


@pytest.fixture(scope="session")
def gan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained("gan", tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained("conditional_vae", tmp_path_factory.mktemp("runs"), "evaluate.metrics=[log_prob]")
