"""`made`: dense layers whose masks make raw parameter i a function of the entries ranked before i.

Every unit has a degree: an entry its rank, a context number -1, a hidden unit one of the degrees spread
evenly up to D - 1 (Germain et al. 2015 draw them at random), meaning that it knows entries of smaller rank
only. Weight W[k, j] is kept where unit k may see unit j (their equations 12 and 13):

    hidden k of an entry j:   degree(k) > degree(j)         output k of an entry j:    rank(k) > rank(j)
    hidden k of a hidden j:   degree(k) >= degree(j)        output k of a hidden j:    rank(k) >= degree(j)

Hidden units of degree 0 exist when there is a context, and it reaches the outputs directly too:
otherwise the first entry could not depend on it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gendsl.nn.conditioning import Read, Values, Vector
from gendsl.nn.networks.layers import make_activation, require
from gendsl.schema.components.net_ar import Made
from gendsl.schema.facts import Input, Inputs, numel


class MaskedLinear(nn.Module):
    """A dense layer whose weight is multiplied by a mask of zeros and ones: [B, I] -> [B, O]."""

    mask: Tensor

    def __init__(self, mask: Tensor, bias: bool = True) -> None:
        super().__init__()
        outputs, inputs = mask.shape
        layer = nn.Linear(inputs, outputs, bias)
        self.weight, self.bias = layer.weight, layer.bias
        self.register_buffer("mask", mask.to(layer.weight.dtype), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class MADE(nn.Module):
    """Values and x [B, *target] -> raw parameters [B, outputs, *target]."""

    def __init__(self, spec: Made, inputs: Inputs, target: Input, outputs: int, order: Tensor) -> None:
        super().__init__()
        self.entry = Read(target)
        self.context = Vector(inputs) if inputs else None
        self.raw = (outputs, *target.shape)
        self.width = target.width
        entries = numel(target.shape)
        context = self.context.width if self.context is not None else 0
        ranks = order.repeat_interleave(target.width // entries)
        entering = torch.cat([ranks, ranks.new_full((context,), -1)])
        final = order.repeat(outputs)
        layers: list[nn.Module] = []
        before, mask = entering, final[:, None] > entering[None, :]
        for size in spec.hidden:
            after = spread(size, 0 if context else min(1, entries - 1), entries - 1)
            seen = (
                after[:, None] > before[None, :] if before is entering else after[:, None] >= before[None, :]
            )
            layers += [MaskedLinear(seen), make_activation(spec.activation)]
            before, mask = after, final[:, None] >= after[None, :]
        self.layers = nn.Sequential(*layers, MaskedLinear(mask))
        direct = entering if spec.direct else entering[len(ranks) :]
        known = final[:, None] > direct[None, :]
        self.first = len(entering) - len(direct)
        self.direct = MaskedLinear(known, bias=False) if spec.hidden and len(direct) else None

    def forward(self, values: Values, x: Tensor) -> Tensor:
        h = self.entry(x).reshape(x.shape[0], self.width)
        if self.context is not None:
            h = torch.cat([h, self.context(values)], dim=1)
        raw: Tensor = self.layers(h)
        if self.direct is not None:
            raw = raw + self.direct(h[:, self.first :])
        return raw.reshape(x.shape[0], *self.raw)


def spread(units: int, low: int, high: int) -> Tensor:
    """Degrees of hidden units, evenly from low to high, int64; every one occurs where there are enough."""
    steps = max(units - 1, 1)
    return torch.tensor(
        [low + round(unit * (high - low) / steps) for unit in range(units)], dtype=torch.int64
    )


def build_made(spec: Made, inputs: Inputs, target: Input, outputs: int, order: Tensor) -> MADE:
    """The module of a `made`; `order` is the rank of every flattened entry. Raises ValueError for None."""
    require(spec, inputs, target)
    return MADE(spec, inputs, target, outputs, order)
