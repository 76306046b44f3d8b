"""The header of a safetensors file, read and checked without touching the tensors.

    8 bytes     N, the header's length, little-endian
    N bytes     JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
    the rest    the tensors' bytes, without gaps

Every size is bounded by the size of the file, so a forged header cannot make a reader allocate more than the
file holds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gendsl.errors import RunError

Signature = Mapping[str, tuple[tuple[int, ...], torch.dtype]]
"""Name -> (shape, dtype) of every tensor."""

HEADER_LIMIT = 64 << 20
MAX_RANK = 64
_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "U16": torch.uint16,
    "I16": torch.int16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "C64": torch.complex64,
}


def read_signature(path: Path) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Shape and dtype of every tensor in a safetensors file.

    Raises RunError where the header is not that of this file: cut short, no JSON, a name twice, an unknown
    dtype, sizes that disagree with shapes, gaps or overlaps, or bytes that no tensor claims.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(size - 8, HEADER_LIMIT):
            raise RunError(f"{path}: its header does not fit into the file")
        text = file.read(length)
    try:
        header = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: its header is not JSON") from error
    if not isinstance(header, dict):
        raise RunError(f"{path}: its header is not a JSON object")
    header.pop("__metadata__", None)
    found, spans = {}, []
    for name, record in header.items():
        shape, dtype, span = _read_record(path, name, record)
        found[name] = (shape, dtype)
        spans.append(span)
    position = 0
    for start, end in sorted(spans):
        if start != position:
            raise RunError(f"{path}: its header leaves a gap or an overlap at byte {position}")
        position = end
    if position != size - 8 - length:
        raise RunError(f"{path}: its header speaks of {position} bytes, the file holds {size - 8 - length}")
    return found


def _read_record(path: Path, name: str, record: Any) -> tuple[tuple[int, ...], torch.dtype, tuple[int, int]]:
    if not isinstance(record, dict) or record.keys() != {"dtype", "shape", "data_offsets"}:
        raise RunError(f"{path}: the header's record of {name!r} is malformed")
    code, shape, span = record["dtype"], record["shape"], record["data_offsets"]
    if not isinstance(code, str) or code not in _DTYPES:
        raise RunError(f"{path}: {name!r} has the unknown dtype {code!r}")
    if not (_counts(shape) and len(shape) <= MAX_RANK and _counts(span) and len(span) == 2):
        raise RunError(f"{path}: the header's record of {name!r} is malformed")
    dtype = _DTYPES[code]
    if span[1] - span[0] != math.prod(shape) * dtype.itemsize:
        raise RunError(f"{path}: the size of {name!r} does not follow from its shape")
    return tuple(shape), dtype, (span[0], span[1])


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name appears twice")
    return result
