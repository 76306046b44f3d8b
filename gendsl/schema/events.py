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
            reached = self.source.line_end(self.source.starts[error.place.start.line - 1])
        self._tabs(reached)
        last = self.problems[-1].place if self.problems else None
        explained = error and error.place and last and last.start.line == error.place.start.line
        if error is not None and not explained:
            self.problems.append(error)

    def index(self, mark: Any) -> int:
        """The index in the whole text of a mark of the parser."""
        return self.begin + int(mark.index)

    def _tabs(self, reached: int) -> None:
        """Report the tabs in indentation before `reached`; inside quotes and text blocks a tab is text."""
        for match in _INDENT_TAB.finditer(self.source.text, self.begin, reached):
            index = match.start(1)
            span = bisect_right(self._verbatim, (index, self.end)) - 1
            if span >= 0 and index < self._verbatim[span][1]:
                continue
            place = self.source.point(index)
            self.problems.append(
                Diagnostic("GD104", "a tab in indentation", place, help="indent with spaces")
            )
            if len(self.problems) == _MAX_TABS:
                return
