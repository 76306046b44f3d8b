"""The output layer of a direct net: from features to the raw parameters of a factor's distribution."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gendsl.schema.components.net import pointwise
from gendsl.schema.facts import Shape, numel


class Head(nn.Module):
    """Features [B, *features] -> raw [B, *raw].

    Features (F, h, w) and raw (P, h, w) or (P, C, h, w) of the same size meet in a 1x1 convolution;
    anything else is flattened and meets in a dense layer. `scale` multiplies the initial weights and clears
    the bias, for outputs that begin small.
    """

    def __init__(self, features: Shape, raw: Shape, scale: float | None = None) -> None:
        super().__init__()
        self.raw = raw
        self.grid = pointwise(features, raw)
        self.layer: nn.Conv2d | nn.Linear = (
            nn.Conv2d(features[0], numel(raw[:-2]), 1)
            if self.grid
            else nn.Linear(numel(features), numel(raw))
        )
        if scale is not None:
            assert self.layer.bias is not None
            with torch.no_grad():
                self.layer.weight.mul_(scale)
                self.layer.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.layer(features if self.grid else features.flatten(1))
        return out.reshape(out.shape[0], *self.raw)
