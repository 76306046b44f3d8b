"""Randomness as a function of (seed, stream, step): no stream can change what another one draws.

    key(seed, stream, step) = the first 63 bits of sha256("seed/stream/step")

The streams are init (parameters), data (the stochastic steps of preprocessing), noise (training), eval and
sample; a name may go on after a slash (`eval/fid`) for a stream of its own. The order of the data needs no
generator's state at all: `Order` computes any minibatch from its number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

STREAMS = ("init", "data", "noise", "eval", "sample")


def key(seed: int, name: str, step: int = 0) -> int:
    """The 63-bit seed of a stream at a step. Raises ValueError for a name that is not of STREAMS."""
    if name.split("/", 1)[0] not in STREAMS:
        raise ValueError(f"unknown stream {name!r}; known: {', '.join(STREAMS)}")
    digest = hashlib.sha256(f"{seed}/{name}/{step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@contextmanager
def stream(seed: int, name: str, step: int = 0) -> Iterator[None]:
    """Inside the block draws come from the stream; the outer state comes back, also after an error.

    Covers torch's default generator of the CPU and, once CUDA is initialised, of every CUDA device. A block
    is reproduced by its three arguments alone. Raises ValueError as `key` does.
    """
    number = key(seed, name, step)
    generators = [torch.default_generator]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        generators.extend(torch.cuda.default_generators)
    outer = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(number)
        yield
    finally:
        for generator, state in zip(generators, outer, strict=True):
            generator.set_state(state)


class Order:
    """The order of the data: an endless row of epochs, each a permutation of the rows, cut into minibatches.

    Minibatches run across the ends of epochs, so all have the same size B = min(batch_size, rows) and no row
    is left out or seen twice in an epoch. The permutation of an epoch sorts the rows by the raw 64-bit words
    of Philox keyed by (seed, epoch) (Salmon et al. 2011): numpy fixes these words for good, unlike the result
    of its `permutation`.
    """

    def __init__(self, rows: int, batch_size: int, seed: int) -> None:
        if rows < 1 or batch_size < 1:
            raise ValueError(
                f"an order needs rows and a batch size of at least 1, not {rows} and {batch_size}"
            )
        self.rows = rows
        self.batch_size = min(batch_size, rows)
        self.seed = seed
        self._recent: dict[int, np.ndarray[tuple[int], np.dtype[np.int64]]] = {}

    def indices(self, draw: int) -> Tensor:
        """The rows of minibatch number `draw` = 0, 1, ...: int64 [B]; depends on `draw` alone."""
        if draw < 0:
            raise ValueError(f"minibatches count from 0, not {draw}")
        epoch, first = divmod(draw * self.batch_size, self.rows)
        parts = [self._permutation(epoch)[first : first + self.batch_size]]
        if len(parts[0]) < self.batch_size:
            parts.append(self._permutation(epoch + 1)[: self.batch_size - len(parts[0])])
        return torch.from_numpy(np.concatenate(parts))

    def epoch(self, draw: int) -> int:
        """The epoch that minibatch number `draw` begins in."""
        return draw * self.batch_size // self.rows

    def draws(self, epochs: int) -> int:
        """How many minibatches it takes to see every row at least `epochs` times."""
        return -(-epochs * self.rows // self.batch_size)

    def _permutation(self, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        if epoch not in self._recent:
            words = np.random.Philox(key=key(self.seed, "data/order", epoch)).random_raw(self.rows)
            order = np.argsort(words, kind="stable").astype(np.int64)
            self._recent = {e: kept for e, kept in self._recent.items() if e == epoch - 1} | {epoch: order}
        return self._recent[epoch]
