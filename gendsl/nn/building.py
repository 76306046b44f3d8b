"""Networks from their spec models; `builder` is the registry's, for the components of every kind."""

from __future__ import annotations

from torch import nn

from gendsl.schema.components.net import Net
from gendsl.schema.components.net_seq import Reader
from gendsl.schema.facts import Inputs, Shape
from gendsl.schema.registry import builder, function_of

__all__ = ["build_net", "builder"]


def build_net(spec: Net, inputs: Inputs, target: Shape | None) -> nn.Module:
    """The module of a direct network: values by name -> features."""
    module: nn.Module = builder(spec)(spec, inputs, target)
    return module


def build_reader(spec: Reader, inputs: Inputs, target: Shape | None) -> nn.Module:
    """The module of a sequence net that reads a parent, by the net's own builder."""
    module: nn.Module = function_of(spec.of.reader)(spec, inputs, target)
    return module
