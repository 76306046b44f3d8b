"""What result.json says of a run: a header before anything is measured, the part that is measured, how it ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gendsl
from gendsl.compiler.graph import Graph
from gendsl.compiler.resolve import model_hash
from gendsl.data.dataset import Dataset
from gendsl.errors import RunError
from gendsl.runtime.train import Interrupted, NotFinite
from gendsl.schema.spec import Spec


def header(graph: Graph, data: Dataset) -> dict[str, Any]:
    """What result.json says of a run before anything is measured."""
    spec = graph.spec
    return {
        "gendsl": gendsl.__version__,
        "spec": {"name": spec.name, "hash": model_hash(graph)},
        "seed": spec.run.seed,
        "steps": 0,
        "parameters": graph.resources.parameters,
        "data": data.describe(),
        "metrics": {},
        "seconds": {},
        "status": "running",
    }


def evaluated_part(spec: Spec, data: Dataset) -> str:
    """The part that evaluate.split names, or train where the data have no such part."""
    return spec.evaluate.split if spec.evaluate.split in data.parts else "train"


def status(error: Exception) -> str:
    """The word for a run that ended with an error."""
    if isinstance(error, NotFinite):
        return "nan"
    return "interrupted" if isinstance(error, Interrupted) else "failed"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of the run. Raises RunError where it is damaged."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is damaged: it is not JSON") from error
    if not isinstance(found, dict):
        raise RunError(f"{path} is damaged: it is not a JSON object")
    return found
