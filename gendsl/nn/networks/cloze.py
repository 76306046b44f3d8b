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

from gendsl.nn.conditioning import Values
from gendsl.nn.networks.layers import require
from gendsl.nn.networks.tokens import Tokens
from gendsl.nn.networks.transformer import Attending, placed
from gendsl.schema.components.net_seq import Transformer
from gendsl.schema.facts import Input, Inputs, numel


class ClozeNet(Attending):
    """Values, x [B, *target] and what is hidden, booleans of that shape -> raw parameters [B, outputs, *target]."""

    def __init__(self, spec: Transformer, inputs: Inputs, target: Input, outputs: int) -> None:
        super().__init__()
        self.shape = target.shape
        self.enter = Tokens(target, spec.width)
        self.hidden = nn.Parameter(torch.randn(spec.width) * spec.width**-0.5)
        self.positions = placed(spec, target.shape, torch.arange(numel(target.shape)), 1.0)
        self.build(spec, inputs, target, outputs, causal=False)

    def tokens(self, x: Tensor) -> Tensor:
        h: Tensor = self.positions(self.enter(x))
        return h

    def forward(self, values: Values, x: Tensor, hidden: Tensor) -> Tensor:
        rows = x.shape[0]
        tokens = self.enter(x)
        h = self.positions(torch.where(hidden.reshape(rows, -1, 1), self.hidden.to(tokens.dtype), tokens))
        raw: Tensor = self.out(self.states(h, values)).transpose(1, 2)  # [B, outputs, D]
        return raw.reshape(rows, raw.shape[1], *self.shape)


def build_cloze(spec: Transformer, inputs: Inputs, target: Input, outputs: int) -> ClozeNet:
    """The order-agnostic module of a `transformer`. Raises ValueError as `build_transformer`."""
    require(spec, inputs, target)
    return ClozeNet(spec, inputs, target, outputs)
