"""Reading idx files: big-endian arrays behind a header of sizes (http://yann.lecun.com/exdb/mnist)."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from gendsl.data.loaded import Array, Loaded
from gendsl.data.npz import as_images, part_slices
from gendsl.errors import DataError
from gendsl.schema.components.source_files import Idx, open_idx, read_idx_header


def load_idx(source: Idx, base: Path) -> Loaded:
    """`image` [N, 1, H, W] and, where there are labels, `label` int64 [N]; train rows before test rows.

    Raises DataError for a file that is shorter or longer than its header says.
    """
    files = source.files(base)
    images = [read_idx(pair.images) for pair in files.values()]
    columns = {"image": as_images(np.concatenate(images))}
    labels = [read_idx(pair.labels) for pair in files.values() if pair.labels is not None]
    if len(labels) == len(files):
        columns["label"] = np.concatenate(labels).astype(np.int64)
    rows = {part: len(array) for part, array in zip(files, images, strict=True)}
    return Loaded(columns, part_slices(rows) if "train" in files else None)


def read_idx(path: Path) -> Array:
    """The array in one idx file, in native byte order."""
    header = read_idx_header(path)
    stored = np.dtype(header.dtype).newbyteorder(">")
    expected = int(np.prod(header.shape, dtype=np.int64)) * stored.itemsize
    try:
        with open_idx(path) as file:
            file.read(4 + 4 * len(header.shape))
            content = file.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if len(content) != expected:
        raise DataError(f"{path} does not hold the {expected} bytes that its header announces")
    return np.frombuffer(content, stored).reshape(header.shape).astype(header.dtype)
