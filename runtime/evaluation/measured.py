"""What is measured: a model on one part of its data, in batches with random streams of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gendsl.compiler.derive.energies import tilted
from gendsl.compiler.graph import Graph
from gendsl.data.dataset import Batch, Dataset, Part
from gendsl.nn.model import Model
from gendsl.runtime.samples import conditions
from gendsl.runtime.streams import stream

CHUNK = 512
"""Rows that are scored at once, at most."""


@dataclass
class Measured:
    """A model, the part of the data with its name, the seed, and how many importance samples a bound takes."""

    model: Model
    data: Dataset
    part: Part
    split: str
    seed: int
    samples: int

    @property
    def graph(self) -> Graph:
        return self.model.graph

    def can(self, query: str) -> bool:
        """Whether the model can be asked that."""
        return self.graph.capabilities[query].how is not None

    @property
    def conditions(self) -> list[str]:
        """The variables that a sample is given."""
        return conditions(self.graph)

    @property
    def densities(self) -> tuple[str, ...]:
        """The variables that log_prob is the density of."""
        return (*self.graph.scored, *tilted(self.graph))

    def batches(self, stream_name: str) -> Iterator[Batch]:
        chunk = min(CHUNK, self.model.rows_at_once)
        for i, start in enumerate(range(0, self.part.rows, chunk)):
            index = torch.arange(start, min(start + chunk, self.part.rows), device=self.model.device)
            with stream(self.seed, stream_name, i), torch.no_grad():
                batch = self.model.dequantized(self.part.batch(index))
            yield batch

    @cached_property
    def log_prob(self) -> tuple[Tensor, Tensor]:
        """log p of each row in the variables' space, and the log-Jacobian of the preprocessing."""
        values, log_dets = [], []
        for i, batch in enumerate(self.batches("eval/rows")):
            with stream(self.seed, "eval/log_prob", i):
                values.append(self.model.log_prob(batch, self.samples).double())
            names = [n for n in batch.log_det if n in self.densities]
            log_dets.append(sum((batch.log_det[n].double() for n in names), torch.zeros(len(batch)).double()))
        return torch.cat(values).cpu(), torch.cat(log_dets).cpu()
