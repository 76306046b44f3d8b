"""Coupling layers: the part under the mask passes through and sets the transform of the rest.

Off the mask y is a scalar bijection of x (`gendsl.nn.transforms.entries`) whose raw numbers the conditioner
gives (Dinh et al. 2017, eq. 7-8). Of `repeat` layers each takes the mask or its complement, whichever transforms
more of what passed through the layer before; so they alternate where nothing stands between them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gendsl.nn.building import build_net
from gendsl.nn.head import Head
from gendsl.nn.transforms.between import between
from gendsl.nn.transforms.entries import Entries
from gendsl.nn.transforms.permute import Permutation
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
        self.entries = Entries(spec, shape)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._move(x, context, inverse=False)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._move(y, context, inverse=True)

    def _move(self, value: Tensor, context: Tensor | None, inverse: bool) -> tuple[Tensor, Tensor]:
        values = {"value": (value * self.mask).reshape(-1, *self.read_shape)}
        if context is not None:
            values["context"] = context
        raw = self.head(self.net(values))  # [N, numbers, *shape]
        image, log_slope = self.entries(value, raw, inverse)
        passes = self.mask > 0
        return torch.where(passes, value, image), flat_sum(log_slope * (1 - self.mask))


def build_coupling(spec: Coupling, shape: Shape, context: int, kernels: str) -> Transform:
    mask = passes_through(spec.mask, shape)
    layers: list[Transform] = []
    passed = 1 - mask
    for i in range(spec.repeat):
        if i and spec.between is not None:
            moved = between(spec.between, numel(shape), i)
            layers.append(moved)
            if isinstance(moved, Permutation):
                passed = passed.flatten()[moved.order].view(shape)
        passed = mask if float((passed * (1 - mask)).sum()) > float((passed * mask).sum()) else 1 - mask
        layers.append(CouplingLayer(spec, shape, context, passed))
    return Stack(layers, [isinstance(layer, CouplingLayer) for layer in layers])
