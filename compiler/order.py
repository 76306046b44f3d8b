"""Walks over names: topological order and what is reached, on plain maps from a name to its parents or children."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from graphlib import TopologicalSorter


def topological(parents: Mapping[str, tuple[str, ...]], late: Callable[[str], bool]) -> list[str]:
    """The names, parents first, those that are `late` as late as can be, ties in the order of the map.

    Raises graphlib.CycleError.
    """
    rank = {name: (late(name), i, name) for i, name in enumerate(parents)}
    sorter = TopologicalSorter(parents)
    sorter.prepare()
    found: list[str] = []
    waiting: list[tuple[bool, int, str]] = []
    while sorter.is_active():
        for name in sorter.get_ready():
            heapq.heappush(waiting, rank[name])
        found.append(heapq.heappop(waiting)[2])
        sorter.done(found[-1])
    return found


def reached(steps: Mapping[str, tuple[str, ...]], start: str) -> set[str]:
    """Where the steps lead from `start`, without `start` itself."""
    found: set[str] = set()
    pending = [start]
    while pending:
        new = set(steps[pending.pop()]) - found
        found |= new
        pending += new
    return found - {start}
