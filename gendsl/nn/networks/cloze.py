"""`transformer` under `ordering: any`: every entry attends to all entries, those to be said are hidden (cloze).

    h <- h + attention(film(norm(h))),  h <- h + attention(norm(h), memory),  h <- h + W_2 gelu(W_1 film(norm(h)))

as in the causal form, without a mask: a hidden entry's token is one learned vector (Devlin et al. 2019), so the raw
numbers of a hidden entry depend on the entries that are not hidden, and on which those are. One set of weights serves
every order of the entries (Uria et al. 2014). Positions begin as large as tokens, not small as in the causal form:
its place is all that tells one hidden entry from another.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gendsl.nn.conditioning import Context, Values
from gendsl.nn.networks.layers import require
from gendsl.nn.networks.tokens import Tokens
from gendsl.nn.networks.transformer import Block, Encoder
from gendsl.schema.components.net_seq import Transformer
from gendsl.schema.facts import Input, Inputs, numel


class ClozeNet(nn.Module):
    """Values, x [B, *target] and what is hidden, booleans of that shape -> raw parameters [B, outputs, *target]."""

    def __init__(self, spec: Transformer, inputs: Inputs, target: Input, outputs: int) -> None:
        super().__init__()
        source, rest = spec.source(inputs), spec.rest(inputs)
        self.shape = target.shape
        self.enter = Tokens(target, spec.width)
        self.hidden = nn.Parameter(torch.randn(spec.width) * spec.width**-0.5)
        self.positions = nn.Parameter(torch.randn(numel(target.shape), spec.width))
        self.source = spec.cross
        self.encoder = Encoder(spec, source) if source is not None else None
        self.context = Context(rest) if rest else None
        width = self.context.width if self.context is not None else 0
        self.blocks = nn.ModuleList(
            Block(spec, causal=False, cross=source is not None, context=width) for _ in range(spec.layers)
        )
        self.norm = nn.LayerNorm(spec.width)
        self.out = nn.Linear(spec.width, outputs)

    def forward(self, values: Values, x: Tensor, hidden: Tensor) -> Tensor:
        rows = x.shape[0]
        tokens = self.enter(x)
        h = torch.where(hidden.reshape(rows, -1, 1), self.hidden.to(tokens.dtype), tokens) + self.positions
        context = self.context(values) if self.context is not None else None
        memory = None
        if self.encoder is not None and self.source is not None:
            memory = self.encoder(values[self.source])
        for block in self.blocks:
            h = block(h, memory, context)
        raw: Tensor = self.out(self.norm(h)).transpose(1, 2)  # [B, outputs, D]
        return raw.reshape(rows, raw.shape[1], *self.shape)


def build_cloze(spec: Transformer, inputs: Inputs, target: Input, outputs: int) -> ClozeNet:
    """The order-agnostic module of a `transformer`. Raises ValueError as `build_transformer`."""
    require(spec, inputs, target)
    return ClozeNet(spec, inputs, target, outputs)
