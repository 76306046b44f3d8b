"""The events of PyYAML's parser, and what its syntax errors and tabs in indentation become.

Only events are taken from PyYAML. Its C parser delivers them by a state machine, so that depth costs nothing
(it is the composer that recurses); the Python parser is used where PyYAML was built without libyaml.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, Protocol

import yaml
import yaml.parser
import yaml.reader
import yaml.scanner

from gendsl.errors import Diagnostic
from gendsl.schema.source import Source
from gendsl.schema.syntax import syntax_error

_INDENT_TAB = re.compile(r"(?:^|(?<=[\r\n])) *(\t)[\t ]*(?=[^\s#])")
_MAX_TABS = 20
_VERBATIM = ("'", '"', "|", ">")


class Parser(Protocol):
    """What both parsers of PyYAML offer."""

    def check_event(self, *choices: type[yaml.Event]) -> bool: ...
    def get_event(self) -> Any: ...


class PythonParser(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser):
    """PyYAML's parser in Python."""

    def __init__(self, text: str) -> None:
        yaml.reader.Reader.__init__(self, text)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)


def parser(text: str) -> Parser:
    """The fastest parser there is."""
    if not yaml.__with_libyaml__:
        return PythonParser(text)
    from yaml.cyaml import CParser  # type: ignore[attr-defined]

    found: Parser = CParser(text)
    return found


class Events:
    """The events of `source.text[begin:end]`; `problems` are the tabs and the syntax error."""

    def __init__(self, source: Source, begin: int, end: int) -> None:
        self.source = source
        self.begin = begin
        self.end = end
        self.problems: list[Diagnostic] = []
        self._verbatim: list[tuple[int, int]] = []

    def __iter__(self) -> Iterator[Any]:
        reached = self.end
        error: Diagnostic | None = None
        try:
            events = parser(self.source.text[self.begin : self.end])
            while events.check_event():
                event = events.get_event()
                if isinstance(event, yaml.ScalarEvent) and event.style in _VERBATIM:
                    self._verbatim.append((self.index(event.start_mark), self.index(event.end_mark)))
                yield event
        except (yaml.YAMLError, ValueError) as raised:  # the Python parser passes chr()'s ValueError on
            error = syntax_error(raised, self.source, self.begin)
            assert error.place is not None
            start = self.source.starts[error.place.start.line - 1]
            reached = self.source.line_end(start)
            tab = self._first_tab(start)
            if tab is not None:
                error, reached = self._tab(tab), start
        self._tabs(reached)
        if error is not None:
            self.problems.append(error)

    def index(self, mark: Any) -> int:
        """The index in the whole text of a mark of the parser."""
        return self.begin + int(mark.index)

    def _tabs(self, reached: int) -> None:
        """Report the tabs in indentation before `reached`."""
        for match in _INDENT_TAB.finditer(self.source.text, self.begin, reached):
            if len(self.problems) < _MAX_TABS and not self._is_text(match.start(1)):
                self.problems.append(self._tab(match.start(1)))

    def _first_tab(self, start: int) -> int | None:
        """The index of the tab that the line at `start` begins with, spaces aside."""
        index = start
        while self.source.text.startswith(" ", index):
            index += 1
        return index if self.source.text.startswith("\t", index) and not self._is_text(index) else None

    def _is_text(self, index: int) -> bool:
        """Whether a character is part of a quoted string or a text block, where a tab is text."""
        span = bisect_right(self._verbatim, (index, self.end)) - 1
        return span >= 0 and index < self._verbatim[span][1]

    def _tab(self, index: int) -> Diagnostic:
        return Diagnostic(
            "GD104", "a tab in indentation", self.source.point(index), help="indent with spaces"
        )
