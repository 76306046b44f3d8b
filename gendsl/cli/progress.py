"""How training is watched: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gendsl.cli.output import on_terminal, tell

if TYPE_CHECKING:
    from gendsl.runtime.train import Progress


@contextmanager
def progress(name: str) -> Iterator[tuple[Callable[[Progress], None], Callable[[str], None]]]:
    """What training and what comes after it is told to: a bar on a terminal, a line now and then elsewhere."""
    if not on_terminal():
        yield _lines(), lambda words: None
        return
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(24),
        TextColumn("{task.fields[pace]}"),
    )
    err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    bar, losses = Bar(*columns, console=err), Text()
    task = bar.add_task(f"preparing {name}", total=None, pace="")

    def update(p: Progress) -> None:
        bar.update(
            task, description=f"step {p.step}/{p.total}", completed=p.step, total=p.total, pace=_pace(p)
        )
        losses.plain = f"  {_losses(p)}"

    def say(words: str) -> None:
        bar.reset(task, description=words, total=None, pace="")
        losses.plain = ""

    with Live(Group(bar, losses), console=err, transient=True):
        yield update, say


def _lines() -> Callable[[Progress], None]:
    said = -1

    def update(p: Progress) -> None:
        nonlocal said
        tenth = 10 * p.step // p.total
        if p.logged and (tenth > said or p.step == p.total):
            said = tenth
            tell(f"step {p.step}/{p.total}  {_pace(p)}  {_losses(p)}")

    return update


def _pace(p: Progress) -> str:
    """Time left and rows per second."""
    minutes, seconds = divmod(round(p.seconds_left), 60)
    hours, minutes = divmod(minutes, 60)
    left = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{left} left  {p.rows_per_second:,.0f} samples/s"


def _losses(p: Progress) -> str:
    """Each player's loss, and the terms where they are more than that."""
    losses = [f"{n} loss {v:.4g}" if len(p.losses) > 1 else f"loss {v:.4g}" for n, v in p.losses.items()]
    terms = [f"{n} {v:.4g}" for n, v in p.terms.items()] if len(p.terms) > len(p.losses) else []
    return "  ".join([*losses, *terms])
