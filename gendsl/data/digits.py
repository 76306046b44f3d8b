"""scikit-learn's handwritten digits (from the UCI "Optical Recognition of Handwritten Digits" test set)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gendsl.data.loaded import Loaded
from gendsl.schema.components.source_generated import Digits


def load_digits(source: Digits, base: Path) -> Loaded:
    """`image` uint8 [1797, 1, 8, 8] with the values 0 to 16, `label` int64 [1797]."""
    from sklearn.datasets import load_digits as bundled

    pixels, labels = bundled(return_X_y=True)
    image = np.asarray(pixels).astype(np.uint8).reshape(-1, 1, 8, 8)
    return Loaded({"image": image, "label": np.asarray(labels).astype(np.int64)})
