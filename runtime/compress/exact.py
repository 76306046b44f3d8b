"""Range coding by a model's own probabilities, entry by entry where they come in an order."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gendsl.compiler.plans.compress import coded
from gendsl.nn.model import Model
from gendsl.runtime.compress.packed import Packed
from gendsl.runtime.compress.tables import bits, coder, empty, family, low, put, symbols_of, tables

ROWS = 64
"""Rows whose entries are coded side by side."""


def encoded(model: Model, values: Mapping[str, Tensor], rows: int) -> Packed:
    """The file of the rows: ROWS of them at once, turn by turn."""
    stream = coder()
    encoder, claimed = stream.queue.RangeEncoder(), 0.0
    for start in range(0, rows, ROWS):
        count = min(ROWS, rows - start)
        held: dict[str, Tensor] = {}
        for name in coded(model.graph):
            true = values[name][start : start + count]
            held[name] = empty(model, name, count)
            for places, table in tables(model, name, held, count):
                symbols = symbols_of(true, places, low(model, name))
                encoder.encode(symbols.reshape(-1), family(stream), table.reshape(-1, table.shape[-1]))
                claimed += bits(symbols, table)
                held[name].view(len(true), -1)[:, places] = true.reshape(len(true), -1)[:, places]
    return Packed(encoder.get_compressed(), rows, claimed)


def decoded(model: Model, packed: Packed) -> dict[str, Tensor]:
    """The rows of the file."""
    stream = coder()
    decoder = stream.queue.RangeDecoder(packed.words)
    found: dict[str, list[Tensor]] = {}
    for start in range(0, packed.rows, ROWS):
        count = min(ROWS, packed.rows - start)
        held: dict[str, Tensor] = {}
        for name in coded(model.graph):
            held[name] = empty(model, name, count)
            for places, table in tables(model, name, held, count):
                symbols = decoder.decode(family(stream), table.reshape(-1, table.shape[-1]))
                put(held[name], places, symbols.reshape(count, -1), low(model, name))
            found.setdefault(name, []).append(held[name])
    return {name: torch.cat(parts) for name, parts in found.items()}
