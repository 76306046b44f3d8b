"""scikit-learn's handwritten digits (from the UCI "Optical Recognition of Handwritten Digits" test set)."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from gendsl.data.loaded import Array, Loaded
from gendsl.errors import DataError
from gendsl.schema.components.source_generated import Digits


def load_digits(source: Digits, base: Path) -> Loaded:
    """`image` uint8 [1797, 1, 8, 8] with the values 0 to 16, `label` int64 [1797]."""
    table = _table()
    image = table[:, :-1].astype(np.uint8).reshape(-1, 1, 8, 8)
    return Loaded({"image": image, "label": table[:, -1].astype(np.int64)})


def _table() -> Array:
    """64 pixels and the label of each row, [1797, 65]: scikit-learn's own file, or what its function reads from it.

    The file is read without importing scikit-learn, which takes as long as importing torch.
    """
    spec = find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("the digits come with scikit-learn, which is not installed")
    file = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    if file.is_file():
        text = gzip.decompress(file.read_bytes()).decode("ascii")
        return np.array([line.split(",") for line in text.split()], dtype=np.float64)
    from sklearn.datasets import load_digits as bundled

    pixels, labels = bundled(return_X_y=True)
    return np.concatenate([np.asarray(pixels), np.asarray(labels)[:, None]], 1)
