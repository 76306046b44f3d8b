"""Probabilities of entries as an entropy coder takes them: tables over the finitely many values of each entry.

Both directions ask for them with the same numbers in tensors of the same shapes, with zeros at what is not decoded yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gendsl.errors import UsageError
from gendsl.nn.factor import Plain, Sequential
from gendsl.nn.model import Model


def coder() -> Any:
    """The package of entropy coders. Raises UsageError where it is not installed."""
    try:
        import constriction
    except ImportError as error:
        raise UsageError(
            "compression needs the package constriction: pip install 'gendsl[compress]'"
        ) from error
    return constriction.stream


def empty(model: Model, name: str, rows: int) -> Tensor:
    """Zeros for the rows of a variable, in the type that data of it have."""
    variable = model.graph.variables[name]
    assert variable.shape is not None
    assert variable.column is not None
    dtype = torch.int64 if variable.column.dtype.startswith(("int", "uint")) else model.dtype
    return torch.zeros(rows, *variable.shape, dtype=dtype, device=model.device)


def tables(model: Model, name: str, values: Mapping[str, Tensor], rows: int) -> Iterator[tuple[Tensor, Any]]:
    """For each turn of a variable: the flat places of its entries, and their probabilities [rows, places, K].

    `values[name]` is read entry by entry as it is filled in, and holds zeros at what is not there yet.
    """
    factor, variable = model.graph.p(name), model.graph.variables[name]
    assert factor is not None
    assert variable.support is not None
    assert variable.support.count is not None
    conditioned = model.distribution(factor.name, values, rows)
    low = int(variable.support.low)
    levels = range(low, low + variable.support.count)
    if isinstance(conditioned, Plain):
        like = values[name]
        scores = [conditioned.entries(torch.full_like(like, v)) for v in levels]
        flat = torch.stack(scores, -1).reshape(rows, -1, len(levels))
        yield torch.arange(flat.shape[1]), _probabilities(flat)
        return
    assert isinstance(conditioned, Sequential)
    for turn in conditioned.turns.tolist():
        drawn = conditioned.family(conditioned.raw(values[name]))
        scores = [
            drawn.log_prob(torch.full_like(values[name], v).to(model.dtype)).reshape(rows, -1)[:, turn]
            for v in levels
        ]
        yield torch.tensor([turn]), _probabilities(torch.stack(scores, -1)[:, None])


def _probabilities(log_p: Tensor) -> Any:
    return torch.softmax(log_p.double(), -1).cpu().numpy()


def symbols_of(value: Tensor, places: Tensor, low: int) -> Any:
    """The entries at flat places as symbols, counted from the least value; [rows, places]."""
    return (value.reshape(len(value), -1)[:, places.to(value.device)] - low).to(torch.int32).cpu().numpy()


def put(value: Tensor, places: Tensor, symbols: Any, low: int) -> None:
    """Write symbols where `symbols_of` reads them."""
    value.view(len(value), -1)[:, places] = (torch.from_numpy(symbols.astype(np.int64)) + low).to(value)


def low(model: Model, name: str) -> int:
    """The least value of a variable."""
    support = model.graph.variables[name].support
    assert support is not None
    return int(support.low)


def bits(symbols: Any, table: Any) -> float:
    """-log2 of the probabilities of the symbols."""
    return float(-np.log2(np.take_along_axis(table, symbols[..., None].astype(np.int64), -1)).sum())


def family(stream: Any) -> Any:
    """The coder's family of tables."""
    return stream.model.Categorical(perfect=False)
