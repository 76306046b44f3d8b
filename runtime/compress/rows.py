"""The rows to compress: a part of a run's data, or the arrays of a file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gendsl.compiler.plans.compress import coded
from gendsl.data.dataset import Dataset
from gendsl.errors import UsageError
from gendsl.nn.model import Model
from gendsl.runtime.streams import stream


def rows_of(model: Model, data: Dataset | None, source: str | Path, seed: int) -> dict[str, Tensor]:
    """The rows to compress: a part of the data by its name, or an array file in the variables' own space.

    `.npz` holds variables by name, `.npy` the only one. Raises UsageError for another file or a name that is not there.
    """
    names = coded(model.graph)
    if data is not None:
        part = data.parts[str(source)].to(model.device)
        with stream(seed, "data/compress"):
            batch = part.batch(torch.arange(part.rows, device=model.device))
        return {name: batch.values[name] for name in names}
    path = Path(source)
    if path.suffix not in (".npz", ".npy") or not path.is_file():
        raise UsageError(f"{path}: give a .npz or .npy file, or --split")
    if path.suffix == ".npy" and len(names) != 1:
        raise UsageError(f"{path} is one array, and the model has {', '.join(names)}: give a .npz file")
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            held = (
                {names[0]: loaded} if path.suffix == ".npy" else {n: loaded[n] for n in names if n in loaded}
            )
        return {name: torch.from_numpy(array) for name, array in held.items()}
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} does not hold arrays of numbers: {error}") from error
