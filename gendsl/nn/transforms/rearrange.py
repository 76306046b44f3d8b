"""Squeeze, split and chain: the multi-scale architecture (Dinh et al. 2017, section 3.6).

`squeeze` makes channels of 2 x 2 squares: channel 4 c + 2 i + j of the base's side is channel c at row offset
i and column offset j.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gendsl.nn.building import builder
from gendsl.nn.rows import as_vectors
from gendsl.nn.transforms.stack import Divide, Stack, Transform
from gendsl.schema.components.flow_shape import Chain, Split, Squeeze
from gendsl.schema.facts import Shape, numel


class SqueezeTransform(Transform):
    """[N, 4C, H/2, W/2] on the base's side, [N, C, H, W] on the variable's."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return F.pixel_shuffle(x, 2), x.new_zeros(x.shape[0])

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return F.pixel_unshuffle(y, 2), y.new_zeros(y.shape[0])


class SplitTransform(Divide):
    """Keeps the first `kept[0]` channels and sends the rest."""

    def __init__(self, shape: Shape, kept: Shape) -> None:
        super().__init__(kept, numel(shape) - numel(kept))
        self.shape = shape

    def divide(self, value: Tensor) -> tuple[Tensor, Tensor]:
        return value[:, : self.kept[0]], as_vectors(value[:, self.kept[0] :])

    def join(self, kept: Tensor, sent: Tensor) -> Tensor:
        rest = (kept.shape[0], self.shape[0] - self.kept[0], *self.shape[1:])
        return torch.cat([kept, sent.reshape(rest)], 1)


def build_squeeze(spec: Squeeze, shape: Shape, context: int, kernels: str) -> SqueezeTransform:
    return SqueezeTransform()


def build_split(spec: Split, shape: Shape, context: int, kernels: str) -> SplitTransform:
    return SplitTransform(shape, spec.base_shape(shape))


def build_chain(spec: Chain, shape: Shape, context: int, kernels: str) -> Stack:
    """The layers written out, each on the shape that it sees."""
    built: list[Transform] = []
    for layer in spec.layers():
        built.append(builder(layer)(layer, shape, context if layer.amortized else 0, kernels))
        shape = layer.base_shape(shape)
    return Stack(built, [layer.amortized and context > 0 for layer in spec.layers()], shape)
