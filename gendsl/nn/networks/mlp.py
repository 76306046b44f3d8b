"""`mlp`: dense layers on the concatenated parents."""

from __future__ import annotations

from torch import Tensor, nn

from gendsl.nn.conditioning import Values, Vector
from gendsl.nn.networks.layers import make_activation, require
from gendsl.schema.components.net import Mlp
from gendsl.schema.facts import Inputs, Shape


class MLP(nn.Module):
    """h_l = act(W_l h_{l-1} + b_l): values -> [B, H]; an activation follows every layer."""

    def __init__(self, spec: Mlp, inputs: Inputs) -> None:
        super().__init__()
        self.read = Vector(inputs)
        layers: list[nn.Module] = []
        width = self.read.width
        for size in spec.hidden:
            layers += [nn.Linear(width, size), make_activation(spec.activation)]
            width = size
        self.layers = nn.Sequential(*layers)

    def forward(self, values: Values) -> Tensor:
        out: Tensor = self.layers(self.read(values))
        return out


def build_mlp(spec: Mlp, inputs: Inputs, target: Shape | None) -> MLP:
    """The module of an `mlp`. Raises ValueError if there is nothing to read."""
    require(spec, inputs, target)
    return MLP(spec, inputs)
