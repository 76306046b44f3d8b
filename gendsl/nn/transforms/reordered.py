"""Autoregressive layers in another order than the natural one: y = P^-1 f(P x), P a permutation of the entries."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gendsl.nn.ordering import rank_tensor, turns
from gendsl.nn.rows import as_vectors
from gendsl.nn.transforms.autoregressive import AutoregressiveTransform
from gendsl.nn.transforms.stack import Stack, Transform
from gendsl.schema.components.flow import FlowLayer
from gendsl.schema.components.flow_shape import Chain
from gendsl.schema.components.ordering import Ordering
from gendsl.schema.facts import Shape


class Reordered(Transform):
    """A layer that sees its entries in the turn in which they come."""

    turns: Tensor
    ranks: Tensor

    def __init__(self, layer: Transform, ranks: Tensor) -> None:
        super().__init__()
        self.layer = layer
        self.register_buffer("ranks", ranks, persistent=False)
        self.register_buffer("turns", turns(ranks), persistent=False)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y, log_det = self.layer(as_vectors(x)[:, self.turns], context)
        return y[:, self.ranks].view_as(x), log_det

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, log_det = self.layer.inverse(as_vectors(y)[:, self.turns], context)
        return x[:, self.ranks].view_as(y), log_det


def reordered(spec: FlowLayer, layer: Transform, shape: Shape, ordering: Ordering) -> Transform:
    """The layer with every autoregressive part in the order that `ordering` gives to the shape which it acts on."""
    if not spec.ordered:
        return layer
    ranks = None if isinstance(spec, Chain) else rank_tensor(ordering, shape)
    if ranks is not None and torch.equal(ranks, torch.arange(len(ranks))):
        return layer
    if ranks is not None and isinstance(layer, AutoregressiveTransform):
        return Reordered(layer, ranks)
    assert isinstance(layer, Stack)
    inner = spec.layers() if isinstance(spec, Chain) else ()
    parts: list[nn.Module] = []
    for i, part in enumerate(layer.layers):
        assert isinstance(part, Transform)
        if ranks is not None:
            parts.append(Reordered(part, ranks) if isinstance(part, AutoregressiveTransform) else part)
            continue
        parts.append(reordered(inner[i], part, shape, ordering))
        shape = inner[i].base_shape(shape)
    layer.layers = nn.ModuleList(parts)
    return layer
