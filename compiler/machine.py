"""How much memory this machine, or the control group of this process, has left; torch is not needed to ask."""

from __future__ import annotations

import os
from pathlib import Path


def memory_available() -> int:
    """Bytes that this process can still take: the machine's, or what a control group leaves of them."""
    free = [_machine_memory(Path("/proc/meminfo"))]
    try:
        membership = Path("/proc/self/cgroup").read_text()
    except OSError:
        membership = ""
    return min(free + cgroup_memory(membership, Path("/sys/fs/cgroup")))


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
