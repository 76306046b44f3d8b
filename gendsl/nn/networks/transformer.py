"""`transformer`: causal self-attention over the entries in their turn (Vaswani et al. 2017, pre-norm form).

    h <- h + attention(film(norm(h)))      causal: a token attends to itself and to the ones before it
    h <- h + attention(norm(h), memory)    if `cross` names a parent, which an encoder turns into the memory
    h <- h + W_2 gelu(W_1 film(norm(h)))

Positions are learned, one for each turn. The other parents modulate through the two films.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gendsl.nn.conditioning import Context, Film, Values
from gendsl.nn.networks.layers import require
from gendsl.nn.networks.tokens import Shifted, Tokens
from gendsl.schema.components.net_seq import Transformer
from gendsl.schema.facts import Input, Inputs, numel


class Attention(nn.Module):
    """Heads of scaled dot-product attention: queries [B, T, W], memory [B, S, W] -> [B, T, W]."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, h: Tensor, memory: Tensor) -> Tensor:
        key, value = self.key_value(memory).chunk(2, dim=-1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (self.query(h), key, value))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)  # [B, heads, T, W / heads]
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """One layer: tokens [B, T, W] -> the same shape."""

    def __init__(self, spec: Transformer, *, causal: bool, cross: bool, context: int) -> None:
        super().__init__()
        width = spec.width
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3 if cross else 2))
        self.films = nn.ModuleList(Film(context, width) for _ in range(2 if context else 0))
        self.attend = Attention(width, spec.heads, causal)
        self.cross = Attention(width, spec.heads, causal=False) if cross else None
        self.dense = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, h: Tensor, memory: Tensor | None, context: Tensor | None) -> Tensor:
        own = self._modulate(0, h, context)
        h = h + self.attend(own, own)
        if self.cross is not None and memory is not None:
            h = h + self.cross(self.norms[2](h), memory)
        out: Tensor = h + self.dense(self._modulate(1, h, context))
        return out

    def _modulate(self, which: int, h: Tensor, context: Tensor | None) -> Tensor:
        h = self.norms[which](h)
        if context is not None:
            h = self.films[which](h, context)
        return h


class Encoder(nn.Module):
    """A parent as memory: [B, *shape] -> [B, S, width], every token attending to all."""

    def __init__(self, spec: Transformer, source: Input) -> None:
        super().__init__()
        self.enter = Tokens(source, spec.width)
        self.positions = nn.Parameter(torch.randn(numel(source.shape), spec.width) * 0.02)
        self.blocks = nn.ModuleList(
            Block(spec, causal=False, cross=False, context=0) for _ in range(spec.layers)
        )
        self.norm = nn.LayerNorm(spec.width)

    def forward(self, value: Tensor) -> Tensor:
        h = self.enter(value) + self.positions
        for block in self.blocks:
            h = block(h, None, None)
        out: Tensor = self.norm(h)
        return out


class TransformerNet(nn.Module):
    """Values and x [B, *target] -> raw parameters [B, outputs, *target]."""

    def __init__(self, spec: Transformer, inputs: Inputs, target: Input, outputs: int, order: Tensor) -> None:
        super().__init__()
        source, rest = spec.source(inputs), spec.rest(inputs)
        self.enter = Shifted(target, spec.width, order)
        self.positions = nn.Parameter(torch.randn(len(order), spec.width) * 0.02)
        self.source = spec.cross
        self.encoder = Encoder(spec, source) if source is not None else None
        self.context = Context(rest) if rest else None
        width = self.context.width if self.context is not None else 0
        self.blocks = nn.ModuleList(
            Block(spec, causal=True, cross=source is not None, context=width) for _ in range(spec.layers)
        )
        self.norm = nn.LayerNorm(spec.width)
        self.out = nn.Linear(spec.width, outputs)

    def forward(self, values: Values, x: Tensor) -> Tensor:
        h: Tensor = self.enter(x) + self.positions
        context = self.context(values) if self.context is not None else None
        memory = None
        if self.encoder is not None and self.source is not None:
            memory = self.encoder(values[self.source])
        for block in self.blocks:
            h = block(h, memory, context)
        return self.enter.replace(self.out(self.norm(h)))


def build_transformer(
    spec: Transformer, inputs: Inputs, target: Input, outputs: int, order: Tensor
) -> TransformerNet:
    """The module of a `transformer`; `order` is the rank of every flattened entry.

    Raises ValueError if the heads do not divide the width, or `cross` names none of the parents.
    """
    require(spec, inputs, target)
    return TransformerNet(spec, inputs, target, outputs, order)
