"""resolve: the whole spec with every default and every inferred shape, in a form that can be run again."""

from __future__ import annotations

import hashlib
import json
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


def model_hash(graph: Graph) -> str:
    """sha256 of the model and its training: the resolved spec without `name`, `run`, `sample` and `evaluate`.

    A spec and what `resolve` makes of it have the same: what is inferred counts as if it had been written.
    """
    body = {k: v for k, v in resolved(graph).items() if k not in ("name", "run", "sample", "evaluate")}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
