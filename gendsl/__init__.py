"""gendsl: deep generative models from a short YAML spec: checked, trained, sampled, scored.

    spec  = gendsl.load("vae_planar_flow")
    model = gendsl.compile(spec)
    run   = gendsl.train(model, out="runs/a")
    model = gendsl.restore("runs/a")

Importing gendsl imports neither torch nor the compiler: names are looked up when they are first used.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if os.path.isfile(os.path.join(os.path.dirname(__file__), "compiler")):
    raise ImportError(
        "gendsl/compiler is a text file where a symbolic link should be: this checkout was made without "
        "links. Clone it again with `git clone -c core.symlinks=true`, or install gendsl with pip."
    )

_WHERE = {
    "load": "gendsl.schema.load",
    "loads": "gendsl.schema.load",
    "Spec": "gendsl.schema.spec",
    "compile": "gendsl.api",
    "train": "gendsl.api",
    "restore": "gendsl.api",
    "Run": "gendsl.api",
    "Diagnostic": "gendsl.errors",
    "GendslError": "gendsl.errors",
    "SpecError": "gendsl.errors",
    "UsageError": "gendsl.errors",
    "DataError": "gendsl.errors",
    "RunError": "gendsl.errors",
}

__all__ = [
    "DataError",
    "Diagnostic",
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
]

if TYPE_CHECKING:
    from gendsl import components
    from gendsl.api import Run, compile, restore, train
    from gendsl.errors import DataError, Diagnostic, GendslError, RunError, SpecError, UsageError
    from gendsl.schema.load import load, loads
    from gendsl.schema.spec import Spec


def __getattr__(name: str) -> Any:
    if name == "components":
        return importlib.import_module("gendsl.components")
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'gendsl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
