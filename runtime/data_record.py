"""data.json of a run directory: what the data were when the run began.

    {"source": the facts that the compiler asked the source for, "sha256": {column: digest of its values}}

With the facts a trained model is compiled where its files are gone; with the digests a run does not go on with other
values. Generated data have no digests: their values follow from the spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gendsl.compiler.graph import Graph
from gendsl.data.dataset import Dataset
from gendsl.errors import RunError
from gendsl.runtime.bundle import facts_json, facts_of
from gendsl.runtime.result import read_json
from gendsl.schema.components.source_base import SourceFacts

FILE = "data.json"


def described(graph: Graph, data: Dataset) -> dict[str, Any]:
    """The document of a run that begins."""
    source = None if graph.source is None else facts_json(graph.source)
    return {"source": source, "sha256": dict(data.digests)}


def facts_known(run: Path) -> SourceFacts | None:
    """The facts of the source when the run began; None in a directory that does not tell.

    Raises RunError where the file is damaged.
    """
    source = _document(run).get("source")
    if source is None:
        return None
    try:
        return facts_of(source)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{run / FILE} is damaged: it does not describe data") from error


def changed(run: Path, data: Dataset) -> str | None:
    """In words, which columns hold other values than when the run began; None where all are the same."""
    known: Mapping[str, Any] = _document(run).get("sha256") or {}
    if not isinstance(known, Mapping):
        raise RunError(f"{run / FILE} is damaged: it has no digests")
    other = [name for name, digest in data.digests.items() if known.get(name, digest) != digest]
    if not other:
        return None
    columns = "column " + other[0] if len(other) == 1 else "columns " + ", ".join(other)
    return f"the data have changed since the run began: {columns} held other values"


def _document(run: Path) -> dict[str, Any]:
    return read_json(run / FILE) if (run / FILE).is_file() else {}
