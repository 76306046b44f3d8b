"""The run directory: what a run leaves behind, held by one process at a time (docs/language.md).

    spec.yaml  resolved.yaml  overrides.txt  explain.txt  graph.json  environment.json
    metrics.jsonl  timings.jsonl  checkpoints/  samples/  result.json  report.html

A run that is stopped at any instant and resumed leaves the same `metrics.jsonl` as one that never stopped, if
the loop
    1. appends every record of a step before the checkpoint of that step,
    2. calls `flush` before it saves the checkpoint, and
    3. on resume calls `cut_back` with the checkpoint's step before it appends anything.
`metrics.jsonl` holds no clock; seconds go to `timings.jsonl`.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from gendsl.errors import RunError, UsageError
from gendsl.runtime.durable import sync_directory, write_atomically
from gendsl.runtime.jsonlines import JsonLines, finite

LOCK = ".lock"
FOLDERS = ("checkpoints", "samples")
BEGUN = "resolved.yaml"
"""Written when everything else about a run is: without it nothing has begun, with it the run can be resumed."""
ABOUT = ("spec.yaml", "overrides.txt", "explain.txt", "graph.json", "environment.json")
"""What is written about a run before that."""


class RunDirectory:
    """A directory with its lock held: made by `create` or `open`, released by `close` or a `with`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock
        self._metrics = JsonLines(path / "metrics.jsonl")
        self._timings = JsonLines(path / "timings.jsonl")

    @classmethod
    def create(cls, path: Path | None, *, name: str, seed: int) -> RunDirectory:
        """Make and lock a new run directory.

        Args:
            path: where; it may exist if it is empty, or if the run in it never began. None takes the next free
                `runs/NAME-SEED-K`, K = 1, 2, ...
            name: the spec's name; characters that do not belong into a file name become hyphens.
            seed: the run's seed.

        Raises UsageError for a path that holds something already, RunError where it cannot be made or locked.
        """
        try:
            if path is None:
                path = _next_free(Path("runs"), name, seed)
            else:
                _refuse_used(path)
                path.mkdir(parents=True, exist_ok=True)
            run = cls(path, _acquire(path))
            with ExitStack() as undo:
                undo.callback(run.close)
                _refuse_used(path)
                run.checkpoints.mkdir(exist_ok=True)
                run.samples.mkdir(exist_ok=True)
                sync_directory(path)
                undo.pop_all()
        except OSError as error:
            raise RunError(f"cannot make the run directory {path or 'runs/...'}: {error.strerror}") from error
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Lock an existing run directory.

        Raises UsageError where there is none, RunError where another process holds it.
        """
        if not path.is_dir():
            what = "is a file" if path.exists() else "does not exist"
            raise UsageError(f"{path} {what}: a run directory was expected, as `gendsl run` makes it")
        if not (path / BEGUN).is_file():
            if (path / LOCK).is_file() and _untouched(path):
                raise UsageError(
                    f"the run in {path} was stopped before it began: nothing is there to go on with. Start it "
                    f"again with `gendsl run SPEC --out {path}`"
                )
            raise UsageError(f"{path} is not a run directory: it has no {BEGUN}")
        return cls(path, _acquire(path))

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Force the logs to the disk and release the lock; may be called twice."""
        try:
            self._metrics.close()
            self._timings.close()
        finally:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    @property
    def checkpoints(self) -> Path:
        """The folder of `gendsl.runtime.checkpoint`."""
        return self.path / "checkpoints"

    @property
    def samples(self) -> Path:
        """The folder of samples."""
        return self.path / "samples"

    @property
    def metrics(self) -> Path:
        """The log of metrics, without a clock."""
        return self._metrics.path

    @property
    def timings(self) -> Path:
        """The log of seconds."""
        return self._timings.path

    def write_bytes(self, name: str, data: bytes) -> Path:
        """Put a file in place, atomically; `name` is relative. Returns its path; raises RunError."""
        target = Path(name)
        if target.is_absolute() or ".." in target.parts or not target.name:
            raise ValueError(f"not a file inside a run directory: {name!r}")
        path = self.path / target
        write_atomically(path, data)
        return path

    def write_text(self, name: str, text: str) -> Path:
        """As `write_bytes`, in UTF-8 and with the line ends given."""
        return self.write_bytes(name, text.encode())

    def write_json(self, name: str, document: Any) -> Path:
        """As `write_bytes`: keys in the order given, NaN and Inf as null."""
        text = json.dumps(finite(document), indent=2, allow_nan=False, ensure_ascii=False)
        return self.write_text(name, text + "\n")

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Add one record, with its integer `step`, to `metrics.jsonl`; `JsonLines.append` has the rules."""
        self._metrics.append(record)

    def append_timings(self, record: Mapping[str, Any]) -> None:
        """Add one record, with its integer `step`, to `timings.jsonl`."""
        self._timings.append(record)

    def flush(self) -> None:
        """Force both logs to the disk; to be called before a checkpoint is saved."""
        self._metrics.flush()
        self._timings.flush()

    def cut_back(self, step: int) -> None:
        """Drop both logs' records later than `step`, and torn lines. Raises RunError for a damaged log."""
        self._metrics.cut_back(step)
        self._timings.cut_back(step)


def _next_free(parent: Path, name: str, seed: int) -> Path:
    plain = re.sub(r"[^\w.-]+", "-", name)[:100].strip(".-") or "run"
    stem = f"{plain}-{seed}-"
    parent.mkdir(parents=True, exist_ok=True)
    taken = [path.name.removeprefix(stem) for path in parent.iterdir() if path.name.startswith(stem)]
    k = max((int(tail) for tail in taken if re.fullmatch("[0-9]{1,9}", tail)), default=0)
    while True:
        k += 1
        path = parent / f"{stem}{k}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path


def _untouched(path: Path) -> bool:
    """Whether a folder is empty, or holds only what a run that was killed before it began leaves.

    That is the lock, empty folders and files about the run, whole or half written. Without a lock the files are
    somebody else's.
    """
    names = {item.name for item in path.iterdir()}
    folders = [path / name for name in names & set(FOLDERS)]
    if not all(folder.is_dir() and not any(folder.iterdir()) for folder in folders):
        return False
    half = {f".{name}.tmp" for name in (*ABOUT, BEGUN)}
    return names <= {LOCK, *FOLDERS, *((*ABOUT, *half) if LOCK in names else ())}


def _refuse_used(path: Path) -> None:
    if path.is_dir():
        if not _untouched(path):
            raise UsageError(
                f"{path} is not empty: a run directory is never used twice. To go on with the run in it, use "
                f"`gendsl resume {path}`; for a new run, give another directory"
            )
    elif path.exists():
        raise UsageError(f"{path} is a file: give a directory for the run")


def _acquire(path: Path) -> int:
    """An open lock file; the lock goes when it is closed or its process ends, however it ends."""
    if sys.platform == "win32":
        raise UsageError("run directories need POSIX file locks, which Windows does not have: use WSL")
    import fcntl

    try:
        handle = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise RunError(f"cannot lock {path}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(handle, 0)
        os.pwrite(handle, b"%d\n" % os.getpid(), 0)
    except BlockingIOError as error:
        holder = os.pread(handle, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(handle)
        who = "this process itself" if holder == str(os.getpid()) else f"another process (pid {holder})"
        raise RunError(f"{path} is in use: {who} holds its lock") from error
    except OSError as error:
        os.close(handle)
        raise RunError(f"cannot lock {path}: {error.strerror}") from error
    return handle
