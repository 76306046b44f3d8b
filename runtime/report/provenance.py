"""The report's sections of pictures, and of where a run comes from: spec, machine, time, command."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from gendsl.runtime.curves import finite
from gendsl.runtime.report.charts import curve_panel, time_bar
from gendsl.runtime.report.highlight import SHOWN, yaml_html
from gendsl.runtime.report.records import Files, Picture
from gendsl.runtime.report.words import esc, number, seconds

FRAMES = 8
"""How many earlier pictures of a series are shown in its strip."""


def pictures(files: Files) -> str:
    """The last picture of each series in full, the earlier ones as a strip; reconstructions after samples."""
    series: dict[str, list[Picture]] = {}
    for picture in files.pictures:
        series.setdefault(picture.series, []).append(picture)
    parts = []
    for name in sorted(series, key=lambda n: (_is_pairs(n), n)):
        frames = sorted(series[name], key=lambda p: (p.step is None, p.step or 0))
        last, earlier = frames[-1], _spread(frames[:-1])
        caption = "Originals above, reconstructions below" if _is_pairs(name) else _heading(name)
        parts.append(f'<div class="series"><h3>{esc(caption)}</h3>{_image(last, caption, "full")}')
        if earlier:
            strip = "".join(_image(p, caption, "frame") for p in earlier)
            parts.append(f'<p class="fine">Earlier in training:</p><div class="strip">{strip}</div>')
        parts.append("</div>")
    return "".join(parts)


def _is_pairs(series: str) -> bool:
    return "recon" in series or "pairs" in series


def _heading(series: str) -> str:
    if series.startswith("means_"):
        return f"Means of p({series.removeprefix('means_')} | z) at samples of z, without noise of their own"
    words = series.replace("_", " ").replace("-", " ").strip() or "samples"
    return words[:1].upper() + words[1:]


def _spread(frames: list[Picture]) -> list[Picture]:
    if len(frames) <= FRAMES:
        return frames
    return [frames[round(i * (len(frames) - 1) / (FRAMES - 1))] for i in range(FRAMES)]


def _image(picture: Picture, caption: str, role: str) -> str:
    at = f"step {number(picture.step)}" if picture.step is not None else ""
    alt = f"{picture.description or caption}{f', at {at}' if at else ''}"
    source = base64.b64encode(picture.data).decode("ascii")
    look = "plot" if picture.plot else "pixels"
    return (
        f'<figure class="{role} {look}"><img src="data:image/png;base64,{source}" alt="{esc(alt)}"'
        f' width="{picture.width}" height="{picture.height}">'
        + (f"<figcaption>{esc(at)}</figcaption>" if at else "")
        + "</figure>"
    )


def spec_section(files: Files) -> str:
    """The spec as given, and with every default, highlighted."""
    parts = []
    for name, heading in (("spec.yaml", "As it was given"), ("resolved.yaml", "With every default")):
        if name in files.texts:
            state = " open" if name == "spec.yaml" else ""
            parts.append(
                f"<details{state}><summary>{heading} <code>{name}</code></summary>"
                f'<pre class="yaml"><code>{yaml_html(files.texts[name])}</code></pre></details>'
            )
    if overrides := files.texts.get("overrides.txt", "").strip():
        parts.append(
            f"<p class='note'>Changed on the command line:</p><pre><code>{esc(overrides)}</code></pre>"
        )
    return "".join(parts)


def explain_section(files: Files) -> str:
    """The text of explain.txt as it is."""
    text = files.texts.get("explain.txt", "")
    return f'<pre class="explain"><code>{esc(text[:SHOWN])}</code></pre>' if text.strip() else ""


def commands(files: Files) -> list[tuple[str, str]]:
    """What repeats this run, each with its words: from the resolved spec, and from the spec as given."""
    seed = finite(files.result.get("seed"))
    tail = ["--seed", f"{seed:.0f}"] if seed is not None else []
    found = []
    if "resolved.yaml" in files.texts:
        command = ["gendsl", "run", f"{files.name}/resolved.yaml", *tail]
        found.append(("From the resolved spec, which holds every setting", shlex.join(command)))
    if "spec.yaml" in files.texts:
        command = ["gendsl", "run", f"{files.name}/spec.yaml", *_flags(files.texts.get("overrides.txt", ""))]
        command += [] if "--seed" in command else tail
        found.append(("From the spec as it was given", shlex.join(command)))
    if files.result.get("status") != "completed":
        found.append(
            ("To go on where the last checkpoint stands", shlex.join(["gendsl", "resume", files.name]))
        )
    return found


def _flags(overrides: str) -> Iterator[str]:
    """Each line of overrides.txt as arguments: a flag as it is written, any other line as a --set."""
    for line in filter(None, map(str.strip, overrides.splitlines())):
        if line.startswith("--"):
            try:
                yield from shlex.split(line)
            except ValueError:
                yield line
        else:
            yield from ("--set", line)


def repeat_section(files: Files) -> str:
    """The commands that repeat the run."""
    return "".join(
        f'<p class="note">{esc(words)}:</p><pre class="command"><code>{esc(line)}</code></pre>'
        for words, line in commands(files)
    )


def time_section(files: Files) -> str:
    """Where the seconds went: a bar of result.json's `seconds`, and the curves of timings.jsonl."""
    parts = []
    spent = files.result.get("seconds")
    known = (
        {str(k): t for k, v in spent.items() if (t := finite(v)) is not None and t >= 0}
        if isinstance(spent, dict)
        else {}
    )
    if known:
        keys = "".join(
            f'<li><span class="swatch part{i % 4}"></span>{esc(name)} <b>{esc(seconds(value))}</b></li>'
            for i, (name, value) in enumerate(known.items())
        )
        parts.append(f'{time_bar(known)}<ul class="legend">{keys}</ul>')
    timings: dict[str, list[tuple[float, float]]] = {}
    for line in files.timings:
        for key, value in line.items():
            if key != "step" and (known_value := finite(value)) is not None:
                timings.setdefault(key, []).append((line["step"], known_value))
    panels = [
        curve_panel(key, points, (), "", "") for key, points in list(timings.items())[:3] if len(points) > 1
    ]
    if panels:
        parts.append(f'<div class="panels">{"".join(panels)}</div>')
    return "".join(parts)


def environment_section(files: Files) -> str:
    """environment.json as a table, nested keys joined by dots."""
    rows = "".join(
        f"<tr><th scope='row'>{esc(key)}</th><td>{esc(value)}</td></tr>"
        for key, value in _flat(files.environment)
    )
    if not rows:
        return ""
    return (
        f"<div class='scroll'><table class='facts'><caption class='hidden'>Environment</caption>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in document.items():
        if isinstance(value, dict) and len(prefix) < 200:
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield f"{prefix}{key}", ", ".join(map(str, value))
        else:
            yield f"{prefix}{key}", "–" if value is None else value
