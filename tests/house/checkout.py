"""The checkout: its root, and the files that git keeps."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = {".git", ".venv", "build", "dist", "runs", "__pycache__"}


@cache
def tracked() -> tuple[str, ...]:
    """Paths of the files in git and of new ones that it does not ignore; every file where there is no git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return tuple(sorted(_walk(ROOT)))
    return tuple(sorted(p for p in done.stdout.split("\0") if p and os.path.lexists(ROOT / p)))


def _walk(folder: Path) -> list[str]:
    found: list[str] = []
    for path in folder.iterdir():
        if path.name in SKIPPED or path.name.endswith(("_cache", ".egg-info", ".pyc")):
            continue
        if path.is_dir() and not path.is_symlink():
            found += _walk(path)
        else:
            found.append(path.relative_to(ROOT).as_posix())
    return found
