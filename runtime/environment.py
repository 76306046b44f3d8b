"""What a run stands on: versions, processor, threads and memory, without paths, host names or users."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import gendsl

LIBRARIES = ("torch", "numpy", "pydantic", "networkx", "safetensors", "scikit-learn")


def environment() -> dict[str, Any]:
    """The document `environment.json`: what a run's bits depend on, on the CPU, besides spec and seed.

    CUDA devices are listed once the process has initialised CUDA; asking does not initialise it.
    """
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    return {
        "gendsl": gendsl.__version__,
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "deterministic": {
            "algorithms": torch.are_deterministic_algorithms_enabled(),
            "cudnn": torch.backends.cudnn.deterministic,
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "float32_matmul": torch.get_float32_matmul_precision(),
        },
        "mkldnn": torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
        "cuda": {"version": torch.version.cuda, "devices": [torch.cuda.get_device_name(i) for i in devices]},
    }


def cores() -> int:
    """The processors that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_threads(count: int) -> None:
    """Use `count` threads inside torch's operations. Raises ValueError below 1."""
    if count < 1:
        raise ValueError(f"at least one thread is needed, not {count}")
    torch.set_num_threads(count)


def memory_available() -> int:
    """Bytes that this process can still take: the machine's, or what a control group leaves of them."""
    free = [_machine_memory(Path("/proc/meminfo"))]
    try:
        membership = Path("/proc/self/cgroup").read_text()
    except OSError:
        membership = ""
    return min(free + cgroup_memory(membership, Path("/sys/fs/cgroup")))


def peak_memory() -> int:
    """The largest resident size that this process has had, in bytes; 0 on Windows."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def cgroup_memory(membership: str, root: Path) -> list[int]:
    """What every control group with a limit, from the process's own up to `root`, leaves in bytes.

    Args:
        membership: the text of /proc/self/cgroup; lines `0::/path` (version 2) or `4:memory:/path` (version
            1).
        root: where the hierarchies are mounted.

    Pages that only cache files count as free. In a container the path may not exist: then the root's own
    files count.
    """
    left = []
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, limit_name, usage_name, cache = root, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            base, cache = root / "memory", "total_inactive_file"
            limit_name, usage_name = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        group = base / path.strip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(base):
                limit, usage = _number(folder / limit_name), _number(folder / usage_name)
                if limit is not None and usage is not None:
                    left.append(max(0, limit - usage + _field(folder / "memory.stat", cache)))
    return left


def _machine_memory(meminfo: Path) -> int:
    kibibytes = _field(meminfo, "MemAvailable:")
    return kibibytes * 1024 if kibibytes else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _number(path: Path) -> int | None:
    """The number in a file; None where there is no such file or it says `max`."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _field(path: Path, name: str) -> int:
    """The number after `name` in a file of `name number` lines, 0 where there is none."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.split()[:1] == [name]), 0)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
