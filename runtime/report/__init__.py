"""One page about one run: `report.html`, made from the files of the run directory alone.

The page holds everything it shows: no address is fetched, pictures are embedded, charts are SVG. Its content
security policy allows only the style sheet and the small script beside this file (by their hashes), so that a
name in a spec, which nobody has vetted, cannot become a program. Equal files give equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from gendsl.runtime.curves import finite
from gendsl.runtime.diagnoses import diagnose
from gendsl.runtime.report.diagram import diagram
from gendsl.runtime.report.highlight import maths_html, maths_lines
from gendsl.runtime.report.numbers import cards, curves, judges_table, metrics_table
from gendsl.runtime.report.provenance import (
    environment_section,
    explain_section,
    pictures,
    repeat_section,
    spec_section,
    time_section,
)
from gendsl.runtime.report.records import CONTENTS, Files, read
from gendsl.runtime.report.words import esc, number, seconds

__all__ = ["write_report"]


def write_report(run: Path, out: Path | None = None) -> Path:
    """Write `report.html` into the run directory `run`, or to the file `out`, and return its path.

    Works on a run at any stage: what is missing or unreadable is named on the page.

    Raises:
        NotADirectoryError: `run` is no directory.
        OSError: the page cannot be written.
    """
    files = read(run)
    path = out if out is not None else run / "report.html"
    path.write_text(_page(files), encoding="utf-8", newline="\n")
    return path


def _page(files: Files) -> str:
    style, script = _resource("page.css"), _resource("page.js")
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}"
    sections = [
        ("numbers", "Numbers", cards(files)),
        ("pictures", "Pictures", pictures(files)),
        ("quality", "Sample quality", judges_table(files)),
        ("curves", "Training", curves(files)),
        ("metrics", "All metrics", metrics_table(files)),
        ("spec", "Spec", spec_section(files)),
        ("explain", "What the compiler derived", explain_section(files)),
        ("repeat", "Repeat this run", repeat_section(files)),
        ("time", "Time", time_section(files)),
        ("environment", "Environment", environment_section(files)),
    ]
    sections = [(key, heading, body) for key, heading, body in sections if body]
    links = "".join(f'<a href="#{key}">{heading}</a>' for key, heading, _ in sections)
    bodies = "".join(
        f'<section id="{key}" aria-labelledby="{key}-h"><h2 id="{key}-h">{heading}</h2>{body}</section>'
        for key, heading, body in sections
    )
    name = _name(files)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{esc(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{esc(name)} · gendsl report</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f"{_header(files, name)}<nav aria-label='Sections'>{links}</nav>\n"
        f"<main>{_warnings(files)}{bodies}</main>\n"
        f"<footer>{_footer(files)}</footer>\n<script>{script}</script>\n</body>\n</html>\n"
    )


def _header(files: Files, name: str) -> str:
    maths = "".join(
        f"<li>{maths_html(line)}</li>" for line in maths_lines(files.texts.get("explain.txt", ""))
    )
    drawing = diagram(files.graph)
    facts = "".join(f"<div><dt>{esc(k)}</dt><dd>{esc(v)}</dd></div>" for k, v in _facts(files))
    status = str(files.result.get("status", "unfinished"))
    state = "done" if status == "completed" else "open"
    key = '<p class="fine">full arrows: p, the model; dashed: q, inference; shaded: observed</p>'
    return (
        '<header><div class="top"><div>'
        f'<p class="eyebrow">gendsl run <span class="state {state}">{esc(status)}</span></p>'
        f"<h1>{esc(name)}</h1>"
        + (f'<ul class="maths" aria-label="The model">{maths}</ul>' if maths else "")
        + "</div>"
        + (f'<div class="drawing">{drawing}{key}</div>' if drawing else "")
        + f'</div><dl class="facts">{facts}</dl></header>'
    )


def _facts(files: Files) -> list[tuple[str, str]]:
    result = files.result
    data = result.get("data") if isinstance(result.get("data"), dict) else {}
    splits: Any = data.get("split") if isinstance(data, dict) else None
    rows = ", ".join(f"{number(n)} {s}" for s, n in splits.items()) if isinstance(splits, dict) else ""
    source = " ".join(str(data[k]) for k in ("source", "variant") if data.get(k)) if data else ""
    spent = result.get("seconds")
    total = sum(t for t in map(finite, spent.values()) if t is not None) if isinstance(spent, dict) else None
    last = max((r["step"] for r in files.records), default=None)
    facts = [
        ("data", source),
        ("rows", rows),
        ("parameters", number(result["parameters"]) if "parameters" in result else ""),
        ("steps", number(result.get("steps", last)) if result.get("steps", last) is not None else ""),
        ("seed", str(result.get("seed", ""))),
        ("time", seconds(total) if total is not None else ""),
    ]
    return [(key, value) for key, value in facts if value]


def _warnings(files: Files) -> str:
    given = files.result.get("warnings")
    said = [str(w) for w in given] if isinstance(given, list) else []
    said += [s for s in diagnose(files.records, files.result) if s not in said]
    parts = []
    if said:
        items = "".join(f"<li>{esc(s)}</li>" for s in said)
        parts.append(
            f'<aside class="warnings" aria-label="Warnings"><h2>Worth knowing</h2><ul>{items}</ul></aside>'
        )
    if files.missing or files.damaged:
        items = "".join(f"<li><code>{esc(n)}</code>: {esc(CONTENTS[n])}</li>" for n in files.missing)
        items += "".join(f"<li><code>{esc(d)}</code></li>" for d in files.damaged)
        parts.append(
            '<aside class="missing" aria-label="Missing files">'
            "<h2>Not in this run directory, or not readable</h2>"
            f"<ul>{items}</ul></aside>"
        )
    return "".join(parts)


def _name(files: Files) -> str:
    spec = files.result.get("spec")
    if isinstance(spec, dict) and spec.get("name"):
        return str(spec["name"])
    for text in (files.texts.get("resolved.yaml", ""), files.texts.get("spec.yaml", "")):
        for line in text.splitlines():
            if line.startswith("name:") and line[5:].strip():
                return line[5:].strip().strip("\"'")
    return files.name


def _footer(files: Files) -> str:
    spec = files.result.get("spec")
    marks = [f"gendsl {files.result['gendsl']}"] if "gendsl" in files.result else ["gendsl"]
    if isinstance(spec, dict) and spec.get("hash"):
        marks.append(f"spec {spec['hash']}")
    marks.append(f"run {files.name}")
    return esc(" · ".join(marks))


def _resource(name: str) -> str:
    return (resources(__name__) / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"
