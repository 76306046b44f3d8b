"""What PyYAML says about text that is not YAML, said again in words about the spec (GD101).

The C parser and the Python parser word the same mistake differently; a row of the table is chosen by parts
that both have in common.
"""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from gendsl.errors import Diagnostic, Place, Related
from gendsl.schema.source import Source


@dataclass(frozen=True)
class _Row:
    """How one kind of mistake is told; the place to change is where it was `noticed` or where it `began`."""

    problem: str
    context: str
    message: str
    help: str
    at: str = "noticed"
    code: str = "GD101"


_NO_DIRECTIVES = "remove the line that begins with '%'"
_ROWS = (
    _Row(
        "exceeded maximum nesting depth",  # of parsers that read ahead so far before the first event
        "",
        "too many lists and maps inside each other",
        "close the brackets and braces that are open",
        code="GD116",
    ),
    _Row(
        "found unexpected end of stream",
        "quoted scalar",
        "this quote is never closed",
        "close it with the same quote; inside '...' a quote is written ''",
        "began",
    ),
    _Row("found unexpected document indicator", "quoted scalar", "this quote is never closed", "", "began"),
    _Row(
        "invalid Unicode",
        "scalar",
        "this escape names no character",
        "write the character itself, or a code below 110000 that is not half a surrogate pair",
    ),
    _Row(
        "escape c",
        "scalar",
        "unknown escape after '\\' in a double-quoted string",
        "use single quotes, where a backslash is only a backslash, or write \\\\",
    ),
    _Row(
        "hexdecimal",
        "scalar",
        "a hexadecimal escape in a double-quoted string is too short",
        "write \\x and 2 digits, \\u and 4, or \\U and 8",
    ),
    _Row(
        "expected ':'",
        "simple key",
        "this line is neither 'key: value' nor part of the value above it",
        "a key is followed by ':' and a space or the end of the line",
        "began",
    ),
    _Row(
        "mapping values are not allowed",
        "",
        "a second ':' where a value is expected",
        "indent keys of one map equally, write a map on one line as {key: value}, "
        "and put text that holds ': ' in quotes",
    ),
    _Row(
        "sequence entries are not allowed",
        "",
        "a list cannot begin with '-' here",
        "begin it on the next line, or write it as [first, second]",
    ),
    _Row("cannot start any token", "", "a value cannot begin with this character", "put the value in quotes"),
    _Row(
        "alphabetic or numeric",
        "anchor",
        "a name is missing after '&'",
        "put text that begins with '&' in quotes",
        "began",
    ),
    _Row(
        "alphabetic or numeric",
        "alias",
        "a name is missing after '*'",
        "put text that begins with '*' in quotes",
        "began",
    ),
    _Row(
        "",
        "anchor",
        "the name after '&' holds a character that no name may hold",
        "use letters and digits",
        "began",
    ),
    _Row(
        "",
        "alias",
        "the name after '*' holds a character that no name may hold",
        "use letters and digits",
        "began",
    ),
    _Row("", "tag", "a spec has no YAML tags", "remove the word that begins with '!'", "began", "GD110"),
    _Row("tag handle", "", "a spec has no YAML tags", "remove the word that begins with '!'", code="GD110"),
    _Row("", "directive", "a spec has no YAML directives", _NO_DIRECTIVES, "began", "GD119"),
    _Row("incompatible YAML", "", "a spec has no YAML directives", _NO_DIRECTIVES, code="GD119"),
    _Row(
        "",
        "block scalar",
        "a text block cannot begin like this",
        "put nothing but a comment after '|' or '>'",
    ),
    _Row(
        "expected ','",
        "flow mapping",
        "expected ',' or '}' in a map that is written in braces",
        "separate the keys with ','; put text that holds { } [ ] , or ': ' in quotes",
    ),
    _Row(
        "expected ','",
        "flow sequence",
        "expected ',' or ']' in a list that is written in brackets",
        "separate the items with ','; put text that holds { } [ ] , or ': ' in quotes",
    ),
    _Row("node content", "", "a value is missing here", "remove the extra character, or put text in quotes"),
    _Row(
        "",
        "block mapping",
        "this does not belong to the map around it",
        "indent the keys of one map equally, put one key on a line, and put text that holds quotes in quotes",
    ),
    _Row(
        "",
        "block collection",
        "this does not belong to the list around it",
        "begin every item of a list with '-', all equally indented",
    ),
    _Row(
        "document start",
        "",
        "the document has ended before this",
        "a spec is one map: indent its keys equally and put ': ' after each",
    ),
)


def syntax_error(error: yaml.YAMLError | ValueError, source: Source, begin: int) -> Diagnostic:
    """The diagnostic for an error of the parser, whose marks count characters from `begin`."""
    problem = str(getattr(error, "problem", None) or "this is not YAML")
    context = str(getattr(error, "context", None) or "")
    noticed = _index(getattr(error, "problem_mark", None), begin)
    began = _index(getattr(error, "context_mark", None), begin)
    if noticed is None:
        noticed = begin if began is None else began
    if "flow" in context and "expected" in problem and not source.text[noticed:].strip():
        unclosed = _unclosed(source, begin, began, noticed)
        if unclosed is not None:
            return unclosed
    row = next((r for r in _ROWS if r.problem in problem and r.context in context), None)
    if row is None:
        return Diagnostic("GD101", f"this is not YAML: {problem}", source.point(noticed))
    advice = row.help
    if row.problem == "expected ','" and source.text[noticed - 1 : noticed + 1] == "${":
        advice = 'inside [ ] and { } a constant needs quotes: "${name}"'
    if row.at == "began" and began is not None:
        return Diagnostic(row.code, row.message, _head(source, began), help=advice)
    if row.context == "block mapping" and _before(source, noticed).strip():
        advice = "one value follows a key; put text that holds quotes, brackets or '*' in quotes as a whole"
        return Diagnostic(
            "GD101", "this does not belong to the value before it", _head(source, noticed), help=advice
        )
    related: tuple[Related, ...] = ()
    if began is not None and source.position(began).line != source.position(noticed).line:
        related = (Related("it began here", source.point(began)),)
    return Diagnostic(row.code, row.message, source.point(noticed), help=advice, related=related)


def _unclosed(source: Source, begin: int, began: int | None, end: int) -> Diagnostic | None:
    """The diagnostic for a bracket that the end of the text leaves open."""
    if began is None or source.text[began : began + 1] not in ("[", "{"):
        began = max(source.text.rfind("[", begin, end), source.text.rfind("{", begin, end))
    if began < begin:
        return None
    closing = "]" if source.text[began] == "[" else "}"
    message = f"this {source.text[began]!r} is never closed"
    return Diagnostic("GD101", message, source.point(began), help=f"add the missing {closing!r}")


def _head(source: Source, index: int) -> Place:
    """From an index to the end of its word."""
    end = index + 1
    while end < len(source.text) and not source.text[end].isspace():
        end += 1
    return source.place(index, end)


def _before(source: Source, index: int) -> str:
    """The line of an index, up to it."""
    return source.text[source.starts[source.position(index).line - 1] : index]


def _index(mark: yaml.Mark | None, begin: int) -> int | None:
    return None if mark is None else begin + mark.index
