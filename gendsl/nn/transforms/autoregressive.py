"""Autoregressive flows: the scalar bijection of entry i depends on the entries before it.

    masked_ar     y_i = f(x_i; c(y_<i))     (Papamakarios et al. 2017, eq. 3-4)
    inverse_ar    y_i = f(x_i; c(x_<i))     (Kingma et al. 2016, eq. 8-9)

One direction is one pass of the masked network. The other solves for the entries in turn, each once the
entries before it are there; a hidden unit is computed once, at the turn when it knows all that it may see
(`gendsl.nn.networks.made.MADESteps`), so that all turns together do the arithmetic of one pass.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gendsl.nn.networks.made import MADE, MaskedLinear
from gendsl.nn.rows import as_vectors
from gendsl.nn.transforms.between import between
from gendsl.nn.transforms.entries import Entries
from gendsl.nn.transforms.stack import Stack, Transform
from gendsl.schema.components.flow_autoregressive import AutoregressiveLayer, InverseAR, MaskedAR
from gendsl.schema.facts import Input, Shape, numel


class AutoregressiveTransform(Transform):
    """One masked network; it reads the variable's side, or the base's side where `reads_base`."""

    order: Tensor

    def __init__(self, spec: AutoregressiveLayer, size: int, context: int, reads_base: bool) -> None:
        super().__init__()
        self.size, self.reads_base = size, reads_base
        self.register_buffer("order", torch.arange(size), persistent=False)
        self.net = MADE(
            spec.conditioner(), spec.inputs(context), Input("value", (size,)), spec.numbers(), self.order
        )
        last = self.net.layers[-1]
        assert isinstance(last, MaskedLinear)
        with torch.no_grad():
            last.weight.mul_(0.01)
            last.bias.zero_()
            if self.net.direct is not None:
                self.net.direct.weight.mul_(0.01)
        self.entries = Entries(spec, (size,))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._move(x, context, inverse=False)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._move(y, context, inverse=True)

    def _move(self, value: Tensor, context: Tensor | None, inverse: bool) -> tuple[Tensor, Tensor]:
        flat = as_vectors(value)
        read = {} if context is None else {"context": context}
        if inverse != self.reads_base:
            image, log_slope = self.entries(flat, self.net(read, flat), inverse)
            return image.view_as(value), log_slope.sum(1)
        stepper = self.net.stepper(read, len(flat))
        images: list[Tensor] = []
        slopes: list[Tensor] = []
        for entry in torch.argsort(self.order).tolist():
            raw = stepper.next(images[-1] if images else None)
            image, log_slope = self.entries(flat[:, entry], raw, inverse, only=entry)
            images.append(image)
            slopes.append(log_slope)
        return torch.stack(images, 1)[:, self.order].view_as(value), torch.stack(slopes).sum(0)


def _build(spec: AutoregressiveLayer, shape: Shape, context: int, reads_base: bool) -> Stack:
    size = numel(shape)
    layers: list[Transform] = []
    for i in range(spec.repeat):
        if i:
            layers.append(between(spec.between, size, i))
        layers.append(AutoregressiveTransform(spec, size, context, reads_base))
    return Stack(layers, [isinstance(layer, AutoregressiveTransform) for layer in layers])


def build_masked_ar(spec: MaskedAR, shape: Shape, context: int, kernels: str) -> Stack:
    return _build(spec, shape, context, reads_base=False)


def build_inverse_ar(spec: InverseAR, shape: Shape, context: int, kernels: str) -> Stack:
    return _build(spec, shape, context, reads_base=True)
