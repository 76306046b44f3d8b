"""Learned dequantization: q(u | k), uniform numbers moved by a flow within the cell of a value (Ho et al. 2019).

    e = logit(u0), u0 uniform;  e' = flow(e; net(k));  u = sigmoid(e'),     log q(u | k) = -log |du/du0|

so an identity flow is uniform dequantization. `Cells` is what a batch knows of the values before they were moved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gendsl.nn.preprocessing import Pipeline
from gendsl.nn.steps import DequantizeModule
from gendsl.nn.transforms.stack import Stack, flat_sum


@dataclass(frozen=True)
class Cells:
    """Values on their grid [B, *shape], log |dy/dx| of the steps before them [B], and the steps from there on."""

    values: Tensor
    log_det: Tensor
    rest: Pipeline

    def each(self, change: Callable[[Tensor], Tensor]) -> Cells:
        """The same with both tensors changed alike."""
        return Cells(change(self.values), change(self.log_det), self.rest)


class Dequantizer(nn.Module):
    """q(u | k): a network of the place of k in [0, 1], and a flow from the uniform numbers."""

    def __init__(self, name: str, body: nn.Module, stack: Stack) -> None:
        super().__init__()
        self.name, self.body, self.stack = name, body, stack

    def context(self, place: Tensor) -> Tensor:
        """What conditions the flow, [B, C]."""
        read: Tensor = self.body({self.name: place}).flatten(1)
        return read

    def forward(self, place: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """u [B, *shape] in [0, 1], and log |du/du0| = -log q(u | k), [B]."""
        edge = torch.finfo(uniform.dtype).eps
        start, context = uniform.clamp(edge, 1.0 - edge), self.context(place)
        moved, log_det = self.stack(torch.log(start) - torch.log1p(-start), context)
        slope = -torch.log(start) - torch.log1p(-start) - F.softplus(moved) - F.softplus(-moved)
        return torch.sigmoid(moved), log_det + flat_sum(slope)

    def draw(self, cells: Cells) -> tuple[Tensor, Tensor]:
        """The variable's values y [B, *shape] at a draw of u, and log |dy/du0| with all steps, [B]."""
        first = cells.rest.steps[0]
        assert isinstance(first, DequantizeModule)
        real = next(self.parameters()).dtype
        place = first.place(cells.values.to(real))
        u, slope = self.forward(place, torch.rand(cells.values.shape, dtype=real, device=cells.values.device))
        y, log_det = cells.rest.moved(cells.values.to(real), u)
        return y, cells.log_det + log_det + slope
