"""Checkpoints: safetensors and JSON under a sha256 manifest; a crash never costs the last good one.

    checkpoints/step-000000500/tensors.safetensors    parameters, buffers, optimiser state, averages
                               state.json             everything that is not a tensor
                               manifest.json          the step, and size and sha256 of both files

An entry is complete or absent: it is filled under a temporary name, forced to the disk, and renamed. Reading
checks the digests first, then compares the safetensors header with the tensors that the caller expects, and
only then loads them. The same content gives the same bytes. Format: https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gendsl.errors import RunError
from gendsl.runtime.durable import remove_directory, sync_directory, sync_file, write_synced
from gendsl.runtime.tensorfile import Signature, read_signature

TENSORS, STATE, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"
STATE_LIMIT = 64 << 20
MAX_STEP = 10**9 - 1
_NAME = re.compile(r"step-(\d{9})(~?)")


@dataclass(frozen=True)
class Checkpoint:
    """What an entry holds: the step it was taken after, tensors by name (on the CPU), and the JSON state."""

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]


def signature(tensors: Mapping[str, Tensor]) -> Signature:
    """The shape and dtype of every tensor: what `load` and `newest` compare a file's header with."""
    return {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:
    """Write one entry and return its path; one of the same step stays readable until the new is in place.

    Args:
        folder: the run's `checkpoints/`, created where it is absent.
        step: steps taken so far, 0 <= step < 10^9; the entry's name sorts by it.
        tensors: any strided tensors by name; saved from the CPU, row-major.
        state: plain JSON (string keys, lists, finite numbers): it has to come back equal.

    Raises ValueError for a step or state that cannot be stored, RunError where the disk refuses.
    """
    if not 0 <= step <= MAX_STEP:
        raise ValueError(f"a checkpoint's step is between 0 and {MAX_STEP}, not {step}")
    text = _encode(state)
    if json.loads(text) != dict(state):
        raise ValueError("a checkpoint's state has to be plain JSON: string keys, lists instead of tuples")
    entry = folder / f"step-{step:09d}"
    temporary, aside = entry.with_name(f".{entry.name}.tmp"), entry.with_name(f"{entry.name}~")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        save_file(_separate(tensors), temporary / TENSORS, metadata={"format": "pt"})
        sync_file(temporary / TENSORS)
        write_synced(temporary / STATE, text)
        write_synced(temporary / MANIFEST, _manifest(temporary, step))
        sync_directory(temporary)
        if entry.exists():
            if aside.exists():
                remove_directory(aside)
            os.replace(entry, aside)
        os.replace(temporary, entry)
        sync_directory(folder)
        if aside.exists():
            remove_directory(aside)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise RunError(f"cannot write checkpoint {entry}: {error}") from error
    return entry


def load(entry: Path, expected: Signature | None = None) -> Checkpoint:
    """Read one entry; `expected`, where given, is every tensor that it has to hold, with shape and dtype.

    Raises RunError that names the file which is absent, cut short or altered, or the first tensors that
    differ.
    """
    step = step_of(entry)
    try:
        for name in (MANIFEST, STATE, TENSORS):
            if not (entry / name).is_file():
                raise RunError(f"checkpoint {entry.name}: {name} is missing")
        _check_manifest(entry, step)
        state = _read_state(entry)
        found = read_signature(entry / TENSORS)
        if expected is not None:
            _compare(entry, expected, found)
        with safe_open(entry / TENSORS, framework="pt") as file:
            tensors = {name: file.get_tensor(name).clone() for name in sorted(found)}
    except (OSError, SafetensorError) as error:
        raise RunError(f"checkpoint {entry.name}: {error}") from error
    return Checkpoint(step, tensors, state)


def entries(folder: Path) -> list[Path]:
    """The entries of a folder, oldest step first; of two for one step the one being replaced comes first."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: (path.name.rstrip("~"), not path.name.endswith("~")))


def newest(
    folder: Path, expected: Signature | None, warn: Callable[[str], None], *, every: int = 1
) -> Checkpoint | None:
    """The newest entry that is whole, of those at multiples of `every` steps, or None where there are none at all.

    A bad entry is passed over for the one before it, after `warn` was told why. Raises RunError where there
    are entries and none can be used: starting anew would throw the run away.
    """
    candidates = [path for path in entries(folder) if step_of(path) % every == 0]
    for entry in reversed(candidates):
        try:
            return load(entry, expected)
        except RunError as error:
            last = error
            warn(f"{error}; going back to the checkpoint before it")
    if not candidates:
        return None
    raise RunError(
        f"none of the {len(candidates)} checkpoints in {folder} can be used; the oldest: {last}"
    ) from last


def prune(folder: Path, keep: int, *, every: int = 1) -> None:
    """Remove all but the `keep` newest entries, and whatever an interrupted write or removal left behind.

    Entries that are not at a multiple of `every` steps are not counted, and removed, except the newest.
    """
    if keep < 1:
        raise ValueError(f"keep at least one checkpoint, not {keep}")
    present = entries(folder)
    whole = [
        path for path in present if not (path.name.endswith("~") and path.with_name(path.name[:-1]).exists())
    ]
    kept = [path for path in whole if path == whole[-1] or step_of(path) % every == 0][-keep:]
    for path in present:
        if path not in kept:
            remove_directory(path)
    if folder.is_dir():
        for path in folder.glob(".step-*"):
            shutil.rmtree(path, ignore_errors=True)


def discard_after(folder: Path, step: int) -> None:
    """Remove the entries later than `step`: on resume, the damaged ones that `newest` passed over.

    Left in place they would be counted by `prune` as newer than what the resumed run writes.
    """
    for path in entries(folder):
        if step_of(path) > step:
            remove_directory(path)


def step_of(entry: Path) -> int:
    """The step in an entry's name. Raises RunError for another name."""
    match = _NAME.fullmatch(entry.name)
    if match is None:
        raise RunError(f"{entry} is not a checkpoint: its name is not step-NNNNNNNNN")
    return int(match[1])


def _encode(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, sort_keys=True, allow_nan=False, indent=1) + "\n").encode()


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sorted by name, on the CPU, contiguous, no two sharing memory."""
    seen: set[int] = set()
    result = {}
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        result[name] = tensor.clone() if storage in seen else tensor
        seen.add(storage)
    return result


def _facts(entry: Path) -> dict[str, dict[str, Any]]:
    facts = {}
    for name in (STATE, TENSORS):
        with (entry / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            facts[name] = {"bytes": file.tell(), "sha256": digest}
    return facts


def _manifest(entry: Path, step: int) -> bytes:
    return _encode({"format": 1, "step": step, "files": _facts(entry)})


def _check_manifest(entry: Path, step: int) -> None:
    """The manifest has one right content, byte for byte, so what is on the disk is never parsed."""
    right = _manifest(entry, step)
    with (entry / MANIFEST).open("rb") as file:
        written = file.read(len(right) + 1)
    if written != right:
        digests = {name: str(facts["sha256"]).encode() for name, facts in _facts(entry).items()}
        changed = [name for name, digest in digests.items() if digest not in written]
        what = " and ".join(changed) or MANIFEST
        raise RunError(f"checkpoint {entry.name}: {what} cut short or altered (the sha256 does not match)")


def _read_state(entry: Path) -> dict[str, Any]:
    with (entry / STATE).open("rb") as file:
        text = file.read(STATE_LIMIT + 1)
    if len(text) > STATE_LIMIT:
        raise RunError(f"checkpoint {entry.name}: {STATE} is larger than {STATE_LIMIT >> 20} MiB")
    try:
        state = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RunError(f"checkpoint {entry.name}: {STATE} is not JSON") from error
    if not isinstance(state, dict):
        raise RunError(f"checkpoint {entry.name}: {STATE} is not a JSON object")
    return state


def _compare(entry: Path, expected: Signature, found: Signature) -> None:
    differences = []
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            differences.append(f"{name} is missing")
        elif name not in expected:
            differences.append(f"{name} is not part of this model")
        elif (tuple(expected[name][0]), expected[name][1]) != found[name]:
            differences.append(f"{name} is {_describe(*found[name])}, expected {_describe(*expected[name])}")
    if differences:
        more = f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise RunError(f"checkpoint {entry.name} is of another model: {'; '.join(differences[:3])}{more}")


def _describe(shape: tuple[int, ...], dtype: torch.dtype) -> str:
    return f"{str(dtype).removeprefix('torch.')} {list(shape)}"
