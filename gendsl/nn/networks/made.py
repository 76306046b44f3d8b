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
        self.degrees = [entering]
        before, mask = entering, final[:, None] > entering[None, :]
        for size in spec.hidden:
            after = spread(size, 0 if context else min(1, entries - 1), entries - 1)
            seen = (
                after[:, None] > before[None, :] if before is entering else after[:, None] >= before[None, :]
            )
            layers += [MaskedLinear(seen), make_activation(spec.activation)]
            before, mask = after, final[:, None] >= after[None, :]
            self.degrees.append(after)
        self.degrees.append(final)
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

    def stepper(self, values: Values, rows: int) -> MADESteps:
        return MADESteps(self, values, rows)


class MADESteps:
    """Every hidden unit is computed once, at the turn of its degree, when all that it may see is known.

    The units of a layer are sorted by degree, so that those of degree t, and all those of a lower degree that
    they see, lie next to each other: turn t multiplies the unmasked block of each weight that belongs to it.
    All turns together do the arithmetic of one pass. Nothing is written in place.
    """

    differentiable = True

    def __init__(self, net: MADE, values: Values, rows: int) -> None:
        self.net, self.turn = net, 0
        sizes = [layer for layer in net.layers if isinstance(layer, MaskedLinear)]
        places = [torch.argsort(d, stable=True) for d in net.degrees]
        self.ends = [_ends(d, numel(net.raw[1:])) for d in net.degrees]
        self.weights = [
            layer.weight[after][:, before]
            for layer, before, after in zip(sizes, places, places[1:], strict=False)
        ]
        self.biases = [layer.bias[after] for layer, after in zip(sizes, places[1:], strict=True)]
        self.direct = None
        self.acts = [layer for layer in net.layers if not isinstance(layer, MaskedLinear)]
        weight = net.layers[-1].weight
        assert isinstance(weight, Tensor)
        start = weight.new_zeros(rows, 0) if net.context is None else net.context(values)
        if net.direct is not None:
            self.direct = net.direct.weight[places[-1]]
            if net.first == 0:
                self.direct = self.direct[:, places[0]]
        self.context = start.shape[1]
        self.known = [start, *(start[:, :0] for _ in self.acts)]

    def next(self, last: Tensor | None) -> Tensor:
        if last is not None:
            number = self.net.entry(last).reshape(last.shape[0], -1)
            self.known[0] = torch.cat([self.known[0], number], 1)
        for layer, act in enumerate(self.acts):
            fresh = self._block(layer)
            if fresh is not None:
                self.known[layer + 1] = torch.cat([self.known[layer + 1], act(fresh)], 1)
        raw = self._block(len(self.acts))
        assert raw is not None
        if self.direct is not None:
            seen = self.known[0] if self.net.first == 0 else self.known[0][:, : self.context]
            raw = raw + F.linear(seen, self.direct[self._units(len(self.acts)), : seen.shape[1]])
        self.turn += 1
        return raw

    def _units(self, layer: int) -> slice:
        """The sorted units of the layer's output that belong to this turn."""
        ends = self.ends[layer + 1]
        return slice(ends[self.turn - 1] if self.turn else 0, ends[self.turn])

    def _block(self, layer: int) -> Tensor | None:
        units, known = self._units(layer), self.known[layer]
        if units.start == units.stop:
            return None
        return F.linear(known, self.weights[layer][units, : known.shape[1]], self.biases[layer][units])


def _ends(degrees: Tensor, turns: int) -> list[int]:
    """How many units have a degree of at most t, for every turn t."""
    return torch.searchsorted(degrees.sort().values, torch.arange(turns), right=True).tolist()


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
