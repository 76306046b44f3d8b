"""Plain scalars: the YAML 1.2 core schema, narrower.

`true`, `false`, `null` (also `~` and nothing at all), decimal integers and decimal floats are what they look
like, `1e-3` included. Every other plain word is a string: `on`, `yes`, `2024-01-31`, `12:30`. Numbers that
two readers of YAML would read differently, or that lose digits, are refused with the way to write what was
meant.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

Value = None | bool | int | float | str

_WORDS: dict[str, Value] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_BASED = re.compile(r"([-+]?)0(?:([oO])([0-7_]*[0-7])|([xX])([0-9a-fA-F_]*[0-9a-fA-F])|([bB])([01_]*[01]))")
_BASES = {"o": 8, "x": 16, "b": 2}
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?")
_UNDERSCORES = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9_]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_INTEGER = 2**63 - 1
_MAX_DIGITS = 19


@dataclass(frozen=True)
class Unclear:
    """A number that is refused: why, and how to write what was meant."""

    why: str
    help: str


def resolve(text: str) -> Value | Unclear:
    """What a plain (unquoted, untagged) scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return _float(text)
    return _unclear(text) or text


def _integer(text: str) -> int | Unclear:
    if len(text.lstrip("+-")) > _MAX_DIGITS or abs(int(text)) > _MAX_INTEGER:
        return Unclear(
            "an integer this long does not fit 64 bits",
            f"write {_shorten(text)} for a float, or put it in quotes for a string",
        )
    return int(text)


def _float(text: str) -> float | Unclear:
    value = float(text)
    if math.isinf(value):
        return Unclear("a float this large is read as infinity", "write a finite number (at most 1.7e308)")
    if value == 0.0 and re.search("[1-9]", re.split("[eE]", text)[0]):
        return Unclear("a float this small is read as 0", "write 0.0, or a number of at least 1e-307")
    return value


def _unclear(text: str) -> Unclear | None:
    """The refusal of a word that looks like a number, or None for a string."""
    quoted = f"'{text}' in quotes for a string"
    if _NOT_FINITE.fullmatch(text):
        return Unclear(
            "a spec holds finite numbers only",
            f"leave the key out where there is no limit, or write {quoted}",
        )
    based = _BASED.fullmatch(text)
    if based:
        decimal = _decimal(*based.groups())
        return Unclear("numbers are written in decimal", f"write {decimal} for the number, or {quoted}")
    if _LEADING_ZERO.fullmatch(text):
        why = "a leading zero means octal to some readers of YAML and nothing to others"
        return Unclear(why, f"write {_strip_zeros(text)} for the number, or {quoted}")
    if "_" in text and _UNDERSCORES.fullmatch(text):
        why = "an underscore between digits means a number to some readers of YAML and a string to others"
        return Unclear(why, f"write {_strip_zeros(text.replace('_', ''))} for the number, or {quoted}")
    return None


def _decimal(sign: str, *groups: str | None) -> str:
    letter, digits = (group for group in groups if group is not None)
    if len(digits) > _MAX_DIGITS:
        return "it in decimal"
    return f"{sign}{int(digits.replace('_', ''), _BASES[letter.lower()])}"


def _strip_zeros(text: str) -> str:
    sign = text[0] if text[0] in "+-" else ""
    return sign + re.sub(r"^0+(?=[0-9])", "", text[len(sign) :])


def _shorten(digits: str) -> str:
    sign = "-" if digits.startswith("-") else ""
    digits = digits.lstrip("+-")
    head = digits[:3].rstrip("0")
    mantissa = head[0] + (f".{head[1:]}" if len(head) > 1 else ".0")
    return f"{sign}{mantissa}e{len(digits) - 1}"
