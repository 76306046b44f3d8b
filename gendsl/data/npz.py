"""Reading numpy's .npy and .npz files, never unpickling, and laying images out as [C, H, W]."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gendsl.data.loaded import Array, Loaded
from gendsl.errors import DataError
from gendsl.schema.components.source_base import find
from gendsl.schema.components.source_files import Npy, Npz, image_shape


def load_npy(source: Npy, base: Path) -> Loaded:
    """The column `row` [N, ...]. Raises DataError where the file is damaged."""
    path = find(base, source.path)
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return Loaded({"row": as_images(_native(array))})


def load_npz(source: Npz, base: Path) -> Loaded:
    """Every column of the archive, its parts joined in the order train, valid, test."""
    path = find(base, source.path)
    arrays = source.arrays(source.headers(base))
    columns, rows = {}, {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            for name, of in arrays.items():
                pieces = {part: _native(archive[array]) for part, array in of.items()}
                rows = {part: len(piece) for part, piece in pieces.items()}
                columns[name] = as_images(np.concatenate(list(pieces.values())))
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return Loaded(columns, None if "all" in rows else part_slices(rows))


def as_images(array: Array) -> Array:
    """[N, ...] with the rows laid out as `image_shape` says."""
    shape, wanted = array.shape[1:], image_shape(array.dtype.name, array.shape[1:])
    if len(shape) == 3 and shape != wanted:
        return np.ascontiguousarray(np.moveaxis(array, -1, 1))
    return array.reshape(len(array), *wanted)


def part_slices(rows: Mapping[str, int]) -> dict[str, slice]:
    """Consecutive slices of the given lengths."""
    slices, start = {}, 0
    for part, size in rows.items():
        slices[part] = slice(start, start + size)
        start += size
    return slices


def _native(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder("="), copy=False)
