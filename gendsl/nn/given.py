"""Batches of the values that a query is given: tensors by name, or one tensor for the only observed variable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gendsl.compiler.graph import Graph, Role
from gendsl.compiler.plans.classify import labelled
from gendsl.compiler.plans.impute import filled
from gendsl.data.batch import Batch
from gendsl.errors import UsageError

if TYPE_CHECKING:
    from gendsl.nn.model import Model

Given = Batch | Mapping[str, Tensor] | Tensor
"""What a query may be asked of."""


def batch_of(model: Model, data: Given, query: str = "") -> Batch:
    """A Batch of given values: a tensor stands for the only observed variable.

    NaN is a missing entry where the variable may have some, and a label that is only partly observed may be left
    out. Raises UsageError for a name that is not a bound variable, a shape that is not its shape, or a variable
    that the query needs and was not given.
    """
    if isinstance(data, Batch):
        return data
    bound = {n: v for n, v in model.graph.variables.items() if v.bound}
    if isinstance(data, Tensor):
        names = [n for n, v in bound.items() if v.role in (Role.OBSERVED, Role.PARTIAL)]
        if len(names) != 1:
            raise UsageError(f"name the variables, as a dict: this model observes {', '.join(names)}")
        data = {names[0]: data}
    values: dict[str, Tensor] = {}
    known: dict[str, Tensor] = {}
    for name, value in data.items():
        if name not in bound:
            raise UsageError(f"{name!r} is not a bound variable; they are {', '.join(bound)}")
        if tuple(value.shape[1:]) != bound[name].shape:
            raise UsageError(
                f"{name} is {list(bound[name].shape or ())} for each row, not {list(value.shape[1:])}"
            )
        values[name] = value.to(model.device)
        if bound[name].missing:
            known[name] = ~values[name].isnan()
            values[name] = values[name].nan_to_num(0.0)
        elif bound[name].role is Role.PARTIAL:
            known[name] = torch.ones(len(value), dtype=torch.bool, device=model.device)
    absent = [n for n in _asks(model.graph, query) if n not in values]
    if absent or not values:
        raise UsageError(f"{query or 'a batch'} needs {', '.join(absent) or 'values'}, which was not given")
    rows = next(iter(values.values())).shape[0]
    for name in (n for n, v in bound.items() if v.role is Role.PARTIAL and n not in values):
        values[name] = torch.zeros(rows, dtype=torch.int64, device=model.device)
        known[name] = torch.zeros(rows, dtype=torch.bool, device=model.device)
    zeros = {n: torch.zeros(rows, dtype=model.dtype, device=model.device) for n in values}
    return Batch(values, zeros, known, {}, torch.arange(rows))


def _asks(graph: Graph, query: str) -> list[str]:
    """The observed variables and conditions that a query cannot do without."""
    factors = list(graph.factors.values())
    if query == "encode":
        factors = [f for f in factors if f.side != "p" or f.base is not None]
    named = {n for f in factors for n in (f.head, *f.parents)} if query else set()
    if query == "classify":
        named -= set(labelled(graph))
    data = (Role.OBSERVED, Role.CONDITION)
    return [n for n, v in graph.variables.items() if v.role in data and n in named]


def with_holes(model: Model, data: Given, known: Mapping[str, Tensor]) -> Batch:
    """A batch with the masks of whatever is missing. Raises UsageError for masks beside a batch, which has its own."""
    if isinstance(data, Batch):
        if known:
            raise UsageError("a batch has masks of its own: pass masks beside values by name")
        return data
    variables, names = model.graph.variables, filled(model.graph)
    if isinstance(data, Tensor):
        data = {names[0]: data} if len(names) == 1 else batch_of(model, data).values
    rows = next((len(v) for v in data.values()), 0)
    masks: dict[str, Tensor] = {}
    values: dict[str, Tensor] = dict(data)
    for name in names:
        shape, support = variables[name].shape, variables[name].support
        assert shape is not None
        assert support is not None
        low = max(0.0, support.low)
        if name not in values:
            dtype = torch.int64 if support.integer and variables[name].labels else model.dtype
            values[name] = torch.full((rows, *shape), low, device=model.device).to(dtype)
            masks[name] = torch.zeros(rows, *shape, dtype=torch.bool, device=model.device)
            continue
        present = ~values[name].isnan() if values[name].is_floating_point() else None
        if name in known:
            present = known[name] if present is None else present & known[name]
        if present is not None and not bool(present.all()):
            masks[name] = present.to(model.device)
            values[name] = torch.where(present, values[name], torch.full_like(values[name], low))
    for name, value in values.items():
        if value.is_floating_point() and bool(value.isnan().any()):
            raise UsageError(f"{name} has missing entries, and they cannot be filled in")
    absent = [n for n in known if n not in names]
    if absent:
        raise UsageError(f"there is a mask of {', '.join(absent)}, which cannot be filled in")
    batch = batch_of(model, values, "impute")
    return replace(batch, known={**batch.known, **masks})
