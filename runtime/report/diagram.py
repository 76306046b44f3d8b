"""The graph of variables as inline SVG: circles joined by arrows, p in full lines and q dashed.

Two forms of graph.json are understood: `variables` and `factors` (each factor with its variable and `given`,
as `explain --json` prints them), and `nodes` with `edges` or `links` from `source` to `target`. Any other
gives no picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gendsl.runtime.report.words import esc

LIMIT = 24
"""More variables than this are not drawn."""
RADIUS, ACROSS, DOWN = 21, 118, 70
INFERENCE = ("encoder", "q", "inference")


@dataclass(frozen=True)
class Arrow:
    """An edge between two variables; `inference` for one of q."""

    source: str
    target: str
    inference: bool


def diagram(graph: Any) -> str:
    """The drawing of a parsed graph.json, or "" if it has no form that is known here, or is too large."""
    if not isinstance(graph, dict):
        return ""
    shaded, arrows = dict(_variables(graph)), list(dict.fromkeys(_arrows(graph)))
    arrows = [a for a in arrows if a.source in shaded and a.target in shaded and a.source != a.target]
    if not 1 < len(shaded) <= LIMIT or not arrows:
        return ""
    places = _places(list(shaded), arrows)
    width = max(x for x, _ in places.values()) + RADIUS + 14
    height = max(y for _, y in places.values()) + RADIUS + 14
    room = 34 if any(a.inference for a in arrows) else 14
    top = min(y for _, y in places.values()) - RADIUS - room
    lines = "".join(_arrow(a, places) for a in arrows)
    circles = "".join(_circle(name, places[name], shaded[name]) for name in shaded)
    spoken = "; ".join(f"{a.source} to {a.target}" + (" in q" if a.inference else "") for a in arrows)
    high = height - top
    size = f'viewBox="0 {top} {width} {high}" width="{1.25 * width:g}" height="{1.25 * high:g}"'
    return (
        f'<svg class="diagram" {size} role="img" aria-label="{esc(f"Graph of the variables: {spoken}.")}">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
        f' orient="auto-start-reverse"><path d="M0 0.8L7.5 4L0 7.2z"/></marker></defs>{lines}{circles}</svg>'
    )


def _variables(graph: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Names of variables, and whether each is observed (drawn shaded)."""
    entries = graph.get("variables", graph.get("nodes"))
    if isinstance(entries, dict):
        entries = [
            {"name": name, **(facts if isinstance(facts, dict) else {})} for name, facts in entries.items()
        ]
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(name := entry.get("name", entry.get("id")), str):
            observed = entry.get("observed") not in (None, False, "never", "no")
            yield name, observed or entry.get("role") in ("observed", "condition", "data")


def _arrows(graph: dict[str, Any]) -> Iterator[Arrow]:
    for factor in _dicts(graph.get("factors")):
        side = [str(factor.get(key)) for key in ("section", "role", "side", "kind")]
        head = factor.get("variable", factor.get("head", factor.get("of")))
        given = factor.get("given", factor.get("parents", ()))
        for parent in [given] if isinstance(given, str) else given if isinstance(given, list) else ():
            if isinstance(parent, str) and isinstance(head, str) and "adversary" not in side:
                yield Arrow(parent, head, any(word in INFERENCE for word in side))
    for edge in _dicts(graph.get("edges", graph.get("links"))):
        source, target = edge.get("source"), edge.get("target")
        if isinstance(source, str) and isinstance(target, str):
            words = [str(edge.get(key)) for key in ("section", "role", "side", "kind")]
            yield Arrow(source, target, any(word in INFERENCE for word in words))


def _dicts(entries: Any) -> list[dict[str, Any]]:
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


def _places(names: list[str], arrows: list[Arrow]) -> dict[str, tuple[int, int]]:
    """Columns by the longest way along p (q counts only between variables that p does not join)."""
    column = dict.fromkeys(names, 0)
    joined = {n for a in arrows if not a.inference for n in (a.source, a.target)}
    forward = [a for a in arrows if not a.inference or not {a.source, a.target} <= joined]
    for _ in names:
        for arrow in forward:
            column[arrow.target] = min(max(column[arrow.target], column[arrow.source] + 1), len(names) - 1)
    columns: dict[int, list[str]] = {}
    for name in names:
        columns.setdefault(column[name], []).append(name)
    places = {}
    for i, key in enumerate(sorted(columns)):
        for row, name in enumerate(columns[key]):
            middle = (row - (len(columns[key]) - 1) / 2) * DOWN
            places[name] = (RADIUS + 14 + i * ACROSS, round(middle))
    return places


def _circle(name: str, place: tuple[int, int], shaded: bool) -> str:
    x, y = place
    size = 15 if len(name) <= 3 else max(8, 42 // len(name) + 3)
    label = name if len(name) <= 12 else name[:11] + "…"
    return (
        f'<circle class="{"seen" if shaded else "latent"}" cx="{x}" cy="{y}" r="{RADIUS}"/>'
        f'<text x="{x}" y="{y + size // 3}" font-size="{size}" text-anchor="middle">{esc(label)}</text>'
    )


def _arrow(arrow: Arrow, places: dict[str, tuple[int, int]]) -> str:
    (x1, y1), (x2, y2) = places[arrow.source], places[arrow.target]
    length = max(((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5, 1.0)
    ux, uy = (x2 - x1) / length, (y2 - y1) / length
    if not arrow.inference:
        reach = RADIUS + 4
        d = f"M{x1 + ux * RADIUS:.1f} {y1 + uy * RADIUS:.1f}L{x2 - ux * reach:.1f} {y2 - uy * reach:.1f}"
        return f'<path class="p" d="{d}" marker-end="url(#tip)"/>'
    bend = 30 + 0.06 * length
    nx, ny = (uy, -ux) if (uy, -ux)[1] < 0 else (-uy, ux)
    sx, sy = x1 + (0.6 * ux + 0.8 * nx) * RADIUS, y1 + (0.6 * uy + 0.8 * ny) * RADIUS
    reach = RADIUS + 4
    tx, ty = x2 + (-0.6 * ux + 0.8 * nx) * reach, y2 + (-0.6 * uy + 0.8 * ny) * reach
    mx, my = (sx + tx) / 2 + nx * bend, (sy + ty) / 2 + ny * bend
    return (
        f'<path class="q" d="M{sx:.1f} {sy:.1f}Q{mx:.1f} {my:.1f} {tx:.1f} {ty:.1f}" marker-end="url(#tip)"/>'
    )
