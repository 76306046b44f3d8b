"""Of all tests: one thread, no windows, no files left by hypothesis, and a budget of subprocesses."""

from __future__ import annotations

import os
import sys
from collections import Counter

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
    """Counts the processes that this one starts, by the test file at work."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "subprocess.Popen":
            self.files[os.environ.get("PYTEST_CURRENT_TEST", "collection").split("::")[0]] += 1


STARTED = Started()


def _over(config: pytest.Config) -> bool:
    return "not slow" in (config.option.markexpr or "") and STARTED.files.total() > SUBPROCESSES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.write_line(f"subprocesses: {STARTED.files.total()}")
    if _over(config):
        users = ", ".join(f"{file} {count}" for file, count in STARTED.files.most_common())
        terminalreporter.write_line(f"FAILED: the default run starts more than {SUBPROCESSES}: {users}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _over(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
