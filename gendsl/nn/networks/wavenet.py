"""`wavenet`: gated dilated causal convolutions over the entries in their turn (van den Oord et al. 2016).

    z = tanh(W_f * h + V_f c) sigmoid(W_g * h + V_g c)      (equations 2 and 3)
    h <- h + R z,    s <- s + S z,    raw = A relu(B relu(s))

W is dilated and sees a token and those before it; tokens are one step late, so the raw numbers of an entry
depend on earlier entries only. c is the context of the parents; V is zero at the beginning.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gendsl.nn.conditioning import Context, Values
from gendsl.nn.networks.frames import entering, said, saying, stepping
from gendsl.nn.networks.layers import require
from gendsl.nn.networks.pixel_steps import gated
from gendsl.nn.stepping import Stepper
from gendsl.schema.components.net_wave import WaveNet
from gendsl.schema.facts import Input, Inputs


class Dilated(nn.Module):
    """One layer: h [B, T, W], context -> h [B, T, W] (the same after the last layer), what it adds to s.

    The dilated convolution is a dense layer on each token beside the ones that many steps before it.
    """

    def __init__(self, spec: WaveNet, dilation: int, context: int, last: bool) -> None:
        super().__init__()
        width = spec.width
        self.offsets = [j * dilation for j in range(spec.kernel - 1, 0, -1)]
        self.conv = nn.Linear(spec.kernel * width, 2 * width)
        self.drop = nn.Dropout(spec.dropout)
        self.skip = nn.Linear(width, width)
        self.residual = None if last else nn.Linear(width, width)
        self.vector = nn.Linear(context, 2 * width, bias=False) if context else None
        if self.vector is not None:
            nn.init.zeros_(self.vector.weight)

    def forward(self, h: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        before = [F.pad(h, (0, 0, offset, 0))[:, : h.shape[1]] for offset in self.offsets]
        both = self.conv(torch.cat([*before, h], 2))
        if self.vector is not None and context is not None:
            both = both + self.vector(context)[:, None]
        return self.end(h, gated(both, 2))

    def end(self, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """From the gates' output z to the next layer's input and what is added to s."""
        z = self.drop(z)
        return (h if self.residual is None else h + self.residual(z)), self.skip(z)


class WaveNetModule(nn.Module):
    """Values and x [B, *target] -> raw parameters [B, outputs, *target]."""

    def __init__(self, spec: WaveNet, inputs: Inputs, target: Input, outputs: int, order: Tensor) -> None:
        super().__init__()
        self.framed = spec.frame is not None
        self.enter = entering(spec, target, spec.width, order)
        self.context = Context(inputs) if inputs else None
        width = self.context.width if self.context is not None else 0
        dilations = spec.dilations()
        self.layers = nn.ModuleList(
            Dilated(spec, dilation, width, last=i == len(dilations) - 1)
            for i, dilation in enumerate(dilations)
        )
        self.mix = nn.Linear(spec.width, spec.width)
        self.out = saying(spec, target, spec.width, outputs)

    def forward(self, values: Values, x: Tensor) -> Tensor:
        h = self.enter(x)
        context = self.context(values) if self.context is not None else None
        total: Tensor | None = None
        for layer in self.layers:
            h, skip = layer(h, context)
            total = skip if total is None else total + skip
        assert total is not None
        return said(self.out, self.enter, self.state(total), x)

    def state(self, total: Tensor) -> Tensor:
        """What the entries are said from, of the sum of what the layers add: [..., W] -> [..., W]."""
        return F.relu(self.mix(F.relu(total)))

    def stepper(self, values: Values, rows: int) -> Stepper:
        return stepping(WaveSteps(self, values, rows), self.out)


class LayerQueue:
    """One layer a token at a time: a ring of its last inputs, as far back as it looks."""

    def __init__(self, layer: Dilated, rows: int, context: Tensor | None) -> None:
        self.layer = layer
        self.ring = layer.conv.weight.new_zeros(layer.offsets[0], rows, layer.skip.in_features)
        self.told = None
        if layer.vector is not None and context is not None:
            self.told = layer.vector(context)

    def next(self, turn: int, h: Tensor) -> tuple[Tensor, Tensor]:
        """h [B, W] of this turn -> h of the next layer, what the layer adds to s."""
        size = len(self.ring)
        before = [self.ring[(turn - offset) % size] for offset in self.layer.offsets]
        both = self.layer.conv(torch.cat([*before, h], 1))
        self.ring[turn % size] = h
        return self.layer.end(h, gated(both if self.told is None else both + self.told))


class WaveSteps:
    """One token after another; what is kept are each layer's inputs as far back as it looks (queues)."""

    differentiable = False

    def __init__(self, net: WaveNetModule, values: Values, rows: int) -> None:
        self.net, self.rows, self.turn = net, rows, 0
        context = net.context(values) if net.context is not None else None
        self.queues = [LayerQueue(layer, rows, context) for layer in net.layers if isinstance(layer, Dilated)]

    def state(self, last: Tensor | None) -> Tensor:
        h = self.net.enter.one(last, self.rows)
        total = torch.zeros_like(h)
        for queue in self.queues:
            h, skip = queue.next(self.turn, h)
            total = total + skip
        self.turn += 1
        return self.net.state(total)


def build_wavenet(spec: WaveNet, inputs: Inputs, target: Input, outputs: int, order: Tensor) -> WaveNetModule:
    """The module of a `wavenet`; `order` is the rank of every flattened entry."""
    require(spec, inputs, target)
    return WaveNetModule(spec, inputs, target, outputs, order)
