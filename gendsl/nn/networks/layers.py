"""Pieces that several networks share: activations by name, and a modulated convolution."""

from __future__ import annotations

from torch import Tensor, nn

from gendsl.nn.conditioning import Film
from gendsl.schema.components.net import Activation, Net, Target
from gendsl.schema.facts import Inputs


def make_activation(name: Activation) -> nn.Module:
    """The activation of that name; the slope of leaky_relu is 0.2 (Radford et al. 2016)."""
    if name == "leaky_relu":
        return nn.LeakyReLU(0.2)
    plain: dict[str, type[nn.Module]] = {
        "relu": nn.ReLU,
        "elu": nn.ELU,
        "silu": nn.SiLU,
        "gelu": nn.GELU,
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
        "softplus": nn.Softplus,
    }
    return plain[name]()


def require(spec: Net, inputs: Inputs, target: Target) -> None:
    """Raise ValueError with the spec's own words where it cannot be built on these inputs."""
    why = spec.problem(inputs, target)
    if why is not None:
        raise ValueError(why)


class ConvFilm(nn.Module):
    """Convolution, modulation by a context vector if any, activation: [B, I, h, w] -> [B, O, h', w']."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        activation: Activation,
        *,
        context: int = 0,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        self.film = Film(context, outputs) if context else None
        self.act = make_activation(activation)

    def forward(self, h: Tensor, context: Tensor | None) -> Tensor:
        h = self.conv(h)
        if self.film is not None and context is not None:
            h = self.film(h, context)
        out: Tensor = self.act(h)
        return out
