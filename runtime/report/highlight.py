"""Colour for text that nobody has vetted: YAML by its tokens, maths by its letters. All of it is escaped."""

from __future__ import annotations

import re

from gendsl.runtime.report.words import esc

SHOWN = 60_000
"""Characters of a spec that are shown; the rest is counted."""

YAML_TOKEN = re.compile(
    r"""
    (?P<comment> (?: (?<=\s) | ^ ) \#[^\n]* )
  | (?P<key>     [A-Za-z_][\w.\-]{0,80} (?= [ ]{0,4}:(?:\s|$) ) )
  | (?P<string>  "[^"\n]{0,2000}" | '[^'\n]{0,2000}' )
  | (?P<number>  (?<![\w.\-]) [-+]? (?:\d[\d_]*\.?\d*|\.\d+) (?:[eE][-+]?\d+)? (?![\w.]) )
  | (?P<word>    (?<![\w.]) (?:true|false|null) (?![\w.]) )
  | (?P<anchor>  [&*][\w\-]+ | \$\{[\w.]+\} )
  | (?P<mark>    [\[\]{},:] | -(?=\s) )
    """,
    re.VERBOSE | re.MULTILINE,
)
MATHS_LINE = re.compile(r"^\s*(?:\w[\w ]{0,20}:?\s+)?([pqc](?:_\w+)?\(.*)$")
MATHS_TOKEN = re.compile(
    r"(?P<name>[A-Za-z]+)(?P<index>\d+|_<?\w+)?|\^(?P<power>-?\w+)"
    r"|(?P<sign><=|>=|\.\.\.|\*|\||-)|(?P<space>\s+)"
)
SYMBOLS = {
    **{"prod": "∏", "sum": "∑", "exp": "exp", "log": "log", "det": "det", "E": "E", "KL": "KL", "N": "N"},
    **{"mu": "<i>μ</i>", "sigma": "<i>σ</i>", "theta": "<i>θ</i>", "phi": "<i>φ</i>", "pi": "<i>π</i>"},
}
SIGNS = {"<=": "≤", ">=": "≥", "...": "…", "*": "·", "|": "<span class='bar'>|</span>", "-": "−"}


def yaml_html(text: str) -> str:
    """YAML as HTML with a span for each token; unknown text is passed through, escaped."""
    shown, hidden = text[:SHOWN], max(0, len(text) - SHOWN)
    parts: list[str] = []
    end = 0
    for match in YAML_TOKEN.finditer(shown):
        parts.append(esc(shown[end : match.start()]))
        parts.append(f'<span class="y-{match.lastgroup}">{esc(match[0])}</span>')
        end = match.end()
    parts.append(esc(shown[end:]))
    if hidden:
        parts.append(f'\n<span class="y-comment"># {hidden} more characters are in the file</span>')
    return "".join(parts)


def maths_lines(explain: str, limit: int = 5) -> list[str]:
    """The lines of `explain` that state a density, such as p(x, z) = p(z) p(x | z)."""
    found = (MATHS_LINE.match(line) for line in explain.splitlines())
    return list(dict.fromkeys(match[1].strip() for match in found if match))[:limit]


def maths_html(line: str) -> str:
    """A line of plain-text maths with italic variables, indices below the line, and proper signs."""
    parts: list[str] = []
    end = 0
    for match in MATHS_TOKEN.finditer(line):
        parts.append(esc(line[end : match.start()]))
        parts.append(_maths_token(match))
        end = match.end()
    parts.append(esc(line[end:]))
    return "".join(parts)


def _maths_token(match: re.Match[str]) -> str:
    if match["space"]:
        return " "
    if match["sign"]:
        return SIGNS[match["sign"]]
    if match["power"]:
        return f"<sup>{esc(match['power'].replace('-', '−'))}</sup>"
    name, index = match["name"], (match["index"] or "").lstrip("_")
    short = len(name) <= 2 or bool(index)
    body = SYMBOLS.get(name) or (f"<i>{esc(name)}</i>" if short else f"<span class='word'>{esc(name)}</span>")
    return body + (f"<sub>{esc(index)}</sub>" if index else "")
