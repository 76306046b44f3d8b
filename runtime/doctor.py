"""doctor: what this machine and this installation can do, what is absent, and what that costs.

Works where torch cannot be imported: that is the first thing it would have to say.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import Any

import gendsl
from gendsl.compiler.machine import memory_available
from gendsl.kernels.table import INTERPRETED, OPS, place

REQUIRED = (
    "torch",
    "numpy",
    "pydantic",
    "networkx",
    "pyyaml",
    "rich",
    "typer",
    "safetensors",
    "scikit-learn",
    "matplotlib",
)
PLUGINS = "gendsl.components"


@dataclass(frozen=True)
class Package:
    """A package that gendsl does without: what it is for, and what is refused or slower where it is absent."""

    package: str
    extra: str | None
    gives: str
    without: str
    command: str


def _extra(requirements: str, extra: str, gives: str, without: str) -> Package:
    each = requirements.split()
    name, _, _ = each[0].partition(">")
    return Package(name, extra, gives, without, "pip install " + " ".join(f"'{r}'" for r in each))


OPTIONAL = (
    Package(
        "triton",
        None,
        "fused kernels on a CUDA or ROCm device",
        "fused operators of its own run as PyTorch references; `run.kernels: triton` is refused",
        "pip install triton",
    ),
    _extra("constriction>=0.4", "compress", "compress and decompress", "compress and decompress are refused"),
    _extra(
        "torchdiffeq>=0.2.4",
        "continuous",
        "the solver dopri5 of continuous flows",
        "`solver: dopri5` is refused; rk4 needs nothing",
    ),
    _extra(
        "pyarrow>=15",
        "parquet",
        "the data source parquet",
        "`source: parquet` is refused; csv and npz need nothing",
    ),
    _extra(
        "pillow>=10",
        "images",
        "the data source images",
        "`source: images` is refused; npz and idx need nothing",
    ),
    _extra(
        "torchmetrics>=1.4 torch-fidelity>=0.3",
        "inception",
        "the extractor inception of fid and kid (with its weights; brings torchvision)",
        "`extractor: inception` is refused; classifier needs nothing",
    ),
)


def examine() -> dict[str, Any]:
    """The document of `doctor --json`. Looks only: nothing is installed, downloaded or changed."""
    torch, why = _torch()
    libraries = {name: installed(name) for name in REQUIRED}
    problems = [f"{name} is not installed: pip install {name}" for name, v in libraries.items() if v is None]
    if torch is None and libraries["torch"] is not None:
        problems.append(f"torch cannot be imported: {why}")
    return {
        "format_version": 1,
        "gendsl": gendsl.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "libraries": libraries,
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        "threads": None if torch is None else torch.get_num_threads(),
        "memory": memory_available(),
        "devices": _devices(torch),
        "kernels": _kernels(torch),
        "optional": [_optional(each) for each in OPTIONAL],
        "plugins": sorted(point.name for point in entry_points(group=PLUGINS)),
        "problems": problems,
    }


def installed(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _torch() -> tuple[Any, str]:
    """The module torch, or None and why."""
    try:
        return importlib.import_module("torch"), ""
    except (ImportError, OSError) as error:
        return None, str(error)


def _devices(torch: Any) -> list[dict[str, Any]]:
    """Every device that `run.device` can name: whether it is here, and its memory where that is known."""
    found: list[dict[str, Any]] = [{"device": "cpu", "available": True, "name": platform.machine()}]
    if torch is None:
        return found
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(i)
            found.append(
                {"device": f"cuda:{i}", "available": True, "name": about.name, "memory": about.total_memory}
            )
    else:
        built = torch.version.cuda or torch.version.hip
        why = "no device answers" if built else "this build of torch is for the CPU"
        found.append({"device": "cuda", "available": False, "why": why})
    if torch.backends.mps.is_available():
        found.append({"device": "mps", "available": True, "name": "Apple GPU"})
    else:
        found.append({"device": "mps", "available": False, "why": "Apple's GPUs only"})
    return found


def _kernels(torch: Any) -> list[dict[str, str]]:
    """Where each fused operator runs with `run.kernels: auto` on the device that `run.device: auto` takes."""
    device = "cuda" if torch is not None and torch.cuda.is_available() else "cpu"
    placed = [place(op.name, device, "auto") for op in OPS]
    aside = " (TRITON_INTERPRET=1: triton may be asked for on the CPU, slowly)" if INTERPRETED else ""
    return [
        {
            "op": p.op,
            "device": device,
            "implementation": p.implementation,
            "reason": p.reason + (aside if p.implementation != "torch" else ""),
        }
        for p in placed
    ]


def _optional(each: Package) -> dict[str, Any]:
    found = installed(each.package)
    absent = {"without": each.without, "install": each.command} if found is None else {}
    return {"package": each.package, "extra": each.extra, "version": found, "for": each.gives, **absent}
