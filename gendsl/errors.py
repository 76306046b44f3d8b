"""What can go wrong: a Diagnostic with a place, one exception for each stage, and the table of codes.

A diagnostic is data. Nothing here prints; `gendsl.schema.render` makes people's text of it and
`Diagnostic.as_json` the document that `check --json` prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, order=True)
class Position:
    """A place in a text; line and column count from 1, columns in characters."""

    line: int
    column: int


@dataclass(frozen=True)
class Place:
    """A range of one file, `end` exclusive. `file` is a path, or `<--set>` and the like for text given otherwise."""

    file: str
    start: Position
    end: Position


@dataclass(frozen=True)
class Related:
    """A second place that a diagnostic speaks of."""

    message: str
    place: Place | None


@dataclass(frozen=True)
class Diagnostic:
    """One problem (or note) in a spec. `severity` is error, warning or note; `place` is what the user has to change."""

    code: str
    message: str
    place: Place | None = None
    severity: str = "error"
    help: str = ""
    label: str = ""
    """A few words to put beside the caret ("did you mean 'planar'?"); `help` is the longer advice below."""
    related: tuple[Related, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The object that `check --json` prints (docs/language.md, JSON documents)."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            **_place_json(self.place),
            "help": "; ".join(part for part in (self.label, self.help) if part),
            "related": [{"message": r.message, **_place_json(r.place)} for r in self.related],
        }


def _place_json(place: Place | None) -> dict[str, Any]:
    if place is None:
        return {"file": None, "range": None}
    start, end = place.start, place.end
    return {
        "file": place.file,
        "range": {
            "start": {"line": start.line, "column": start.column},
            "end": {"line": end.line, "column": end.column},
        },
    }


class GendslError(Exception):
    """Base of every error that gendsl raises on purpose."""


class SpecError(GendslError):
    """A spec that cannot be accepted: carries every diagnostic of the stage that refused it.

    `sources` maps the files that were read to their texts, for `gendsl.schema.render`; stages after the
    loader leave it empty, because their caller holds the document.
    """

    def __init__(
        self, diagnostics: tuple[Diagnostic, ...] | list[Diagnostic], sources: Mapping[str, str] | None = None
    ) -> None:
        self.diagnostics = tuple(diagnostics)
        self.sources: Mapping[str, str] = {} if sources is None else sources
        super().__init__("; ".join(f"[{d.code}] {d.message}" for d in self.diagnostics))


class UsageError(GendslError):
    """A call or command that cannot be carried out as it was given (exit status 2)."""


class DataError(GendslError):
    """Data that cannot be read, or is not what its header said (exit status 3)."""


class RunError(GendslError):
    """A run that cannot go on: NaN, a damaged checkpoint, a lock that is held (exit status 3)."""


class CertificateError(GendslError):
    """A certificate of `verify` that does not hold (exit status 3)."""
