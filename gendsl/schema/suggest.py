"""Which known name a wrong word was meant to be: the nearest names, or a word of another library."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice

from gendsl.schema.foreign import FOREIGN, Foreign

__all__ = ["FOREIGN", "Foreign", "did_you_mean", "edit_distance", "listing", "nearest"]

_LONGEST = 64
_MOST = 500


def nearest(word: str, candidates: Iterable[str], limit: int = 3) -> list[str]:
    """The candidates that `word` may be a slip for, nearest first; at most `limit`, none if none is near.

    Near is a small edit distance (insert, delete, replace, swap two neighbours), where upper and lower case,
    `_` and `-` count as equal, or one of the two beginning with the whole of the other. Only the first 500
    candidates are looked at.
    """
    plain = _plain(word)
    if not plain or len(plain) > _LONGEST:
        return []
    scored: list[tuple[float, str]] = []
    for candidate in set(islice(candidates, _MOST)):
        score = _score(plain, _plain(candidate))
        if score is not None:
            scored.append((score, candidate))
    scored.sort()
    return [candidate for score, candidate in scored if score <= scored[0][0] + 1.0][:limit]


def did_you_mean(names: list[str]) -> str:
    """ "did you mean 'a', 'b' or 'c'?", or nothing for no names."""
    if not names:
        return ""
    quoted = [f"'{name}'" for name in names]
    listed = quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
    return f"did you mean {listed}?"


def listing(names: Collection[str], limit: int = 20) -> str:
    """The first names, separated by commas, and ", ..." where there are more."""
    return ", ".join([*islice(names, limit), *(["..."] if len(names) > limit else [])])


def _plain(word: str) -> str:
    return word.casefold().replace("_", "").replace("-", "").replace(" ", "")


def _score(word: str, candidate: str) -> float | None:
    """A distance from 0 (equal but for case), or None for words that have nothing in common."""
    if not candidate or len(candidate) > _LONGEST:
        return None
    allowed = max(1, (max(len(word), len(candidate)) + 1) // 3)
    distance = edit_distance(word, candidate) if abs(len(word) - len(candidate)) <= allowed else None
    if distance is not None and distance <= allowed and distance < min(len(word), len(candidate)):
        return float(distance)
    shorter, longer = sorted((word, candidate), key=len)
    if len(shorter) >= 3 and longer.startswith(shorter):
        return 2.5
    return None


def edit_distance(a: str, b: str) -> int:
    """The optimal string alignment distance: insertions, deletions, replacements and swaps of neighbours."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, last, row = row, before, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]
