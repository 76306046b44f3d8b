"""A log of records by step, one JSON object a line, that can be cut back to an earlier step.

A record reaches the operating system as it is appended, so that a reader can follow the run and a killed
process loses nothing; `flush` forces the file to the disk. A torn last line, which a crash of the machine can
leave, is dropped.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from gendsl.errors import RunError
from gendsl.runtime.durable import sync_directory


class JsonLines:
    """An append-only file of records that each have an integer `step`, in the order of their steps."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._last = 0

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one line: keys in the order given, floats so that they read back equal, NaN and Inf as null.

        Raises ValueError for a record without an integer `step` or with one earlier than the last line's,
        RunError where the disk refuses.
        """
        step = record.get("step")
        if type(step) is not int:
            raise ValueError(f"a record of {self.path.name} needs an integer 'step', found {step!r}")
        file = self._open()
        if step < self._last:
            raise ValueError(
                f"{self.path.name} is at step {self._last}: a record of step {step} comes too late"
            )
        line = json.dumps(finite(record), allow_nan=False, ensure_ascii=False).encode() + b"\n"
        try:
            while line:
                line = line[file.write(line) :]
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror}") from error
        self._last = step

    def flush(self) -> None:
        """Force what was appended to the disk. Raises RunError."""
        if self._file is not None:
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise RunError(f"cannot write {self.path}: {error.strerror}") from error

    def cut_back(self, step: int) -> None:
        """Keep the records up to and including `step`; drop the later ones and a torn last line.

        Raises RunError where a line before one that is kept cannot be read: the file was damaged, not cut
        short.
        """
        self.close()
        if not self.path.exists():
            return
        keep, _ = self._scan(step)
        with self.path.open("rb+") as file:
            file.truncate(keep)
            os.fsync(file.fileno())

    def close(self) -> None:
        """Force the file to the disk and close it; a later `append` opens it again."""
        if self._file is not None:
            self.flush()
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO:
        if self._file is None:
            present = self.path.exists()
            end, self._last = self._scan(None) if present else (0, 0)
            try:
                self._file = self.path.open("ab", buffering=0)
                self._file.truncate(end)
                if not present:
                    sync_directory(self.path.parent)
            except OSError as error:
                raise RunError(f"cannot write {self.path}: {error.strerror}") from error
        return self._file

    def _scan(self, limit: int | None) -> tuple[int, int]:
        """Where the records up to step `limit` end in the file, and the step of the last one."""
        end = position = last = number = damaged = 0
        cut = False
        with self.path.open("rb") as file:
            for line in file:
                number += 1
                position += len(line)
                step = _step(line)
                if step is None:
                    damaged = damaged or number
                elif limit is not None and step > limit:
                    cut = True
                elif damaged or cut:
                    where = f"line {damaged} cannot be read" if damaged else f"line {number} is out of order"
                    raise RunError(f"{self.path.name} is damaged: {where}")
                else:
                    end, last = position, step
        return end, last


def finite(value: Any) -> Any:
    """`value` with NaN and the infinities as None, in maps and lists at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _step(line: bytes) -> int | None:
    """The step of a whole line, or None for one that is torn or is no record."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    step = record.get("step") if isinstance(record, dict) else None
    return step if type(step) is int else None
