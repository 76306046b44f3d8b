"""Preprocessing as one module: a column's values x to a variable's values y, with the log-Jacobian, and back.

    log p(x) = log p(y) + log_det,    bits per dimension = -(log p(y) + log_det) / (D log 2)

x is [B, *shape] in the column's own type (uint8, int64, float32, ...). y is int64 where it counts, labels
or orders things (labels, ordinal, tokens, mu_law), else real: also the 0 and 1 of binarize.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from gendsl.nn.rows import as_vectors
from gendsl.nn.steps import StepModule
from gendsl.schema.components.source_base import Column
from gendsl.schema.components.step import Step
from gendsl.schema.registry import builder

GAMMA = 0x9E3779B97F4A7C15


class Pipeline(nn.Module):
    """The steps of one bound variable, in order.

    `column` describes x and `result` describes y. Reals are computed in float64 if x is float64, else in
    torch's default type. What `fit` records are buffers, so a checkpoint holds them.
    """

    def __init__(self, steps: Sequence[Step], column: Column) -> None:
        super().__init__()
        columns, modules = [column], []
        for step in steps:
            module: StepModule = builder(step)(step, columns[-1])
            modules.append(module)
            columns.append(step.apply(columns[-1]))
        self.columns = tuple(columns)
        self.steps = nn.ModuleList(modules)
        self.whole = True

    @property
    def column(self) -> Column:
        """The facts of x."""
        return self.columns[0]

    @property
    def result(self) -> Column:
        """The facts of y."""
        return self.columns[-1]

    @torch.no_grad()
    def fit(self, x: Tensor, rows: Tensor | None = None, seed: int = 0, known: Tensor | None = None) -> None:
        """Fit the steps to training rows x [N, *shape] of a column, in float64, without NaN and the unknown.

        `rows` [N] are the rows' places in the source (0, 1, ... if None). Noise of earlier steps is here
        always a function of seed and place, so that fitting twice gives the same.
        """
        places = torch.arange(len(x)) if rows is None else rows
        value = x.double()
        if known is not None:
            value = torch.where(like(known, value), value, math.nan)
        modules = self._modules_in_order()
        fitted = [i for i, step in enumerate(modules) if type(step).fit is not StepModule.fit]
        for step in modules[: max(fitted, default=-1) + 1]:
            step.fit(value)
            none = value.new_empty(0)
            noise = none if step.noise == "none" else row_uniform(places, seed, value.shape[1:])
            value = step(value, noise.to(value.device))[0]

    def forward(
        self, x: Tensor, rows: Tensor, seed: int, known: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """y [B, *result.shape], and the sum over the entries of log |dy/dx|, [B].

        `rows` [B] (int64): the rows' places in the source, on which draws made once and for all depend,
        with `seed`. Draws made at every visit come from torch's default generator of x's device. Entries
        where `known` [B, *shape] is false add nothing to the sum.
        """
        real = torch.float64 if x.dtype == torch.float64 else torch.get_default_dtype()
        total = torch.zeros(len(x), dtype=real, device=x.device)
        value = x.to(real) if len(self.steps) else x
        for step in self._modules_in_order():
            value, log_det = step(value, self._noise(step, value, rows, seed))
            if known is not None:
                log_det = torch.where(like(known, log_det), log_det, torch.zeros_like(log_det))
                known = step.spread(known)
            total = total + as_vectors(log_det).sum(1)
        return self._typed(value, real), total

    def moved(self, x: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """y and the log-Jacobian of real x [B, *shape], [B], with these numbers in [0, 1) for the first step's noise.

        The steps after it must draw nothing.
        """
        total, value = x.new_zeros(len(x)), x
        for i, step in enumerate(self._modules_in_order()):
            value, log_det = step(value, uniform if i == 0 else value.new_empty(0))
            total = total + (log_det.flatten(1).sum(1) if log_det.dim() > 1 else log_det)
        return value, total

    @property
    def learned(self) -> bool:
        """Whether the first step is a dequantization whose noise the model draws."""
        return len(self.steps) > 0 and bool(getattr(self.steps[0], "learned", False))

    def inverse(self, y: Tensor) -> Tensor:
        """Back to the column's space, to look at or to save: reals [B, *shape] within the column's bounds.

        Integers come out whole. After a lossy step this is one of the values that y may have come from: 0
        and 1 become the column's lowest and highest value, a mu-law class the middle of its cell.
        """
        value = y if y.is_floating_point() else y.to(torch.get_default_dtype())
        for step in reversed(list(self._modules_in_order())):
            value = step.inverse(value)
        if self.column.support.integer:
            value = value.round()
        return value.clamp(self.column.support.low, self.column.support.high)

    def spread(self, known: Tensor) -> Tensor:
        """Which entries of y are known, given those of x; a mask of rows [B] stays one."""
        for step in self._modules_in_order():
            known = step.spread(known)
        return known

    def split_static(self) -> tuple[Pipeline, Pipeline]:
        """Two pipelines that share the steps: those before the first that draws at every visit, and the rest.

        Where nothing draws at every visit, the first is everything and the second has no steps. The first
        can be applied once, its values and its log-Jacobian kept.
        """
        noises = [step.noise for step in self._modules_in_order()]
        cut = noises.index("visit") if "visit" in noises else len(noises)
        return self._part(0, cut), self._part(cut, len(noises))

    def _part(self, start: int, stop: int) -> Pipeline:
        """Steps start .. stop - 1; where others follow, what comes out keeps the type it has."""
        part = Pipeline((), self.column)
        part.whole = stop == len(self.steps)
        part.columns = self.columns[start : stop + 1]
        part.steps = nn.ModuleList(list(self.steps)[start:stop])
        return part

    def _modules_in_order(self) -> list[StepModule]:
        return [cast(StepModule, step) for step in self.steps]

    def _noise(self, step: StepModule, value: Tensor, rows: Tensor, seed: int) -> Tensor:
        if step.noise == "visit":
            return torch.rand(value.shape, dtype=value.dtype, device=value.device)
        if step.noise == "row":
            return row_uniform(rows, seed, value.shape[1:]).to(value.device)
        return value.new_empty(0)

    def _typed(self, value: Tensor, real: torch.dtype) -> Tensor:
        if not self.whole:
            return value
        counts = self.result.support.integer and not self.result.dtype.startswith("float")
        return value.to(torch.int64) if counts else value.to(real)


def like(known: Tensor, of: Tensor) -> Tensor:
    """A mask of rows [B] or entries [B, *shape], with as many dimensions as `of`."""
    return known.reshape(known.shape + (1,) * (of.dim() - known.dim()))


def row_uniform(rows: Tensor, seed: int, shape: Sequence[int]) -> Tensor:
    """Uniform numbers in [0, 1), float64 [B, *shape] on the CPU, from `seed` and each row's number alone.

    SplitMix64 (Steele, Lea and Flood 2014) hashes seed, row and entry in turn.
    """
    places = rows.detach().cpu().numpy().astype(np.uint64)
    entries = np.arange(1, math.prod(shape) + 1, dtype=np.uint64) * np.uint64(GAMMA)
    start = _mix(np.array([seed % 2**64], np.uint64) + np.uint64(GAMMA))
    hashed = _mix(_mix(start + places * np.uint64(GAMMA))[:, None] + entries)  # [B, D]
    return torch.from_numpy((hashed >> np.uint64(11)) * 2.0**-53).reshape(len(rows), *shape)


def _mix(state: np.typing.NDArray[np.uint64]) -> np.typing.NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def bits_per_dim(log_prob: Tensor, log_det: Tensor, dims: int | Tensor) -> Tensor:
    """Bits per dimension of the column, [B], from log p(y) and the log-Jacobian in nats.

    `dims`: entries of one row, or of each row [B] (those observed). After uniform dequantization this is an
    upper bound; where a step is lossy it speaks of what the lossy step made, not of the column.
    """
    return -(log_prob + log_det) / (dims * math.log(2.0))
