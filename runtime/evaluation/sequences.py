"""Nats for each step of a sequence: each character, each frame.

    - sum_i log p(x_i) / sum_i T_i,

the total over all rows for all of their steps, as papers on text and music have it: T_i counts the entries up to and
including the end symbol, or the instants that a row of its own length has. The error is that of a ratio of means.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gendsl.compiler.graph import Graph, Kind
from gendsl.data.batch import Batch
from gendsl.runtime.evaluation.entry import Entry, mean, none
from gendsl.runtime.evaluation.measured import Measured

KINDS = {Kind.EXACT: "exact", Kind.LOWER: "upper"}


def sequence(about: Measured) -> str | None:
    """The only variable that log_prob is the density of, if it is a sequence that is said from its beginning."""
    names = about.densities
    return names[0] if len(names) == 1 and _said_in_time(about.graph, names[0]) else None


def possible(about: Measured) -> bool:
    """Whether rows have densities, and these are of one sequence."""
    return about.can("log_prob") and sequence(about) is not None


def _said_in_time(graph: Graph, name: str) -> bool:
    factor, variable = graph.p(name), graph.variables[name]
    if factor is None or factor.ordering is None or not variable.shape or len(variable.shape) > 2:
        return False
    return factor.ordering.tag == "time" or (factor.ordering.forward and graph.end(factor) is not None)


def steps_of(graph: Graph, name: str, batch: Batch) -> Tensor:
    """How many steps the sequence has in each row, [B]."""
    value, factor = batch.values[name], graph.p(name)
    end = graph.end(factor) if factor is not None else None
    if name in batch.known:
        return batch.known[name].reshape(*value.shape[:2], -1).any(2).sum(1)
    if end is not None:
        ends = value == end
        return (ends.cumsum(1) <= ends.long()).sum(1)  # no end before the entry
    return torch.full((len(batch),), value.shape[1], device=value.device)


def nats_per_step(about: Measured) -> Entry:
    plan, name = about.graph.capabilities["log_prob"], sequence(about)
    if plan.how is None:
        return none(plan.why)
    if name is None:
        return none("log_prob is not that of one sequence in the order of time")
    values, _ = about.log_prob
    found = mean(-values)
    if found["value"] is None:
        return {**none(""), **found}
    steps = torch.cat([steps_of(about.graph, name, b).cpu() for b in about.batches("eval/rows")]).double()
    value = float(-values.sum() / steps.sum())
    rest = -values - value * steps
    error = float(rest.std() / (math.sqrt(len(rest)) * steps.mean())) if len(rest) > 1 else None
    return {
        "value": value,
        "stderr": error,
        "unit": "nats",
        "kind": KINDS.get(plan.kind or Kind.EXACT, "estimate"),
        "estimator": plan.how,
        "samples": about.samples if plan.kind is not Kind.EXACT else None,
        "rows": len(rest),
        "steps": int(steps.sum()),
    }
