"""gendsl in a process that kills itself: `python -m tests.runtime.killed POINT COUNT gendsl-arguments...`.

POINT `step`: at the start of the COUNT-th training step of this process. POINT `file`: at the COUNT-th operation on a file
or folder under `checkpoints/` (open, rename, mkdir, remove), as Python's audit events report them.
`kill -9` runs no handler and no finally, so what is on the disk is all that is left.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from gendsl.cli import main


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_file(count: int) -> None:
    left = count

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        if event not in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir"):
            return
        if any(isinstance(a, str | os.PathLike) and "checkpoints" in os.fspath(a) for a in args):
            left -= 1
            if left == 0:
                die()

    sys.addaudithook(hook)


def at_step(count: int) -> None:
    from gendsl.runtime.train import Trainer

    left, step = count, Trainer._one_step

    def counted(self: Trainer) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            die()
        step(self)

    Trainer._one_step = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    {"file": at_file, "step": at_step}[sys.argv[1]](int(sys.argv[2]))
    raise SystemExit(main(sys.argv[3:]))
