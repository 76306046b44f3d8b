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

    def forward(self, h: Tensor, memory: Tensor, past: Past | None = None) -> Tensor:
        q = self._split(self.query(h))
        k, v = self.pair(memory) if past is None else past.pair(self, memory)
        causal = self.causal and past is None
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)  # [B, heads, T, W / heads]
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out

    def pair(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values, [B, heads, S, W / heads] each."""
        key, value = self.key_value(memory).chunk(2, dim=-1)
        return self._split(key), self._split(value)

    def _split(self, h: Tensor) -> Tensor:
        return h.reshape(*h.shape[:2], self.heads, h.shape[2] // self.heads).transpose(1, 2)


class Past:
    """Keys and values that are kept: of `tokens` tokens that come one by one, or of a memory (0), once."""

    def __init__(self, tokens: int = 0) -> None:
        self.tokens, self.seen = tokens, 0
        self.kept: tuple[Tensor, Tensor] | None = None

    def pair(self, attention: Attention, memory: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values so far, those of the new tokens in `memory` [B, n, W] included."""
        if not self.tokens:
            self.kept = self.kept or attention.pair(memory)
            return self.kept
        new = attention.pair(memory)
        if self.kept is None:
            size = (*new[0].shape[:2], self.tokens, new[0].shape[3])
            self.kept = (new[0].new_empty(size), new[1].new_empty(size))
        before, self.seen = self.seen, self.seen + new[0].shape[2]
        for kept, fresh in zip(self.kept, new, strict=True):
            kept[:, :, before : self.seen] = fresh
        return self.kept[0][:, :, : self.seen], self.kept[1][:, :, : self.seen]


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

    def forward(
        self,
        h: Tensor,
        memory: Tensor | None,
        context: Tensor | None,
        past: tuple[Past, Past] | None = None,
    ) -> Tensor:
        before, beside = past or (None, None)
        own = self._modulate(0, h, context)
        h = h + self.attend(own, own, before)
        if self.cross is not None and memory is not None:
            h = h + self.cross(self.norms[2](h), memory, beside)
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

    def stepper(self, values: Values, rows: int) -> TransformerSteps:
        return TransformerSteps(self, values, rows)


class TransformerSteps:
    """One token for each entry; what is kept are the keys and values of the tokens before, and the memory's."""

    differentiable = False

    def __init__(self, net: TransformerNet, values: Values, rows: int) -> None:
        self.net, self.rows, self.turn = net, rows, 0
        self.context = net.context(values) if net.context is not None else None
        self.memory = None
        if net.encoder is not None and net.source is not None:
            self.memory = net.encoder(values[net.source])
        self.past = [(Past(len(net.positions)), Past()) for _ in net.blocks]

    def next(self, last: Tensor | None) -> Tensor:
        h = (self.net.enter.one(last, self.rows) + self.net.positions[self.turn])[:, None]
        self.turn += 1
        for block, past in zip(self.net.blocks, self.past, strict=True):
            h = block(h, self.memory, self.context, past)
        raw: Tensor = self.net.out(self.net.norm(h[:, 0]))
        return raw


def build_transformer(
    spec: Transformer, inputs: Inputs, target: Input, outputs: int, order: Tensor
) -> TransformerNet:
    """The module of a `transformer`; `order` is the rank of every flattened entry.

    Raises ValueError if the heads do not divide the width, or `cross` names none of the parents.
    """
    require(spec, inputs, target)
    return TransformerNet(spec, inputs, target, outputs, order)
