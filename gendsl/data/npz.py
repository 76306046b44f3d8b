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
    headers = source.headers(base)
    arrays = source.arrays(headers)
    columns, rows = {}, {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            for name, of in arrays.items():
                pieces = {part: _native(archive[array]) for part, array in of.items()}
                lengths = source.lengths(base, name, of, headers)
                if lengths:
                    long = max(max(each) for each in lengths.values())
                    pieces = {part: _padded(piece, lengths[part], long) for part, piece in pieces.items()}
                rows = {part: len(piece) for part, piece in pieces.items()}
                columns[name] = as_images(np.concatenate(list(pieces.values())))
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return Loaded(columns, None if "all" in rows else part_slices(rows))


def _padded(array: Array, lengths: tuple[int, ...], long: int) -> Array:
    """Rows cut out of [sum of T, ...] one after another, [N, long, ...] with NaN behind each."""
    rows = np.full((len(lengths), long, *array.shape[1:]), np.nan, np.float32)
    for row, piece in zip(rows, np.split(array, np.cumsum(lengths)[:-1]), strict=True):
        row[: len(piece)] = piece
    return rows


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
