"""Augmentation of the grids that a critic sees, differentiable in the grid: x [N, C, H, W] -> T(x).

    color        x + b;  m_c + s (x - m_c);  m + k (x - m)      b ~ U(-1/2, 1/2), s ~ U(0, 2), k ~ U(1/2, 3/2)
    translation  by whole pixels, up to an eighth of each side, zeros from outside
    cutout       a square of half of each side set to zero

with m_c the mean over channels of a pixel and m that of the image (Zhao et al. 2020, appendix). The adaptive one
applies each transformation to a row with probability p, and after every few critic steps (Karras et al. 2020,
section 3.1)

    p <- clip(p + sign(r - target) n / rows, 0, 1),     r = mean of sign D(R), n the real rows since the last change
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gendsl.schema.components.augment import Adaptive, Augment

Values = dict[str, Tensor]


class Augmentation(nn.Module):
    """Applied to every grid of a critic's tuples, with its own random numbers for every row."""

    p: Tensor
    signs: Tensor
    seen: Tensor
    turns: Tensor

    def __init__(self, spec: Augment) -> None:
        super().__init__()
        self.policy = tuple(TRANSFORMATIONS[name] for name in spec.policy)
        self.adaptive = spec if isinstance(spec, Adaptive) else None
        if self.adaptive is not None:
            for name in ("p", "signs", "seen", "turns"):
                self.register_buffer(name, torch.zeros(()))

    def forward(self, values: Values) -> Values:
        """The tuples with their grids transformed."""
        return {
            n: self.transformed(v) if v.is_floating_point() and v.dim() == 4 else v for n, v in values.items()
        }

    def transformed(self, x: Tensor) -> Tensor:
        for transform in self.policy:
            changed = transform(x)
            if self.adaptive is not None:
                chosen = torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device) < self.p
                changed = torch.where(chosen, changed, x)
            x = changed
        return x

    @torch.no_grad()
    def adapt(self, sign: Tensor, rows: int) -> None:
        """Take note of the mean sign of D(R) over `rows` rows of one critic step; moves p where it is time."""
        if self.adaptive is None:
            return
        self.signs += sign * rows
        self.seen += rows
        self.turns += 1
        if self.turns < self.adaptive.every:
            return
        move = torch.sign(self.signs / self.seen - self.adaptive.target) * self.seen / self.adaptive.rows
        self.p.copy_((self.p + move).clamp(0, 1))
        for counter in (self.signs, self.seen, self.turns):
            counter.zero_()


def color(x: Tensor) -> Tensor:
    """Brightness, saturation and contrast of every row."""
    b, s, k = torch.rand(3, len(x), 1, 1, 1, dtype=x.dtype, device=x.device)
    x = x + (b - 0.5)
    if x.shape[1] > 1:
        mean = x.mean(1, keepdim=True)
        x = mean + 2 * s * (x - mean)
    mean = x.mean((1, 2, 3), keepdim=True)
    changed: Tensor = mean + (k + 0.5) * (x - mean)
    return changed


def translation(x: Tensor) -> Tensor:
    """A shift of every row by whole pixels."""
    for dim in (2, 3):
        side = x.shape[dim]
        far = max(1, round(side / 8)) if side > 1 else 0
        shift = torch.randint(-far, far + 1, (len(x), 1), device=x.device)
        source = torch.arange(side, device=x.device) - shift  # [N, side]
        inside = ((source >= 0) & (source < side)).to(x.dtype)
        view = [len(x), 1, 1, 1]
        view[dim] = side
        x = x.gather(dim, source.clamp(0, side - 1).view(view).expand_as(x)) * inside.view(view)
    return x


def cutout(x: Tensor) -> Tensor:
    """A square of zeros in every row, centred anywhere."""
    hidden = torch.ones(len(x), 1, 1, 1, dtype=torch.bool, device=x.device)
    for dim in (2, 3):
        side = x.shape[dim]
        size = max(1, side // 2)
        start = torch.randint(0, side + (1 - size % 2), (len(x), 1), device=x.device) - size // 2
        place = torch.arange(side, device=x.device)
        view = [len(x), 1, 1, 1]
        view[dim] = side
        hidden = hidden & ((place >= start) & (place < start + size)).view(view)
    return x * (~hidden).to(x.dtype)


TRANSFORMATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "color": color,
    "translation": translation,
    "cutout": cutout,
}
"""Name -> rows of grids, transformed."""


def build_augmentation(spec: Augment) -> Augmentation:
    """The augmentation of one critic."""
    return Augmentation(spec)
