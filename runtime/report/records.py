"""The files of a run directory as the report reads them: what is missing or damaged is named, never fatal."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONTENTS = {
    "spec.yaml": "the spec as it was given",
    "resolved.yaml": "the spec with every default",
    "overrides.txt": "what the command line changed",
    "explain.txt": "the model in words and maths",
    "graph.json": "the graph of variables",
    "metrics.jsonl": "the curves of training",
    "timings.jsonl": "the seconds of each step",
    "environment.json": "versions and machine",
    "result.json": "the final numbers",
    "samples": "the pictures",
}
"""What each entry of a run directory is for, in the order in which the report names missing ones."""

OPTIONAL = ("overrides.txt", "timings.jsonl")
PICTURE_BYTES = 4_000_000
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """One PNG file. `step` is the number its name ends in, `series` the name without it."""

    name: str
    series: str
    step: int | None
    width: int
    height: int
    description: str
    plot: bool
    data: bytes


@dataclass
class Files:
    """What a run directory holds; an absent text is None, an absent document empty."""

    name: str
    texts: dict[str, str] = field(default_factory=dict)
    graph: Any = None
    records: list[dict[str, Any]] = field(default_factory=list)
    timings: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def read(run: Path) -> Files:
    """Read a run directory.

    Raises:
        NotADirectoryError: `run` is no directory.
    """
    if not run.is_dir():
        raise NotADirectoryError(f"{run} is not a run directory")
    files = Files(name=run.resolve().name)
    for name in ("spec.yaml", "resolved.yaml", "overrides.txt", "explain.txt"):
        text = _text(run / name, files)
        if text is not None:
            files.texts[name] = text
    files.graph = _document(run / "graph.json", files)
    for name in ("result", "environment"):
        document = _document(run / f"{name}.json", files)
        if isinstance(document, dict):
            setattr(files, name, document)
        elif document is not None:
            files.damaged.append(f"{name}.json: not an object")
    files.records = _lines(run / "metrics.jsonl", files)
    files.timings = _lines(run / "timings.jsonl", files)
    files.pictures = list(_pictures(run / "samples", files))
    if not files.pictures:
        files.missing.append("samples")
    files.missing = [name for name in CONTENTS if name in files.missing and name not in OPTIONAL]
    return files


def _text(path: Path, files: Files) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        files.missing.append(path.name)
    except OSError as error:
        files.damaged.append(f"{path.name}: {error.strerror}")
    return None


def _document(path: Path, files: Files) -> Any:
    text = _text(path, files)
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        files.damaged.append(f"{path.name}: not JSON")
        return None


def _lines(path: Path, files: Files) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines that have a whole `step`; others are counted as damaged."""
    text = _text(path, files)
    good: list[dict[str, Any]] = []
    bad = 0
    for line in (text or "").split("\n"):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if isinstance(entry, dict) and type(entry.get("step")) is int:
            good.append(entry)
        else:
            bad += 1
    if bad:
        files.damaged.append(f"{path.name}: {bad} unreadable {'line' if bad == 1 else 'lines'}")
    return good


def _pictures(folder: Path, files: Files) -> Iterator[Picture]:
    paths = sorted(folder.glob("*.png")) if folder.is_dir() else []
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError as error:
            files.damaged.append(f"samples/{path.name}: {error.strerror}")
            continue
        if len(data) > PICTURE_BYTES:
            files.damaged.append(f"samples/{path.name}: {len(data) / 1e6:.0f} MB, too large to be shown here")
        elif len(data) < 33 or not data.startswith(PNG):
            files.damaged.append(f"samples/{path.name}: not a PNG file")
        else:
            yield _picture(path.stem, data)


def _picture(name: str, data: bytes) -> Picture:
    match = re.fullmatch(r"(.*?)[-_]?(?:step[-_]?)?0*(\d{1,15})", name)
    series, step = (match[1] or "samples", int(match[2])) if match else (name, None)
    width, height = struct.unpack(">II", data[16:24])
    notes = png_notes(data)
    return Picture(
        name, series, step, width, height, notes.get("Description", ""), notes.get("Comment") == "plot", data
    )


def png_notes(data: bytes) -> dict[str, str]:
    """The text chunks of a PNG file by keyword; a damaged or compressed chunk is passed over."""
    notes: dict[str, str] = {}
    at = len(PNG)
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        body = data[at + 4 : at + 8 + length]
        if body[:4] == b"tEXt" and data[at + 8 + length : at + 12 + length] == struct.pack(
            ">I", zlib.crc32(body)
        ):
            keyword, _, value = body[4:].partition(b"\0")
            notes[keyword.decode("latin-1")] = value.decode("latin-1")
        at += 12 + length
    return notes
