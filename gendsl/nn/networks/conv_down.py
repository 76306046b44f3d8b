"""`conv_down`: strided convolutions from grids to a vector or a smaller grid."""

from __future__ import annotations

from torch import Tensor, nn

from gendsl.nn.conditioning import Context, Planes, Values
from gendsl.nn.networks.layers import ConvFilm, require
from gendsl.schema.components.net_grid import ConvDown
from gendsl.schema.components.net_planes import body_size, plane_channels, planes, vectors, widths
from gendsl.schema.facts import Inputs, Shape


class ConvDownNet(nn.Module):
    """A convolution at full size, then a strided one for every halving: values -> [B, *features]."""

    def __init__(self, spec: ConvDown, inputs: Inputs, target: Shape | None) -> None:
        super().__init__()
        self.features = spec.features(inputs, target)
        self.read = Planes(planes(inputs), body_size(inputs))
        self.context = Context(vectors(inputs)) if vectors(inputs) else None
        width = self.context.width if self.context is not None else 0
        before = plane_channels(inputs)
        self.layers = nn.ModuleList()
        for level, after in enumerate(widths(spec.width, spec.steps(inputs, target))):
            stride = 2 if level else 1
            self.layers.append(
                ConvFilm(before, after, spec.kernel, spec.activation, context=width, stride=stride)
            )
            before = after

    def forward(self, values: Values) -> Tensor:
        h = self.read(values)
        context = self.context(values) if self.context is not None else None
        for layer in self.layers:
            h = layer(h, context)
        out: Tensor = h.reshape(h.shape[0], *self.features)
        return out


def build_conv_down(spec: ConvDown, inputs: Inputs, target: Shape | None) -> ConvDownNet:
    """The module of a `conv_down`. Raises ValueError if no parent is a grid."""
    require(spec, inputs, target)
    return ConvDownNet(spec, inputs, target)
