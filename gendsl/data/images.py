"""Reading a folder of images with pillow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gendsl.data.loaded import Array, Loaded
from gendsl.data.npz import part_slices
from gendsl.errors import DataError
from gendsl.schema.components.source_media import Images, Labelled, import_pillow


def load_images(source: Images, base: Path) -> Loaded:
    """`image` uint8 [N, C, H, W] and, with sub-folders, `label` int64 [N].

    Raises DataError for a file that cannot be decoded or that has another size than the first.
    """
    files = source.files(base)
    facts = source.facts(base)
    _, height, width = facts.columns["image"].shape
    mode = "L" if facts.columns["image"].shape[0] == 1 else "RGB"
    pillow = import_pillow()
    image = np.stack(
        [_decode(pillow, file, mode, (height, width), source.size is not None) for file in files]
    )
    columns: dict[str, Array] = {"image": image}
    if "label" in facts.columns:
        place = {name: i for i, name in enumerate(facts.columns["label"].names)}
        columns["label"] = np.array([place[file.label] for file in files], np.int64)
    return Loaded(columns, None if facts.parts is None else part_slices(facts.parts))


def _decode(pillow: Any, file: Labelled, mode: str, size: tuple[int, int], resize: bool) -> Array:
    try:
        with pillow.open(file.path) as opened:
            image = opened.convert(mode)
    except OSError as error:
        raise DataError(f"{file.path} cannot be read: {error}") from error
    height, width = size
    if resize:
        image = image.resize((width, height), pillow.Resampling.BILINEAR)
    if image.size != (width, height):
        raise DataError(
            f"{file.path} is {image.size[1]} x {image.size[0]}, not {height} x {width}: write size: in data"
        )
    pixels = np.asarray(image, np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
