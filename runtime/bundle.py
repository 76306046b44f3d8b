"""A trained model in one file, to be used elsewhere and without its data: what `gendsl export` writes.

    FILE, a zip archive without compression, the same content in the same bytes:
    spec.yaml            the resolved spec
    model.safetensors    parameters and buffers as the model is used, the fitted preprocessing among them
    manifest.json        versions, hash and step, the facts of the data source, size and sha256 of both files

The facts (columns, shapes, supports, rows) are what the compiler asks a source for, so that a model of files that are
elsewhere can be built again.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

import gendsl
from gendsl.errors import RunError, UsageError
from gendsl.runtime.durable import write_atomically
from gendsl.schema.components.source_base import Column, SourceFacts
from gendsl.schema.facts import Support

SPEC, TENSORS, MANIFEST = "spec.yaml", "model.safetensors", "manifest.json"
FORMAT = 1
FIXED = (1980, 1, 1, 0, 0, 0)
"""The time of every entry: the same model gives the same file."""


@dataclass(frozen=True)
class Bundle:
    """What such a file holds. `about`: name, hash, seed, step and parameters."""

    spec: str
    tensors: Mapping[str, Tensor]
    facts: SourceFacts | None
    about: Mapping[str, Any]


def write(path: Path, bundle: Bundle) -> dict[str, Any]:
    """Put the file in place, whole or not at all; returns its manifest. Raises RunError where the disk refuses."""
    tensors = {n: bundle.tensors[n].detach().cpu().contiguous().clone() for n in sorted(bundle.tensors)}
    files = {SPEC: bundle.spec.encode(), TENSORS: save_tensors(tensors)}
    manifest = {
        "format": FORMAT,
        "gendsl": gendsl.__version__,
        **bundle.about,
        "source": None if bundle.facts is None else facts_json(bundle.facts),
        "files": {name: _digest(body) for name, body in files.items()},
    }
    text = json.dumps(manifest, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, body in {**files, MANIFEST: text.encode()}.items():
            archive.writestr(zipfile.ZipInfo(name, FIXED), body)
    write_atomically(path, packed.getvalue())
    return manifest


def read(path: Path) -> Bundle:
    """What `write` wrote. Raises UsageError for another file, RunError for a damaged one."""
    size = path.stat().st_size
    if not zipfile.is_zipfile(path):
        raise UsageError(f"{path} is neither a run directory nor a file that `gendsl export` wrote")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            if entries.keys() != {SPEC, TENSORS, MANIFEST}:
                raise UsageError(f"{path} is a zip archive that `gendsl export` did not write")
            if any(e.compress_type != zipfile.ZIP_STORED or e.file_size > size for e in entries.values()):
                raise RunError(f"{path} is damaged: its entries do not fit into it")
            files = {name: archive.read(name) for name in entries}
        manifest = json.loads(files.pop(MANIFEST))
        if manifest["format"] != FORMAT:
            raise UsageError(f"{path} has format {manifest['format']}; this version reads {FORMAT}")
        for name, body in files.items():
            if manifest["files"][name] != _digest(body):
                raise RunError(f"{path}: {name} is altered (the sha256 does not match)")
        facts = None if manifest["source"] is None else facts_of(manifest["source"])
        about = {k: v for k, v in manifest.items() if k not in ("format", "gendsl", "source", "files")}
        return Bundle(files[SPEC].decode(), load_tensors(files[TENSORS]), facts, about)
    except (zipfile.BadZipFile, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {error}") from error


def _digest(body: bytes) -> dict[str, Any]:
    return {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}


def facts_json(facts: SourceFacts) -> dict[str, Any]:
    """The facts of a source as plain JSON; a bound that is infinite is null."""
    return {
        "columns": {
            name: {
                "dtype": c.dtype,
                "shape": list(c.shape),
                "low": c.support.low if math.isfinite(c.support.low) else None,
                "high": c.support.high if math.isfinite(c.support.high) else None,
                "integer": c.support.integer,
                "levels": c.support.levels,
                "labels": c.labels,
                "names": list(c.names),
                "missing": c.missing,
            }
            for name, c in facts.columns.items()
        },
        "rows": facts.rows,
        "parts": None if facts.parts is None else dict(facts.parts),
        "generated": facts.generated,
        "exact_density": facts.exact_density,
    }


def facts_of(document: Mapping[str, Any]) -> SourceFacts:
    """The facts that `facts_json` wrote. Raises KeyError, TypeError or ValueError for another document."""
    columns = {
        name: Column(
            str(c["dtype"]),
            tuple(int(n) for n in c["shape"]),
            Support(
                -math.inf if c["low"] is None else float(c["low"]),
                math.inf if c["high"] is None else float(c["high"]),
                integer=bool(c["integer"]),
                levels=c["levels"],
            ),
            labels=bool(c["labels"]),
            names=tuple(str(n) for n in c["names"]),
            missing=bool(c["missing"]),
        )
        for name, c in document["columns"].items()
    }
    return SourceFacts(
        columns,
        int(document["rows"]),
        document["parts"],
        bool(document["generated"]),
        bool(document["exact_density"]),
    )
