"""doctor: it names every extra of the project, what its absence costs, and works without torch."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError

import pytest

from gendsl.runtime import doctor
from tests.cli.conftest import Command
from tests.house.checkout import ROOT

KEYS = {
    "format_version",
    "gendsl",
    "python",
    "system",
    "libraries",
    "cores",
    "threads",
    "memory",
    "devices",
    "kernels",
    "optional",
    "plugins",
    "problems",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def bare(requirement: str) -> str:
    return re.split(r"[<>=;\s]", requirement, maxsplit=1)[0]


def test_the_document(gendsl: Command) -> None:
    said = gendsl("doctor", "--json")
    assert (said.status, said.err, said.document.keys()) == (0, "", KEYS)
    found = said.document
    assert found["problems"] == []
    assert found["memory"] > 2**20
    assert found["threads"] >= 1
    assert {d["device"].split(":")[0] for d in found["devices"]} == {"cpu", "cuda", "mps"}
    assert all(d["available"] or d["why"] for d in found["devices"])
    assert all(
        k["implementation"] in ("reference", "triton", "torch") and k["reason"] for k in found["kernels"]
    )
    for each in found["optional"]:
        assert (each["version"] is None) == ("install" in each) == ("without" in each)
    words = gendsl("doctor")
    assert words.status == 0
    assert all(each["package"] in words.out for each in found["optional"])
    assert gendsl("doctor", "vae").status == 2


def test_every_extra_and_every_requirement_is_known() -> None:
    """What pyproject.toml has and doctor has are the same."""
    extras = {
        name: needed
        for name, needed in PROJECT["optional-dependencies"].items()
        if name not in ("all", "test", "dev")
    }
    known = {each.extra: each for each in doctor.OPTIONAL if each.extra is not None}
    light = [name for name in extras if name != "inception"]  # which brings torchvision, bound to one torch
    assert PROJECT["optional-dependencies"]["all"] == [f"gendsl[{','.join(light)}]"]
    assert {name: each.package for name, each in known.items()} == {n: bare(e[0]) for n, e in extras.items()}
    assert {name: each.command for name, each in known.items()} == {
        n: "pip install " + " ".join(f"'{r}'" for r in e) for n, e in extras.items()
    }
    optional = {each.package for each in doctor.OPTIONAL if each.extra is None}
    assert {bare(each) for each in PROJECT["dependencies"]} == {*doctor.REQUIRED, *optional}


def test_absences_are_told(gendsl: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing optional, no plug-ins, and a torch that cannot be loaded: still status 0, with consequences."""
    real, names = doctor.version, [each.package for each in doctor.OPTIONAL]

    def version(name: str) -> str:
        if name in names:
            raise PackageNotFoundError(name)
        return real(name)

    with monkeypatch.context() as patched:
        patched.setattr(doctor, "version", version)
        patched.setattr(doctor, "_torch", lambda: (None, "libtorch_cpu.so: cannot open shared object file"))
        found = doctor.examine()
    assert found["problems"] == ["torch cannot be imported: libtorch_cpu.so: cannot open shared object file"]
    assert found["threads"] is None
    assert [d["device"] for d in found["devices"]] == ["cpu"]
    assert {each["package"]: each["install"] for each in found["optional"]} == {
        each.package: each.command for each in doctor.OPTIONAL
    }
    assert all(each["without"] for each in found["optional"])
