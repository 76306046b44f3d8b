"""Preprocessing: the log-Jacobian that is tracked, against autograd's, and the way back to the column.

Steps act entry by entry, so the Jacobian is diagonal: log |det| = sum log |dy/dx|, with dy/dx from one
backward pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from gendsl.nn.preprocessing import Pipeline
from gendsl.nn.rows import as_vectors
from gendsl.runtime.verify.certificate import Certificate, at_most
from gendsl.runtime.verify.subject import Subject
from gendsl.schema.components.source_base import Column

BOUND, POWER = 1e-9, 1e-8
BACK_BOUND, BACK_POWER = 1e-6, 1e-5
ROWS = 16


def certificates(subject: Subject) -> Iterator[Certificate]:
    """log_det of every pipeline onto the reals, round_trip of every pipeline that loses nothing."""
    for name, module in subject.own.preprocessing.items():
        assert isinstance(module, Pipeline)
        if not len(module.steps):
            continue
        with subject.draws(f"preprocessing/{name}"):
            yield from _pipeline(name, module, lossy=subject_lossy(subject, name))


def subject_lossy(subject: Subject, name: str) -> bool:
    """Whether a step of the variable's preprocessing forgets something."""
    data = subject.graph.spec.data
    return data is not None and any(s.lossy for s in data.bind[name].as_)


def _pipeline(name: str, pipeline: Pipeline, *, lossy: bool) -> Iterator[Certificate]:
    x = column_values(pipeline.column, ROWS)
    same = pipeline.result.shape == pipeline.column.shape and not pipeline.result.support.integer
    if same and not lossy:
        error = jacobian_error(pipeline, x)
        yield at_most(
            f"log_det:preprocessing.{name}", error, BOUND, POWER, "relative, float64, against autograd"
        )
    if not lossy:
        with torch.no_grad():
            y = pipeline(x, torch.arange(ROWS), 0)[0]
            again = pipeline.inverse(y)
        error = float((again - x).abs().max() / x.abs().mean())
        yield at_most(f"round_trip:preprocessing.{name}", error, BACK_BOUND, BACK_POWER, "back to the column")


def jacobian_error(pipeline: Pipeline, x: Tensor) -> float:
    """|log_det - sum log |dy/dx|| relative to the mean |log_det|, the largest over rows."""
    x = x.detach().requires_grad_()
    y, log_det = pipeline(x, torch.arange(len(x)), 0)
    slope, log_det = torch.autograd.grad(y.sum(), x)[0], log_det.detach()
    exact = as_vectors(slope.abs().log()).sum(1)
    return float((log_det - exact).abs().max() / exact.abs().mean().clamp(min=1e-3))


def column_values(column: Column, rows: int) -> Tensor:
    """Values of a column, float64 [rows, *shape], inside its bounds."""
    size, support = (rows, *column.shape), column.support
    if column.levels is not None and math.isfinite(support.low + support.high):
        place = torch.randint(0, column.levels, size).double()
        return support.low + place * (support.high - support.low) / max(column.levels - 1, 1)
    noise = torch.randn(size, dtype=torch.float64)
    if math.isfinite(support.low + support.high):
        return support.low + (support.high - support.low) * torch.sigmoid(noise)
    if math.isfinite(support.low):
        return support.low + (noise.exp() if not support.integer else noise.exp().ceil())
    return noise.round() if support.integer else noise
