"""Parts of a data set, resident in memory, and the batches that are gathered from them by index."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gendsl.nn.dequantizer import Cells
from gendsl.nn.preprocessing import Pipeline, like


@dataclass(frozen=True)
class Batch:
    """B rows of every bound variable.

    values: the variable after its steps [B, *shape]; 0 where it is not known.
    log_det: sum of log |dy/dx| over the known entries [B].
    known: only of variables that are partly observed (bool [B]) or have missing entries (bool [B, *shape]).
    hidden: the whole true values of those variables, for metrics; absent where the truth is not known.
    rows: the rows' places in the source [B].
    cells: of variables that a dequantizer of the model draws anew within their cells, what it starts from.
    """

    values: Mapping[str, Tensor]
    log_det: Mapping[str, Tensor]
    known: Mapping[str, Tensor]
    hidden: Mapping[str, Tensor]
    rows: Tensor
    cells: Mapping[str, Cells] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        return self.each(lambda tensor: tensor.to(device))

    def each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same with every tensor changed alike: other rows, more rows, another device."""
        maps = (self.values, self.log_det, self.known, self.hidden)
        values, log_det, known, hidden = ({name: change(t) for name, t in of.items()} for of in maps)
        cells = {name: cell.each(change) for name, cell in self.cells.items()}
        return Batch(values, log_det, known, hidden, change(self.rows), cells)


@dataclass(frozen=True)
class Resident:
    """One variable of one part: values after the steps that need no fresh noise, and the steps that are left.

    values [N, ...], log_det [N] of the steps done, known [N, ...] or [N] (None: all), `rest` the steps
    left, `truth`: whether what is hidden is known, for metrics.
    """

    values: Tensor
    log_det: Tensor
    rest: Pipeline
    known: Tensor | None = None
    truth: bool = True

    def at(self, index: Tensor) -> Resident:
        """Its rows at `index`."""
        known = None if self.known is None else self.known[index]
        return Resident(self.values[index], self.log_det[index], self.rest, known, self.truth)

    def to(self, device: torch.device | str) -> Resident:
        """The same on another device."""
        known = None if self.known is None else self.known.to(device)
        return Resident(self.values.to(device), self.log_det.to(device), self.rest, known, self.truth)


@dataclass(frozen=True)
class Part:
    """The rows of train, valid or test. `index` [N]: their places in the source."""

    name: str
    index: Tensor
    variables: Mapping[str, Resident]
    seed: int

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.index)

    def batch(self, index: Tensor) -> Batch:
        """The rows at `index` [B] (int64, counted within this part), in that order.

        Fresh noise is taken from torch's default generator, variable by variable in the order of binding.
        """
        rows = self.index[index]
        values: dict[str, Tensor] = {}
        log_det: dict[str, Tensor] = {}
        known: dict[str, Tensor] = {}
        hidden: dict[str, Tensor] = {}
        cells: dict[str, Cells] = {}
        for name, resident in self.variables.items():
            x = resident.values[index]
            mask = None if resident.known is None else resident.known[index]
            y, steps_log_det = resident.rest(x, rows, self.seed, mask)
            if mask is not None:
                known[name] = resident.rest.spread(mask)
                if resident.truth:
                    hidden[name] = y
                y = torch.where(like(known[name], y), y, torch.zeros_like(y))
            values[name], log_det[name] = y, resident.log_det[index] + steps_log_det
            if resident.rest.learned:
                cells[name] = Cells(x, resident.log_det[index], resident.rest)
        return Batch(values, log_det, known, hidden, rows, cells)

    def first(self, n: int) -> Part:
        """The part that has only the first n rows, or all where there are fewer."""
        return Part(self.name, self.index[:n], self.variables, self.seed)

    def at(self, index: Tensor) -> Part:
        """The part that has only the rows at `index`."""
        variables = {name: resident.at(index) for name, resident in self.variables.items()}
        return Part(self.name, self.index[index], variables, self.seed)

    def to(self, device: torch.device | str) -> Part:
        """The same on another device; then `index` of `batch` is expected there too."""
        variables = {name: resident.to(device) for name, resident in self.variables.items()}
        return Part(self.name, self.index.to(device), variables, self.seed)
