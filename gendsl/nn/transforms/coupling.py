"""Coupling layers: the part under the mask passes through and sets shift and scale of the rest.

y = x * exp(s) + t off the mask (Dinh et al. 2017, eq. 7-8), s = bound * tanh(raw) with a learned bound; with
`additive`, s = 0 (Dinh et al. 2015, eq. 7). `repeat` layers take the mask and its complement in turn.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gendsl.nn.head import Head
from gendsl.nn.building import build_net
from gendsl.nn.transforms.stack import Stack, Transform, flat_sum
from gendsl.schema.components.flow import Coupling, Mask
from gendsl.schema.facts import Shape, numel


def passes_through(mask: Mask, shape: Shape) -> Tensor:
    """1 where the value passes through, 0 where it is transformed; [*shape]."""
    index = torch.arange(numel(shape)).view(shape)
    if mask == "checkerboard":
        rows, columns = (torch.arange(n) for n in shape[-2:])
        return ((rows[:, None] + columns[None, :]) % 2).expand(shape).float()
    if mask == "channel":
        return (index < (shape[0] // 2) * numel(shape[1:])).float()
    return (index < numel(shape) // 2).float()


class CouplingLayer(Transform):
    """One coupling layer; `mask` [*shape] is 1 where the value passes through."""

    mask: Tensor

    def __init__(self, spec: Coupling, shape: Shape, context: int, mask: Tensor) -> None:
        super().__init__()
        inputs = spec.inputs(shape, context)
        net = spec.conditioner()
        self.read_shape = inputs[0].shape
        self.register_buffer("mask", mask, persistent=False)
        self.net = build_net(net, inputs, shape)
        self.head = Head(net.features(inputs, shape), (spec.numbers(), *shape), scale=0.01)
        self.bound = nn.Parameter(torch.ones(shape)) if spec.transform == "affine" else None

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        shift, log_scale = self._shift_and_scale(x, context)
        return x * torch.exp(log_scale) + shift, flat_sum(log_scale)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        shift, log_scale = self._shift_and_scale(y, context)
        return (y - shift) * torch.exp(-log_scale), -flat_sum(log_scale)

    def _shift_and_scale(self, value: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        values = {"value": (value * self.mask).reshape(-1, *self.read_shape)}
        if context is not None:
            values["context"] = context
        raw = self.head(self.net(values))  # [N, 1 or 2, *shape]
        off = 1 - self.mask
        if self.bound is None:
            return raw[:, 0] * off, torch.zeros_like(value)
        return raw[:, 0] * off, self.bound * torch.tanh(raw[:, 1]) * off


def build_coupling(spec: Coupling, shape: Shape, context: int, kernels: str) -> Transform:
    mask = passes_through(spec.mask, shape)
    layers = [CouplingLayer(spec, shape, context, mask if i % 2 == 0 else 1 - mask) for i in range(spec.repeat)]
    return Stack(layers, [True] * spec.repeat)
