"""Diagnostics as text for people: message, place, the line, a caret under the word.

    error[GD210] unknown flow layer 'planer'
      --> specs/vae_planar.yaml:9:15
     9 |       - type: planer
       |               ^^^^^^ did you mean 'planar'?
       = known here: actnorm, coupling, masked_ar, planar

The caret stays under its word where the line holds tabs or wide characters, and long lines are cut around it.
Nothing of a spec reaches a terminal as it is: control characters are replaced.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gendsl.errors import Diagnostic, Place
from gendsl.schema.source import LINE_END

Style = Callable[[str, str], str]
"""(role, text) -> coloured text; roles: error, warning, note, message, place, gutter, caret, related, help"""

MAX_WIDTH = 100
"""Cells of a source line that are shown."""

_TAB = "    "
_ELLIPSIS = "..."
_LEAD = 24
"""Cells kept before the caret where a line is cut."""


def render(diagnostic: Diagnostic, sources: Mapping[str, str], style: Style | None = None) -> str:
    """One diagnostic, without a last line end. `sources` maps files to texts; other files are only named."""
    paint = _plain if style is None else style
    severity = diagnostic.severity
    places = [diagnostic.place, *(related.place for related in diagnostic.related)]
    width = max((len(str(place.start.line)) for place in places if place is not None), default=1)
    head = paint(severity, f"{severity}[{diagnostic.code}]")
    lines = [f"{head} {paint('message', _clean(diagnostic.message))}"]
    label = _clean(diagnostic.label)
    if diagnostic.place is not None:
        lines += _snippet(diagnostic.place, sources, width, _Mark("^", "caret", label), paint)
    elif label:
        lines.append(_note(label, width, paint))
    for related in diagnostic.related:
        message = _clean(related.message)
        if related.place is None:
            lines.append(_note(message, width, paint))
        else:
            lines += _snippet(related.place, sources, width, _Mark("-", "related", message), paint)
    if diagnostic.help:
        lines.append(_note(_clean(diagnostic.help), width, paint))
    return "\n".join(lines)


def render_all(
    diagnostics: Sequence[Diagnostic], sources: Mapping[str, str], limit: int = 20, style: Style | None = None
) -> str:
    """The first `limit` diagnostics, errors before warnings before notes, and a last line that counts all."""
    ranks = ("error", "warning", "note")
    ordered = sorted(
        diagnostics, key=lambda d: ranks.index(d.severity) if d.severity in ranks else len(ranks)
    )
    blocks = [render(diagnostic, sources, style) for diagnostic in ordered[:limit]]
    counts = [
        f"{count} {rank}{'' if count == 1 else 's'}"
        for rank in ranks
        if (count := sum(d.severity == rank for d in diagnostics))
    ]
    last = ", ".join(counts) if counts else "no problems"
    if len(ordered) > limit:
        last += f" ({len(ordered) - limit} not shown)"
    return "\n\n".join([*blocks, last])


@dataclass(frozen=True)
class _Mark:
    """What is drawn under a place: a run of one character, and words beside it."""

    character: str
    role: str
    words: str


def _snippet(place: Place, sources: Mapping[str, str], width: int, mark: _Mark, paint: Style) -> list[str]:
    """The arrow with the place, the line, and the marks under it."""
    line, column = place.start.line, place.start.column
    where = f"{_clean(place.file)}:{line}:{column}"
    lines = [f"{' ' * (width + 1)}{paint('gutter', '-->')} {paint('place', where)}"]
    text = _line(sources.get(place.file), line)
    if text is None:
        return [*lines, _note(mark.words, width, paint)] if mark.words else lines
    end = place.end.column if place.end.line == line else len(text) + 1
    shown, before, cells = _window(text, column - 1, max(end - 1, column - 1))
    run = paint(mark.role, (mark.character * cells + " " + mark.words).rstrip())
    number = paint("gutter", f"{line:>{width}} |")
    empty = paint("gutter", f"{' ' * width} |")
    return [*lines, f" {number} {shown}".rstrip(), f" {empty} {' ' * before}{run}"]


def _note(words: str, width: int, paint: Style) -> str:
    indent = " " * (width + 2)
    first, *rest = words.split("\n")
    return "\n".join([f"{indent}{paint('help', f'= {first}')}", *(f"{indent}  {line}" for line in rest)])


def _line(text: str | None, number: int) -> str | None:
    if text is None:
        return None
    lines = LINE_END.split(text)
    return lines[number - 1] if number <= len(lines) else None


def _window(line: str, start: int, end: int) -> tuple[str, int, int]:
    """The part of a line to show, the cells before the mark, and the cells of the mark (at least one)."""
    cells = [_show(character) for character in line]
    before, marked = cells[:start], cells[start:end]
    left = 0
    tail = min(_cells(marked), MAX_WIDTH // 2) + len(_ELLIPSIS)
    if _cells(before) + tail > MAX_WIDTH:
        left = start
        kept = 0
        while kept + _width(before[left - 1]) <= _LEAD:
            left -= 1
            kept += _width(before[left])
    shown: list[str] = [_ELLIPSIS] if left else []
    room = MAX_WIDTH - _cells(shown)
    for index, cell in enumerate(cells[left:], left):
        rest = len(_ELLIPSIS) if index + 1 < len(cells) else 0
        if _width(cell) + rest > room:
            shown.append(_ELLIPSIS)
            break
        room -= _width(cell)
        shown.append(cell)
    indent = _cells(before[left:]) + (len(_ELLIPSIS) if left else 0)
    run = min(_cells(marked), max(MAX_WIDTH - indent, 1))
    return "".join(shown), indent, max(run, 1)


def _show(character: str) -> str:
    """A character as it is shown: a tab as spaces, one that a terminal obeys as a replacement mark."""
    if character == "\t":
        return _TAB
    return (
        "\ufffd"
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or _reorders(character)
        else character
    )


def _reorders(character: str) -> bool:
    return "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"


def _clean(text: str) -> str:
    return "".join(character if character == "\n" else _show(character) for character in text)


def _cells(parts: Sequence[str]) -> int:
    return sum(_width(part) for part in parts)


def _width(part: str) -> int:
    """The cells of a terminal that a text takes: two for wide characters, none for combining ones."""
    width = 0
    for character in part:
        if unicodedata.category(character) in ("Mn", "Me", "Cf"):
            continue
        width += 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
    return width


def _plain(role: str, text: str) -> str:
    return text
