"""What a code of a diagnostic stands for: a title, and the page that `gendsl explain GD210` prints."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """A kind of problem: a few words, and a page with its meaning, a bad and a good example."""

    title: str
    text: str


def page(meaning: str, bad: str, good: str) -> str:
    """The text of a Code: what it means, an example that is refused, and one that is accepted."""
    return f"{textwrap.fill(meaning, 88)}\n\nRefused:\n\n{_indent(bad)}\n\nAccepted:\n\n{_indent(good)}\n"


def _indent(example: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in example.split("\n"))
