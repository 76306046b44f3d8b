"""Charts as inline SVG, coloured by the page's style sheet: curves, judges on a line, shares of time."""

from __future__ import annotations

import json
from collections.abc import Mapping

from gendsl.runtime.report.axes import Axis, Points, smoothed, step_axis, thinned, value_axis
from gendsl.runtime.report.words import JUDGES, esc, number, plain

WIDTH, HEIGHT = 360, 190
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 26
RAW = 40
"""From this many points on, a curve is drawn faintly with its running mean in full."""


def curve_panel(name: str, train: Points, valid: Points, unit: str, words: str) -> str:
    """A figure with the curves of one quantity over the steps; at least one of them must have a point.

    The page's script reads `data-train`, `data-valid` and `data-box` to show the values under the pointer.
    """
    train, valid = thinned(train), thinned(valid)
    points = [*train, *valid]
    across, up = step_axis([s for s, _ in points]), value_axis([v for _, v in points])
    curves = {"train": train, "valid": valid}
    lines = "".join(_curve(kind, curve, across, up) for kind, curve in curves.items() if curve)
    box = json.dumps([LEFT, WIDTH - RIGHT, across.low, across.high])
    data = " ".join(f'data-{kind}="{esc(_packed(curve))}"' for kind, curve in curves.items() if curve)
    measure = ", ".join(filter(None, (unit, "log scale" if up.log else "")))
    spoken = "; ".join(_spoken(kind, curve) for kind, curve in curves.items() if curve)
    return (
        f'<figure class="panel"><figcaption><span class="name">{esc(name)}</span>'
        f'<span class="words">{esc(words)}</span><span class="unit">{esc(measure)}</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" tabindex="0" data-box="{box}" {data}'
        f' aria-label="{esc(f"{name} over the steps of training. {spoken}.")}">'
        f"{_grid(across, up)}{lines}"
        f'<line class="cursor" y1="{TOP}" y2="{HEIGHT - BOTTOM}" x1="-9" x2="-9"/></svg>'
        f'<p class="readout"><output>{_last(curves)}</output></p></figure>'
    )


def _curve(kind: str, curve: Points, across: Axis, up: Axis) -> str:
    if len(curve) == 1:
        ((x, y),) = _placed(curve, across, up)
        return f'<circle class="dot {kind}" cx="{x}" cy="{y}" r="3.5"/>'
    if len(curve) >= RAW:
        raw, mean = _path(curve, across, up), _path(smoothed(curve), across, up)
        return f'<path class="raw {kind}" d="{raw}"/><path class="line {kind}" d="{mean}"/>'
    dots = "".join(
        f'<circle class="dot {kind}" cx="{x}" cy="{y}" r="2"/>' for x, y in _placed(curve, across, up)
    )
    return f'<path class="line {kind}" d="{_path(curve, across, up)}"/>{dots}'


def _placed(curve: Points, across: Axis, up: Axis) -> list[tuple[float, float]]:
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    return [(round(LEFT + across(s) * wide, 1), round(TOP + (1.0 - up(v)) * high, 1)) for s, v in curve]


def _path(curve: Points, across: Axis, up: Axis) -> str:
    return "M" + "L".join(f"{x} {y}" for x, y in _placed(curve, across, up))


def _grid(across: Axis, up: Axis) -> str:
    parts = []
    for tick, label in up.labels(4):
        y = round(TOP + (1.0 - up(tick)) * (HEIGHT - TOP - BOTTOM), 1)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{y + 3.5}" text-anchor="end">{label}</text>')
    for tick, label in across.labels(4):
        x = round(LEFT + across(tick) * (WIDTH - LEFT - RIGHT), 1)
        x, anchor = (WIDTH - RIGHT, "end") if x > WIDTH - RIGHT - 14 else (x, "middle")
        parts.append(f'<text x="{x}" y="{HEIGHT - 9}" text-anchor="{anchor}">{label}</text>')
    base = HEIGHT - BOTTOM
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>')
    return "".join(parts)


def _packed(curve: Points) -> str:
    return json.dumps([[round(s), float(f"{v:.5g}")] for s, v in curve], separators=(",", ":"))


def _spoken(kind: str, curve: Points) -> str:
    label = {"train": "Training", "valid": "Validation"}[kind]
    (first, start), (last, end) = curve[0], curve[-1]
    if len(curve) == 1:
        return f"{label}: {number(start)} at step {round(first)}"
    return f"{label}: from {number(start)} at step {round(first)} to {number(end)} at step {round(last)}"


def _last(curves: Mapping[str, Points]) -> str:
    step = max(curve[-1][0] for curve in curves.values() if curve)
    values = "".join(
        f'<span class="key {kind}">{kind} <b>{number(plain(curve[-1][1]))}</b></span>'
        for kind, curve in curves.items()
        if curve
    )
    return f'<span class="step">step {number(round(step))}</span>{values}'


def judge_line(name: str, value: float, floor: float | None) -> str:
    """A line from a judge's worst to its best, with a dot at the value and a tick at real against real."""
    judge = JUDGES[name]
    ends = [v for v in (value, floor) if v is not None]
    high = judge.high if judge.high is not None else 1.15 * max(*ends, 0.0, 1e-12)
    low = min(judge.low, *ends)
    axis = Axis(low, max(high, low + 1e-12))
    x = round(6 + 148 * axis(value), 1)
    spoken = f"{judge.title} {number(value)}" + (
        f", real against real {number(floor)}" if floor is not None else ""
    )
    tick, span = "", ""
    if floor is not None:
        at = round(6 + 148 * axis(floor), 1)
        span = f'<line class="span" x1="{at}" x2="{x}" y1="11" y2="11"/>'
        tick = f'<line class="tick" x1="{at}" x2="{at}" y1="4" y2="18"/>'
    return (
        f'<svg class="judge" viewBox="0 0 160 22" role="img" aria-label="{esc(spoken)}">'
        f'<line class="rail" x1="6" x2="154" y1="11" y2="11"/>{span}{tick}'
        f'<circle cx="{x}" cy="11" r="4.5"/></svg>'
    )


def time_bar(parts: Mapping[str, float]) -> str:
    """One bar cut in the shares of its parts, in order."""
    total = sum(parts.values()) or 1.0
    x, rects = 0.0, []
    for i, (name, value) in enumerate(parts.items()):
        width = 600 * value / total
        rects.append(
            f'<rect class="part{i % 4}" x="{x:.1f}" y="0" width="{max(width - 1.5, 0.5):.1f}" height="12">'
            f"<title>{esc(name)}: {value / total:.0%}</title></rect>"
        )
        x += width
    spoken = ", ".join(f"{name} {value / total:.0%}" for name, value in parts.items())
    return (
        f'<svg class="times" viewBox="0 0 600 12" preserveAspectRatio="none" role="img"'
        f' aria-label="Shares of time: {esc(spoken)}">{"".join(rects)}</svg>'
    )
