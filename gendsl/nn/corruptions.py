"""Noise channels that feed an encoder while training: value [N, *shape] -> corrupted value, from torch's generator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gendsl.schema.components.corruption import GaussianNoise, Mask, SaltAndPepper
from gendsl.schema.facts import Support

Channel = Callable[[Tensor], Tensor]


def build_gaussian(spec: GaussianNoise, support: Support) -> Channel:
    return lambda value: value + spec.std * torch.randn_like(value)


def build_mask(spec: Mask, support: Support) -> Channel:
    def corrupt(value: Tensor) -> Tensor:
        keep = torch.rand(value.shape, device=value.device) >= spec.rate
        return value * keep.to(value.dtype)

    return corrupt


def build_salt_and_pepper(spec: SaltAndPepper, support: Support) -> Channel:
    def corrupt(value: Tensor) -> Tensor:
        u = torch.rand(value.shape, device=value.device)
        low, high = torch.full_like(value, support.low), torch.full_like(value, support.high)
        return torch.where(u < spec.rate / 2, low, torch.where(u < spec.rate, high, value))

    return corrupt
