"""What certificates are taken of: float64 copies of a model, at its own and at drawn parameters, and rows.

An identity initialisation hides errors, so most laws are checked where the parameters are drawn: the model's
own, plus normal noise. Flow layers are led on, uphill, until the median |log_det| is above 0.3 and the
context moves their output by more than 10 %; what was reached is part of the certificate's note.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gendsl.compiler.graph import Factor, Graph, Role, Variable
from gendsl.data.dataset import Batch, Dataset, Part
from gendsl.nn.model import Model
from gendsl.runtime.streams import stream
from gendsl.schema.facts import Support, mask_name

ROWS = 32
FEWEST = 8
"""Rows of a part that has fewer are taken again."""
DRAWN_SCALE = 0.3


@dataclass(frozen=True)
class Subject:
    """`model` as given; `own` and `drawn` are float64 copies; `rows` are real, or the model's samples."""

    model: Model
    own: Model
    drawn: Model
    data: Dataset | None
    rows: Batch
    seed: int

    @property
    def graph(self) -> Graph:
        return self.model.graph

    @contextmanager
    def draws(self, name: str) -> Iterator[None]:
        """Random numbers of this block come from (seed, name) alone."""
        with stream(self.seed, f"eval/verify/{name}"):
            yield


def subject(
    model: Model, data: Dataset | None, seed: int, part: Part | None = None, rows: int = ROWS
) -> Subject:
    """The copies and the rows; the model itself is not touched."""
    own = copy.deepcopy(model).double().eval()
    drawn = copy.deepcopy(own)
    with stream(seed, "eval/verify/parameters"):
        perturb(drawn, DRAWN_SCALE)
    with stream(seed, "eval/verify/rows"), torch.no_grad():
        if data is None:
            batch = synthetic(own, rows)
        else:
            part = part or data.parts.get("test", data.parts["train"])
            index = torch.arange(max(FEWEST, min(rows, part.rows))) % part.rows
            batch = doubled(part.batch(index).to(model.device))
    return Subject(model, own, drawn, data, batch, seed)


@torch.no_grad()
def perturb(module: nn.Module, scale: float) -> None:
    """Adds normal noise to every parameter: `scale` over the root of the fan-in, or `scale` for vectors."""
    for parameter in module.parameters():
        fan = parameter[0].numel() if parameter.dim() > 1 else 1
        parameter.add_(torch.randn_like(parameter), alpha=scale / fan**0.5)


def doubled(batch: Batch) -> Batch:
    """The batch with its real numbers in float64."""

    def wide(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {n: v.double() if v.is_floating_point() else v for n, v in values.items()}

    return Batch(
        wide(batch.values), wide(batch.log_det), batch.known, wide(batch.hidden), batch.rows, batch.cells
    )


def synthetic(model: Model, rows: int) -> Batch:
    """Rows without data: conditions by their support, what is observed from the model's own samples."""
    bound = {n: v for n, v in model.graph.variables.items() if v.bound}
    values = {n: by_support(v, rows, model) for n, v in bound.items()}
    values |= {n: v for n, v in model.ancestral(rows, values).items() if n in bound}
    known: dict[str, Tensor] = {}
    for name, variable in bound.items():
        if variable.role is Role.PARTIAL:
            known[name] = torch.arange(rows, device=model.device) % 2 == 0
        elif variable.missing:
            known[name] = torch.rand(values[name].shape, device=model.device) < 0.8
            values[name] = torch.where(known[name], values[name], torch.zeros_like(values[name]))
    zeros = {n: torch.zeros(rows, dtype=model.dtype, device=model.device) for n in values}
    return Batch(values, zeros, known, {}, torch.arange(rows, device=model.device))


def by_support(variable: Variable, rows: int, model: Model) -> Tensor:
    """Any values that lie in the variable's support, [rows, *shape]."""
    assert variable.shape is not None
    support = variable.support or Support()
    size = (rows, *variable.shape)
    if support.integer:
        low = int(support.low) if support.low > -torch.inf else 0
        values = torch.randint(low, low + min(support.count or 8, 2**31), size, device=model.device)
        counts = variable.column is None or not variable.column.dtype.startswith("float")
        return values if counts else values.to(model.dtype)
    noise = torch.randn(size, dtype=model.dtype, device=model.device)
    if support.low > -torch.inf and support.high < torch.inf:
        return support.low + (support.high - support.low) * torch.sigmoid(noise)
    if support.low > -torch.inf:
        return support.low + noise.exp()
    return noise


@torch.no_grad()
def inferred(model: Model, batch: Batch) -> dict[str, Tensor]:
    """The batch's values, the masks of missing entries, and a draw of every encoder that can be reached."""
    values = dict(batch.values)
    for name, known in batch.known.items():
        if model.graph.variables[name].missing:
            values[mask_name(name)] = known.to(model.dtype)
    for name in model.graph.order("q"):
        encoder = model.graph.q(name)
        if model.graph.variables[name].role is Role.CORRUPTED:
            values[name] = values[model.graph.factors[f"corruption.{name}"].parents[0]]
        elif encoder is not None and name not in values and all(p in values for p in encoder.parents):
            values[name] = model.distribution(encoder.name, values, len(batch)).draw()[0]
    return values


@torch.no_grad()
def parents_of(model: Model, factor: Factor, batch: Batch) -> dict[str, Tensor]:
    """Values that a factor meets in use: data and codes for an encoder, ancestral samples for p."""
    values = inferred(model, batch)
    if factor.side == "p":
        values |= model.ancestral(len(batch), batch.values)
    return values


def first(values: Mapping[str, Tensor], rows: int) -> dict[str, Tensor]:
    """The first rows of every value."""
    return {n: v[:rows] for n, v in values.items()}


def head(batch: Batch, rows: int) -> Batch:
    """The first rows of a batch."""
    return Batch(
        first(batch.values, rows),
        first(batch.log_det, rows),
        first(batch.known, rows),
        first(batch.hidden, rows),
        batch.rows[:rows],
        {n: c.each(lambda v: v[:rows]) for n, c in batch.cells.items()},
    )
