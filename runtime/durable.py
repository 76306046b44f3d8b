"""Writes that survive a crash: a file or directory is there whole, under its own name, or not at all.

POSIX promises only that a rename is atomic. So bytes are written under a temporary name, forced to the disk,
renamed, and the directory that holds the name is forced to the disk too. Temporary names begin with a dot and
are safe to remove.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gendsl.errors import RunError


def sync_directory(path: Path) -> None:
    """Force the names in a directory to the disk (a no-op on Windows, which cannot open a directory)."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Force the bytes of a file that another library wrote to the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and force it to the disk; not atomic. Raises OSError."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Names the file where the system refuses to write it: a full disk says only that it is full. Raises RunError."""
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` at `path`: a reader sees the old bytes or the new ones, at any instant. Raises RunError."""
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path):
        try:
            write_synced(temporary, data)
            os.replace(temporary, path)
            sync_directory(path.parent)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def remove_directory(path: Path) -> None:
    """Remove a directory; stopped midway, it is left under a temporary name, never half empty under its own.

    Raises RunError where the disk refuses.
    """
    trash = path.with_name(f".{path.name}.trash")
    try:
        shutil.rmtree(trash, ignore_errors=True)
        os.replace(path, trash)
        shutil.rmtree(trash)
    except OSError as error:
        raise RunError(f"cannot remove {path}: {error.strerror}") from error
