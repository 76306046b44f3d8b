"""The text of one file: decoded, checked character by character, and measured in lines and columns.

Lines end at LF, CR LF or a lone CR, as in YAML 1.2. The two Unicode line separators and NEL, which YAML 1.1
also takes for ends of lines, are refused, so that a line here is the line an editor shows.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import islice

from gendsl.errors import Diagnostic, Place, Position, SpecError

MAX_BYTES = 1 << 20
"""The longest text that is read: 1 MiB of UTF-8."""

LINE_END = re.compile(r"\r\n|\r|\n")

_MAX_REFUSED = 100
_NO_ESCAPE = "\x00\ufeff"

# Controls, surrogates, a byte-order mark inside the text, separators that only some programs take for line
# ends, and marks that reorder the text around them.
_REFUSED = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_NAMES = {
    "\x00": "a NUL character",
    "\x1b": "an escape character",
    "\x7f": "a DEL character",
    "\x85": "a NEL character (an end of line to some programs only)",
    "\u2028": "a line separator (an end of line to some programs only)",
    "\u2029": "a paragraph separator (an end of line to some programs only)",
    "\ufeff": "a byte-order mark inside the text",
}


@dataclass(frozen=True)
class Source:
    """A text with the file it came from. Indices count characters from 0; positions count from 1."""

    file: str
    text: str
    starts: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "starts", (0, *(m.end() for m in LINE_END.finditer(self.text))))

    def position(self, index: int) -> Position:
        """The line and column of a character."""
        index = min(max(index, 0), len(self.text))
        line = bisect_right(self.starts, index)
        return Position(line, index - self.starts[line - 1] + 1)

    def place(self, start: int, end: int) -> Place:
        """The range of the characters from `start` up to, not including, `end`."""
        return Place(self.file, self.position(start), self.position(max(start, end)))

    def point(self, index: int) -> Place:
        """The one character at an index; an empty range at the end of a line."""
        at_end = index >= len(self.text) or self.text[index] in "\r\n"
        return self.place(index, index if at_end else index + 1)

    def line_end(self, index: int) -> int:
        """The index where the line of a character ends."""
        line = bisect_right(self.starts, index)
        if line == len(self.starts):
            return len(self.text)
        end = self.starts[line]
        return end - 2 if self.text.startswith("\r\n", end - 2) else end - 1


def decode(text: str | bytes, file: str) -> Source:
    """The text as a checked Source; a UTF-8 byte-order mark at its start is dropped.

    Raises SpecError: GD115 longer than `MAX_BYTES`, GD102 not UTF-8, GD103 characters that no spec holds.
    """
    if len(text) > MAX_BYTES:
        raise SpecError([_too_long(file)])
    if isinstance(text, bytes):
        text = _from_utf8(text, file)
    source = Source(file, text.removeprefix("\ufeff"))
    matches = islice(_REFUSED.finditer(source.text), _MAX_REFUSED)
    found = [_refused(source, m.start(), m.group()) for m in matches]
    if found:
        raise SpecError(found, {file: source.text})
    if len(source.text.encode()) > MAX_BYTES:
        raise SpecError([_too_long(file)])
    return source


def _from_utf8(data: bytes, file: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        message = "this file is UTF-16, a spec is UTF-8"
        raise SpecError(
            [Diagnostic("GD102", message, Source(file, "").point(0), help="save it again as UTF-8")]
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        readable = before + data[error.start :].decode(errors="replace")
        place = Source(file, readable).point(len(before))
        message = f"byte 0x{data[error.start]:02x} is not UTF-8"
        problem = Diagnostic("GD102", message, place, help="save the file as UTF-8")
        raise SpecError([problem], {file: readable}) from None


def _refused(source: Source, index: int, character: str) -> Diagnostic:
    name = _NAMES.get(character, f"the character U+{ord(character):04X}")
    advice = "remove it"
    if character not in _NO_ESCAPE:
        advice += f', or write it as "\\u{ord(character):04x}" inside double quotes'
    return Diagnostic("GD103", f"{name} cannot stand in a spec", source.point(index), help=advice)


def _too_long(file: str) -> Diagnostic:
    return Diagnostic(
        "GD115",
        f"this text is longer than {MAX_BYTES >> 20} MiB",
        Source(file, "").point(0),
        help="a spec holds a model, not its data: put the data in a file of its own and name it under data:",
    )
