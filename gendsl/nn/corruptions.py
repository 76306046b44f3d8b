"""Noise channels that feed an encoder while training: value [N, *shape] -> corrupted value, from torch's generator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gendsl.schema.components.corruption import Block, GaussianNoise, Mask, SaltAndPepper
from gendsl.schema.facts import Support

Channel = Callable[[Tensor], Tensor]


def build_gaussian(spec: GaussianNoise, support: Support) -> Channel:
    def corrupt(value: Tensor) -> Tensor:
        real = value if value.is_floating_point() else value.to(torch.get_default_dtype())
        return real + spec.std * torch.randn_like(real)

    return corrupt


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


def build_block(spec: Block, support: Support) -> Channel:
    def corrupt(value: Tensor) -> Tensor:
        rows, (height, width) = len(value), value.shape[-2:]
        tall, wide = spec.rectangle(tuple(value.shape[1:]))
        top = torch.randint(height - tall + 1, (rows, 1), device=value.device)
        left = torch.randint(width - wide + 1, (rows, 1), device=value.device)
        y, x = torch.arange(height, device=value.device), torch.arange(width, device=value.device)
        down = (y >= top) & (y < top + tall)  # [N, H]
        across = (x >= left) & (x < left + wide)  # [N, W]
        hole = down[:, :, None] & across[:, None, :]
        hole = hole.view(rows, *([1] * (value.dim() - 3)), height, width)
        return value.masked_fill(hole, 0)

    return corrupt
