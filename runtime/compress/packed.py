"""A compressed file: a line that says what it is, a JSON header, the coded words, and the SHA-256 of it all."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gendsl.errors import RunError, UsageError
from gendsl.nn.model import Model
from gendsl.runtime.durable import writing

KIND = b"gendsl-compressed "
MAGIC = KIND + b"2\n"
"""With the number of the format, which also says how latents are coded: another one would decode to other rows."""
DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Packed:
    """A compressed file: its words, the number of rows, and the bits that the model claims for them."""

    words: np.ndarray[Any, np.dtype[np.uint32]]
    rows: int
    claimed: float
    spare: int = 0
    """Words at the bottom of a bits-back file that it began with and never used: they are known and left out."""

    @property
    def size(self) -> int:
        """Bytes of the coded words."""
        return 4 * len(self.words)


def fingerprint(model: Model) -> str:
    """SHA-256 of the parameters and buffers, names and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _header(model: Model, packed: Packed) -> dict[str, Any]:
    return {
        "rows": packed.rows,
        "bits": packed.claimed,
        "spare": packed.spare,
        "model": fingerprint(model),
    }


def write(path: Path, model: Model, packed: Packed) -> int:
    """One file: a line that says what it is, the length of a JSON header, the header, the words, the sha256 of it all.

    Returns its bytes. Raises RunError where it cannot be written.
    """
    header = json.dumps(_header(model, packed)).encode()
    body = MAGIC + struct.pack("<I", len(header)) + header + packed.words.astype("<u4").tobytes()
    body += hashlib.sha256(body).digest()
    with writing(path):
        path.write_bytes(body)
    return len(body)


def read(path: Path, model: Model) -> Packed:
    """The file that `write` wrote. Raises UsageError for another file or model, RunError for a damaged one."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    body = path.read_bytes()
    if body.startswith(KIND) and not body.startswith(MAGIC):
        raise UsageError(
            f"{path} was compressed by another version of gendsl, which this one does not decode"
        )
    if not body.startswith(MAGIC):
        raise UsageError(f"{path} is not a compressed file of gendsl")
    at = len(MAGIC)
    body, digest = body[:-DIGEST], body[-DIGEST:]
    if hashlib.sha256(body).digest() != digest:
        raise RunError(f"{path} is damaged: cut short or altered (the sha256 does not match)")
    try:
        (length,) = struct.unpack_from("<I", body, at)
        header = json.loads(body[at + 4 : at + 4 + length])
        words = np.frombuffer(body, "<u4", offset=at + 4 + length).astype(np.uint32)
        found = Packed(words, int(header["rows"]), float(header["bits"]), int(header["spare"]))
        coder_of = header["model"]
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    if coder_of != fingerprint(model):
        raise UsageError(f"{path} was compressed by a model with other parameters")
    return found
