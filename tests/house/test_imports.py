"""The contracts of .importlinter speak of every module."""

from __future__ import annotations

import configparser
import pkgutil

import gendsl
from gendsl import compiler
from tests.house.checkout import ROOT


def contract(name: str) -> configparser.SectionProxy:
    found = configparser.ConfigParser()
    found.read(ROOT / ".importlinter", "utf-8")
    return found[f"importlinter:contract:{name}"]


def test_all_of_the_compiler_but_build_is_kept_free_of_torch() -> None:
    named = set(contract("compiler-without-torch")["source_modules"].split())
    modules = {f"gendsl.compiler.{m.name}" for m in pkgutil.iter_modules(compiler.__path__)}
    assert modules - {"gendsl.compiler.build"} <= named
    assert {"torch", "sklearn", "matplotlib", "scipy", "gendsl.nn"} <= set(
        contract("compiler-without-torch")["forbidden_modules"].split()
    )


def test_every_part_has_a_layer() -> None:
    layers = set(contract("layers")["layers"].replace("|", " ").replace(":", " ").split())
    parts = {f"gendsl.{m.name}" for m in pkgutil.iter_modules(gendsl.__path__)} - {"gendsl.specs"}
    for part in parts:
        assert part in layers or any(layer.startswith(f"{part}.") for layer in layers), f"{part} has no layer"
