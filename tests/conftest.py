"""Of all tests: one thread, no windows, no files left by hypothesis, and a budget of subprocesses."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
from hypothesis import settings

SUBPROCESSES = 40
"""How many the default run may start: each costs seconds on a small machine."""

settings.register_profile("gendsl", database=None, derandomize=True, deadline=None)
settings.load_profile("gendsl")


class Started:
    """Counts the processes that this one starts, whoever starts them."""

    def __init__(self) -> None:
        self.count = 0
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "subprocess.Popen":
            self.count += 1


STARTED = Started()


def _default(config: pytest.Config) -> bool:
    return "not slow" in (config.option.markexpr or "")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    limit = f" (at most {SUBPROCESSES})" if _default(config) else ""
    terminalreporter.write_line(f"subprocesses: {STARTED.count}{limit}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _default(session.config) and STARTED.count > SUBPROCESSES and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
