"""Small runs for tests: made, cut short at a chosen instant, resumed, compared byte for byte."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from gendsl.runtime import checkpoint
from gendsl.runtime import run as runs
from gendsl.schema.load import load, loads

STEPS = 23
SMALL = (
    f"train.steps={STEPS}",
    "train.batch_size=16",
    "train.checkpoint.every=7",
    "train.checkpoint.keep=2",
    "train.log=5",
    "evaluate.samples=2",
    "evaluate.metrics=[]",
    "sample.n=4",
)
ROOT = Path(__file__).resolve().parents[2]


class Killed(BaseException):
    """What a run dies of in the same process; no handler of the product catches it."""


def begin(spec: str, out: Path, sets: Sequence[str] = SMALL, **options: object) -> runs.Session:
    """A session of a shipped spec by name, or of a spec given as text."""
    found = loads(spec, sets=list(sets)) if "\n" in spec else load(spec, sets=list(sets))
    return runs.start(found, out=out, **options)  # type: ignore[arg-type]


def whole(spec: str, out: Path, sets: Sequence[str] = SMALL) -> Path:
    """A run trained to its end without a stop; not evaluated."""
    session = begin(spec, out, sets)
    try:
        session.trainer.fit()
    finally:
        session.run.close()
    return out


def cut(session: runs.Session, step: int) -> None:
    """Train until step number `step` begins, then die there."""
    one = session.trainer._one_step

    def counted() -> None:
        if session.trainer.step == step:
            raise Killed
        one()

    session.trainer._one_step = counted  # type: ignore[method-assign]
    try:
        session.trainer.fit()
    except Killed:
        pass
    finally:
        session.run.close()


def go_on(path: Path) -> runs.Session:
    """Resume and train to the end."""
    session = runs.reopen(path)
    try:
        session.trainer.fit()
    finally:
        session.run.close()
    return session


def same(one: Path, other: Path) -> None:
    """Asserts that logs and checkpoints are equal byte for byte."""
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    names = [p.name for p in checkpoint.entries(one / "checkpoints")]
    assert names == [p.name for p in checkpoint.entries(other / "checkpoints")]
    assert names
    for name in names:
        a, b = (checkpoint.load(p / "checkpoints" / name) for p in (one, other))
        assert a.tensors.keys() == b.tensors.keys()
        differing = [n for n in a.tensors if not a.tensors[n].equal(b.tensors[n])]
        assert not differing, f"{name}: {differing[:5]} of {len(a.tensors)}"
        assert a.state == b.state
        for file in ("tensors.safetensors", "state.json", "manifest.json"):
            assert (one / "checkpoints" / name / file).read_bytes() == (
                other / "checkpoints" / name / file
            ).read_bytes()


def gendsl(
    *arguments: str, cwd: Path, module: Sequence[str] = ("gendsl",)
) -> subprocess.CompletedProcess[str]:
    """gendsl in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", *module, *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def environment() -> dict[str, str]:
    """One thread, the checkout on the path, nothing else of the caller's that could matter."""
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
