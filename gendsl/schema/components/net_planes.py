"""Which parents a network reads as grids and which as a context, and the sizes that strides of two lead to.

A stride of two takes n to ceil(n / 2), so sizes go 28, 14, 7, 4 in both directions and odd sizes need no
padding of the data. Channels double at every halving, up to eight times `width`.
"""

from __future__ import annotations

from gendsl.schema.components.net import Target, shape_of
from gendsl.schema.facts import Input, Inputs

Plane = tuple[int, int]
SMALL = 4
"""The side at which halving stops by itself."""


def is_plane(item: Input) -> bool:
    """Whether convolutions read it as channels: a grid [C, H, W] or [H, W]."""
    return len(item.shape) in (2, 3)


def planes(inputs: Inputs) -> Inputs:
    """The inputs that convolutions read as channels."""
    return tuple(i for i in inputs if is_plane(i))


def vectors(inputs: Inputs) -> Inputs:
    """The inputs that convolutions read by feature-wise modulation."""
    return tuple(i for i in inputs if not is_plane(i))


def channels(item: Input) -> int:
    """How many channels a grid contributes."""
    outer = item.shape[0] if len(item.shape) == 3 else 1
    return outer * (item.embedding if item.labels else 1)


def plane_channels(inputs: Inputs) -> int:
    """The channels of all grids together."""
    return sum(channels(i) for i in planes(inputs))


def context_width(inputs: Inputs) -> int:
    """The width of a context vector: labels in a row are averaged, everything else is flattened."""
    return sum(i.embedding if i.labels and len(i.shape) == 1 else i.width for i in inputs)


def body_size(inputs: Inputs) -> Plane:
    """The size of the first grid, which the others are resized to."""
    first = planes(inputs)[0]
    return (first.shape[-2], first.shape[-1])


def target_size(target: Target) -> Plane | None:
    """The size of a head that is a grid."""
    shape = shape_of(target)
    return (shape[-2], shape[-1]) if shape is not None and len(shape) in (2, 3) else None


def half(size: Plane) -> Plane:
    """The size after a stride of two."""
    return ((size[0] + 1) // 2, (size[1] + 1) // 2)


def halvings(size: Plane, end: Plane) -> int | None:
    """How many halvings lead from `size` to `end`; None if none do."""
    steps = 0
    while size != end:
        if size == (1, 1):
            return None
        size, steps = half(size), steps + 1
    return steps


def pyramid(size: Plane, layers: int) -> tuple[Plane, ...]:
    """`size` and what `layers` halvings make of it, largest first."""
    sizes = [size]
    for _ in range(layers):
        sizes.append(half(sizes[-1]))
    return tuple(sizes)


def until_small(size: Plane) -> int:
    """How many halvings until no side is longer than 4."""
    steps = 0
    while max(size) > SMALL:
        size, steps = half(size), steps + 1
    return steps


def widths(width: int, layers: int) -> tuple[int, ...]:
    """The channels of every level of a pyramid, largest plane first."""
    return tuple(width * min(2**level, 8) for level in range(layers + 1))
