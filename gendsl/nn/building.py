"""Resolves the builders that spec models name by a string: the only place that does."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from torch import nn

from gendsl.schema.components.net import Net
from gendsl.schema.facts import Inputs, Shape
from gendsl.schema.registry import Component


def builder(component: Component) -> Callable[..., Any]:
    """The function that `build="module:function"` of a component names."""
    return resolved(component.build)


def resolved(name: str) -> Callable[..., Any]:
    """The function of a `module:function`."""
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def build_net(spec: Net, inputs: Inputs, target: Shape | None) -> nn.Module:
    """The module of a direct network: values by name -> features."""
    module: nn.Module = builder(spec)(spec, inputs, target)
    return module
