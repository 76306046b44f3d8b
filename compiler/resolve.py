"""resolve: the whole spec with every default and every inferred shape, in a form that can be run again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from gendsl.compiler.graph import Graph
from gendsl.schema import spec as specs


def resolved(graph: Graph) -> dict[str, Any]:
    """Plain data: the spec's nested form, with the shapes of latents and the number of threads filled in."""
    body = specs.resolved(graph.spec)
    for factor in graph.factors.values():
        variable = graph.variables[factor.head]
        if factor.dist is None or variable.shape is None:
            continue
        body[factor.section][factor.head]["shape"] = list(variable.shape)
    body["run"]["threads"] = graph.resources.threads
    return body


def every_leaf(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of every scalar, list of scalars, and empty map or list of plain data."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from every_leaf(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping | list | tuple) for item in value):
        for i, item in enumerate(value):
            yield from every_leaf(item, f"{path}[{i}]")
    else:
        yield path, list(value) if isinstance(value, tuple) else value


def model_hash(graph: Graph) -> str:
    """sha256 of the model and its training: the resolved spec without `name`, `run`, `sample` and `evaluate`.

    A spec and what `resolve` makes of it have the same: what is inferred counts as if it had been written.
    """
    body = {k: v for k, v in resolved(graph).items() if k not in ("name", "run", "sample", "evaluate")}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
