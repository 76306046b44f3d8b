"""The wheel holds every file of the packages, nothing else, and works outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.house.checkout import ROOT, tracked

PACKAGES = {
    "gendsl": "gendsl",
    "compiler": "gendsl/compiler",
    "runtime": "gendsl/runtime",
    "specs": "gendsl/specs",
}
"""Top-level folder of the checkout -> where the wheel has it."""


def python(*arguments: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the checkout, so that no build is left in it."""
    copy, dist = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("dist")
    for name in tracked():
        if name.startswith(("tests/", "docs/", "benchmarks/")):
            continue
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name, follow_symlinks=False)
    python("-c", "import sys, setuptools.build_meta as b; b.build_wheel(sys.argv[1])", str(dist), cwd=copy)
    (built,) = dist.glob("*.whl")
    return built


def expected() -> set[str]:
    found = set()
    for name in tracked():
        top, _, rest = name.partition("/")
        if top in PACKAGES and not (ROOT / name).is_symlink():
            found.add(f"{PACKAGES[top]}/{rest}")
    return found


def test_the_wheel_has_the_files_of_the_packages_and_no_others(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {n for n in archive.namelist() if not n.endswith("/")}
    packed = {n for n in names if ".dist-info/" not in n}
    assert sorted(expected() - packed) == [], "missing from the wheel: list the package in pyproject.toml"
    assert sorted(packed - expected()) == []
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert "gendsl/py.typed" in packed


def test_an_installed_wheel_checks_a_shipped_spec_by_name(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    pip = ("-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--no-index", "--no-compile")
    python(*pip, "--target", str(target), str(wheel), cwd=tmp_path)
    program = (
        "import gendsl, runpy, sys\n"
        "print(gendsl.__file__)\n"
        "sys.argv = ['gendsl', 'check', 'vae_planar_flow']\n"
        "runpy.run_module('gendsl', run_name='__main__', alter_sys=True)\n"
    )
    said = python("-c", program, cwd=tmp_path, PYTHONPATH=str(target)).splitlines()
    assert Path(said[0]).is_relative_to(target)
    assert said[1].startswith("vae_planar_flow: valid")
