"""diff: what two models differ in, from what the compiler says of each (`resolve` and `explain`) and what was measured.

A difference is `{"a", "b"}`, null where one side has no such thing. Numbers are subtracted only where they measure the
same thing in the same way: the same kind, unit, quantity, estimator and data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SAME = ("kind", "unit", "of", "estimator", "samples", "extractor", "resize")
"""What two numbers must share to be subtracted."""
NOTHING = object()


@dataclass(frozen=True)
class Side:
    """One of the two: its resolved spec, what explain says of it, and result.json where it is a run."""

    resolved: Mapping[str, Any]
    explained: Mapping[str, Any]
    result: Mapping[str, Any] | None = None


def compare(a: Side, b: Side) -> dict[str, Any]:
    """Every difference of two models, as one JSON document; `equal` where there is none.

    `model`: whether the hashes are equal, that is the model and its training. `metrics` has every number of either
    side, not only those that differ, and does not count for `equal`.
    """
    spec = _pairs(dict(leaves(a.resolved)), dict(leaves(b.resolved)))
    terms = _named(a, b, _terms)
    capabilities = _named(a, b, lambda side: side.explained["capabilities"])
    parameters = {"a": a.explained["parameters"], "b": b.explained["parameters"]}
    return {
        "format_version": 1,
        "a": a.explained["name"],
        "b": b.explained["name"],
        "equal": not (spec or terms or capabilities or parameters["a"] != parameters["b"]),
        "model": a.explained["hash"] == b.explained["hash"],
        "spec": spec,
        "objective": terms,
        "parameters": parameters,
        "capabilities": capabilities,
        "metrics": _metrics(a.result, b.result),
    }


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of every scalar, list of scalars, and empty map or list; what is null is as if it were absent."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping | list | tuple) for item in value):
        for i, item in enumerate(value):
            yield from leaves(item, f"{path}[{i}]")
    elif value is not None:
        yield path, list(value) if isinstance(value, tuple) else value


def _pairs(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The keys at which two maps differ, in the order of a, then of b."""
    return {
        key: {"a": a.get(key), "b": b.get(key)}
        for key in {**a, **b}
        if a.get(key, NOTHING) != b.get(key, NOTHING)
    }


def _terms(side: Side) -> dict[str, Any]:
    return {term["name"]: term for term in side.explained["objective"]["terms"]}


def _named(a: Side, b: Side, get: Any) -> dict[str, dict[str, Any]]:
    """Things by their names: {"a", "b"} whole where one side has none, else of the fields that differ."""
    found: dict[str, dict[str, Any]] = {}
    for name, pair in _pairs(get(a), get(b)).items():
        if pair["a"] is None or pair["b"] is None:
            found[name] = pair
        else:
            fields = _pairs(pair["a"], pair["b"])
            found[name] = {side: {key: value[side] for key, value in fields.items()} for side in ("a", "b")}
    return found


def _metrics(
    a: Mapping[str, Any] | None, b: Mapping[str, Any] | None
) -> dict[str, dict[str, dict[str, Any]]]:
    """Part of the data -> metric -> both entries, and their difference b - a or why there is none."""
    first, second = (side.get("metrics", {}) if side is not None else {} for side in (a, b))
    same_data = a is not None and b is not None and a.get("data") == b.get("data")
    return {
        part: {
            name: _numbers(first.get(part, {}).get(name), second.get(part, {}).get(name), same_data)
            for name in {**first.get(part, {}), **second.get(part, {})}
        }
        for part in {**first, **second}
    }


def _numbers(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None, same_data: bool) -> dict[str, Any]:
    why = _incomparable(a, b, same_data)
    found: dict[str, Any] = {"a": a, "b": b, "comparable": not why}
    if why:
        return {**found, "why": why}
    assert a is not None
    assert b is not None
    errors = [float(e["stderr"]) for e in (a, b) if e.get("stderr") is not None]
    error = math.hypot(*errors) if len(errors) == 2 else None
    return {**found, "difference": b["value"] - a["value"], "stderr": error}


def _incomparable(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None, same_data: bool) -> str:
    """Why two numbers are not subtracted, or nothing."""
    if a is None or b is None:
        return f"only {'b' if a is None else 'a'} was measured"
    if a.get("value") is None or b.get("value") is None:
        return "one of them has no value"
    for key in SAME:
        if a.get(key) != b.get(key):
            return f"{key} differs: {a.get(key)} and {b.get(key)}"
    return "" if same_data else "the data differ"
