"""`make mutants`: plants every mutant in a copy of the sources, one at a time, and runs the tests that must kill it.

    python -m tests.mutants.run [WORD ...]      all mutants, or those whose names contain one of the words

The copy lies in a temporary folder; the checkout is only read. The tests first have to pass on the sources
as they are. A mutant is killed where its tests fail by what they find; one that makes the sources unusable
(a name that is not defined, an import that fails) is broken, which counts as little as surviving. Exit
status 1 if any mutant survives or is broken.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.catalogue import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
COPIED = (
    "gendsl",
    "compiler",
    "runtime",
    "specs",
    "tests",
    "docs",
    "README.md",
    "pyproject.toml",
    "Makefile",
)
SKIPPED = shutil.ignore_patterns("__pycache__", "*.pyc")
BROKEN = ("NameError", "AttributeError", "ImportError", "SyntaxError", "TypeError", "ModuleNotFoundError")
MINUTES = 5


def planted(root: Path, mutant: Mutant) -> str:
    """The file's text with the mistake. Raises ValueError where `old` does not occur exactly once."""
    text = (root / mutant.file).read_text("utf-8")
    if text.count(mutant.old) != 1:
        raise ValueError(
            f"{mutant.name}: found {text.count(mutant.old)} times in {mutant.file}: {mutant.old!r}"
        )
    return text.replace(mutant.old, mutant.new)


def copied(folder: Path) -> Path:
    """The sources and the tests in a folder of their own; links stay links."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, symlinks=True, ignore=SKIPPED)
        else:
            shutil.copy2(source, folder / name)
    return folder


def outcome(folder: Path, tests: Sequence[str], *, keep_bytecode: bool = False) -> tuple[int, str]:
    """pytest's exit status, and how the first failure reads."""
    words = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder), "MPLBACKEND": "agg"}
    if not keep_bytecode:
        words["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-rf", "--tb=line", "-m", "not gpu", *tests],
        cwd=folder,
        env={**os.environ, **words},
        capture_output=True,
        text=True,
        timeout=60 * MINUTES,
        check=False,
    )
    failed = re.search(r"^(?:FAILED|ERROR) (.*)$", done.stdout, re.MULTILINE)
    return done.returncode, failed.group(1) if failed else done.stdout[-300:]


def judged(status: int, failure: str) -> str:
    """killed, survived or broken."""
    if status == 0:
        return "survived"
    reason = failure.partition(" - ")[2]
    return "broken" if status != 1 or reason.startswith(BROKEN) else "killed"


def main(words: Sequence[str]) -> int:
    chosen = [m for m in MUTANTS if not words or any(w in m.name for w in words)]
    spared = []
    with tempfile.TemporaryDirectory(prefix="gendsl-mutants-") as name:
        folder = copied(Path(name))
        began = time.monotonic()
        status, failure = outcome(folder, sorted({t for m in chosen for t in m.tests}), keep_bytecode=True)
        if status:
            print(f"the tests fail on the sources as they are: {failure}")
            return 1
        print(f"sound sources pass, {time.monotonic() - began:.0f} s; {len(chosen)} mutants", flush=True)
        for mutant in chosen:
            file, began = folder / mutant.file, time.monotonic()
            kept = folder / "kept"
            shutil.copy2(file, kept)
            file.write_text(planted(folder, mutant), "utf-8")
            status, failure = outcome(folder, mutant.tests)
            shutil.copy2(kept, file)
            verdict = judged(status, failure)
            if verdict != "killed":
                spared.append(mutant.name)
            test = failure.partition(" - ")[0] if verdict == "killed" else failure
            print(f"{verdict:<9}{time.monotonic() - began:5.1f} s  {mutant.name}\n{'':18}{test}", flush=True)
    print(f"{len(chosen) - len(spared)} of {len(chosen)} killed" + (f"; not: {spared}" if spared else ""))
    return 1 if spared else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
