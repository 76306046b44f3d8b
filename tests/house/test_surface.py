"""The public surface: names and signatures, what importing costs, where importing is refused."""

from __future__ import annotations

import importlib.util
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import gendsl
from tests.house.checkout import ROOT

SURFACE = {
    "Diagnostic",
    "DataError",
    "GendslError",
    "Run",
    "RunError",
    "Spec",
    "SpecError",
    "UsageError",
    "__version__",
    "compile",
    "components",
    "load",
    "loads",
    "restore",
    "train",
}
SIGNATURES = {
    "load": "(source: 'str | Path', *, sets: 'Sequence[str]' = (), unsets: 'Sequence[str]' = ()) -> 'Spec'",
    "loads": "(text: 'str', *, sets: 'Sequence[str]' = (), unsets: 'Sequence[str]' = ()) -> 'Spec'",
    "compile": "(spec: 'Spec', data: 'Mapping[str, Any] | None' = None) -> 'Model'",
    "train": "(model: 'Model', out: 'str | Path | None' = None, *, callbacks: 'tuple[Callback, ...]' = (), "
    "resume: 'bool' = False) -> 'Run'",
    "restore": "(path: 'str | Path') -> 'Model'",
}
HEAVY = ("torch", "triton", "sklearn", "scipy", "matplotlib", "pandas", "pyarrow", "PIL")


def test_the_names_are_pinned() -> None:
    assert set(gendsl.__all__) == SURFACE
    assert len(SURFACE) <= 15
    assert [name for name in SURFACE if not hasattr(gendsl, name)] == []
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = gendsl.no_such_name


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_signatures_are_pinned(name: str) -> None:
    assert str(inspect.signature(getattr(gendsl, name))) == SIGNATURES[name]


def test_importing_and_checking_need_no_torch(tmp_path: Path) -> None:
    program = (
        "import sys, gendsl\n"
        f"heavy = {HEAVY!r}\n"
        "loaded = [m for m in (*heavy, 'pydantic', 'gendsl.compiler') if m in sys.modules]\n"
        "assert not loaded, loaded\n"
        "from gendsl.cli import main\n"
        "for command in ('check', 'explain', 'graph', 'resolve'):\n"
        "    assert main([command, 'vae_planar_flow']) == 0\n"
        "loaded = [m for m in heavy if m in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _modules() -> list[str]:
    return [m.name for m in pkgutil.walk_packages(gendsl.__path__, "gendsl.") if m.name != "gendsl.__main__"]


def test_every_module_is_importable_by_one_name() -> None:
    names = _modules()
    assert {
        "gendsl.compiler.passes.roles",
        "gendsl.runtime.report",
        "gendsl.specs",
        "gendsl.nn.model",
    } <= set(names)
    for name in names:
        importlib.import_module(name)
    doubled = [n for n in sys.modules if n.split(".")[0] in ("compiler", "runtime", "specs") and n != "specs"]
    assert doubled == []


@pytest.mark.parametrize("name", ["compiler", "runtime"])
def test_the_folders_are_no_top_level_packages(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    with pytest.raises(ImportError, match=f"import it as gendsl.{name}"):
        importlib.import_module(name)


def test_a_checkout_without_links_says_so(tmp_path: Path) -> None:
    package = tmp_path / "gendsl"
    package.mkdir()
    (package / "__init__.py").write_bytes((ROOT / "gendsl" / "__init__.py").read_bytes())
    (package / "compiler").write_text("../compiler")
    spec = importlib.util.spec_from_file_location("gendsl_without_links", package / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(ImportError, match="symbolic link"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
