"""Pictures of a run as PNG files: grids of images, pairs, clouds of points, loss curves.

Images are written pixel by pixel, enlarged by a whole factor without smoothing; plots are drawn by matplotlib
on its Agg canvas, without pyplot and its global state. The bytes are a function of the arguments (and of
matplotlib's version): no clock, no program name. Each file carries its own description in a PNG text chunk,
which the report reads aloud as its alternative text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gendsl.runtime.durable import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = Tensor | NDArray[Any]
Pixels = NDArray[np.uint8]
Curve = Sequence[tuple[int, float]]

TILE = 64
"""The side in screen pixels that a small image is enlarged to, at least."""
BROKEN = (255, 0, 200)
"""The colour of a pixel that is not a number."""
TRAIN, VALID, DATA = "#2f6db3", "#d9701e", "#6b7280"


def save_grid(path: Path, images: Array, columns: int | None = None) -> Path:
    """Write images [N, C, H, W] in 0..1 as one grid, row by row, and return `path`.

    One channel is grey, three are red, green, blue; of any other number the mean is shown. Values outside
    0..1 are clipped, those that are not a number are shown in magenta. Gaps are transparent.

    Args:
        columns: images in a row; the nearest to a square if None.

    Raises:
        ValueError: not four dimensions, no images, or fewer than one column.
    """
    tiles = _tiles(images)
    columns = columns if columns is not None else math.ceil(math.sqrt(len(tiles)))
    if columns < 1:
        raise ValueError(f"a grid needs at least one column, got {columns}")
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    height, width = tiles.shape[1:3]
    gap = max(2, height // 16)
    canvas = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 4), np.uint8)
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    return _write(path, canvas, f"{len(tiles)} images in a grid of {columns} columns")


def save_pairs(path: Path, originals: Array, reconstructions: Array, columns: int = 12) -> Path:
    """Write each original [N, C, H, W] in 0..1 with its reconstruction directly below, and return `path`.

    Raises:
        ValueError: different shapes, or what `save_grid` refuses.
    """
    above, below = _tiles(originals), _tiles(reconstructions)
    if above.shape != below.shape:
        raise ValueError(f"{len(above)} originals and {len(below)} reconstructions, or their sizes, differ")
    if columns < 1:
        raise ValueError(f"a grid needs at least one column, got {columns}")
    columns = min(columns, len(above))
    bands = math.ceil(len(above) / columns)
    height, width = above.shape[1:3]
    gap = max(2, height // 16)
    band = 2 * height + 4 * gap
    canvas = np.zeros((bands * band - 3 * gap, columns * (width + gap) - gap, 4), np.uint8)
    for i in range(len(above)):
        top, left = (i // columns) * band, (i % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = above[i]
        canvas[top + height + gap : top + 2 * height + gap, left : left + width] = below[i]
    return _write(path, canvas, f"{len(above)} originals, each with its reconstruction below it")


def save_points(path: Path, points: Array, real: Array | None = None) -> Path:
    """Draw a cloud of points [N, 2], beside the real one on equal axes if it is given, and return `path`.

    Points that are not finite are left out and counted in the title. The axes reach to the real points (or
    else to the 0.5 % and 99.5 % quantiles), with a margin, so that a few outliers do not shrink the picture.

    Raises:
        ValueError: points that are not [N, 2].
    """
    clouds = {"samples": _cloud(points)}
    if real is not None:
        clouds = {"data": _cloud(real), **clouds}
    low, high = _limits(next(iter(clouds.values())), quantile=0.0 if real is not None else 0.005)
    height = float(np.clip(4.0 * (high[1] - low[1]) / (high[0] - low[0]), 2.0, 7.0))
    figure = blank(4.4 * len(clouds), height + 0.5)
    for i, (name, cloud) in enumerate(clouds.items()):
        finite = cloud[np.isfinite(cloud).all(axis=1)]
        axes = figure.add_subplot(1, len(clouds), i + 1)
        colour = DATA if name == "data" else TRAIN
        size, opacity = (
            float(np.clip(6000 / max(len(finite), 1), 1.5, 14)),
            0.9 if len(finite) < 1000 else 0.6,
        )
        axes.scatter(finite[:, 0], finite[:, 1], s=size, c=colour, alpha=opacity, linewidths=0)
        axes.set_xlim(low[0], high[0])
        axes.set_ylim(low[1], high[1])
        axes.set_aspect("equal")
        lost = len(cloud) - len(finite)
        axes.set_title(f"{name} ({len(finite)})" + (f", {lost} not finite" if lost else ""), fontsize=10)
        _plain(axes)
    words = f"{len(clouds['samples'])} samples as points in the plane"
    return save_figure(path, figure, words + (", beside the data" if real is not None else ""))


def save_curves(
    path: Path,
    history: Mapping[str, Curve],
    validation: Mapping[str, Curve] | None = None,
    unit: str = "nats",
) -> Path:
    """Draw one panel for each term: (step, value) pairs of training and validation, and return `path`.

    A panel whose values are all positive and span more than two decades is logarithmic. Values that are not
    finite leave a gap.

    Raises:
        ValueError: no curve at all.
    """
    validation = validation or {}
    names = list(dict.fromkeys([*history, *validation]))
    if not names:
        raise ValueError("there is no curve to draw")
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure = blank(3.8 * columns, 2.6 * rows)
    for i, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, i + 1)
        values: list[float] = []
        for curves, colour, label in ((history, TRAIN, "train"), (validation, VALID, "valid")):
            curve = np.asarray(curves.get(name, ()), dtype=float).reshape(-1, 2)
            if len(curve):
                marker = "." if label == "valid" or len(curve) == 1 else ""
                axes.plot(curve[:, 0], curve[:, 1], color=colour, label=label, lw=1.2, marker=marker, ms=4)
                values.extend(curve[np.isfinite(curve[:, 1]), 1])
        if spans_decades(values):
            axes.set_yscale("log")
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("step", fontsize=8)
        axes.set_ylabel(unit, fontsize=8)
        axes.legend(fontsize=7, frameon=False)
        _plain(axes)
    return save_figure(path, figure, f"curves of {', '.join(names)} over the steps of training, in {unit}")


def spans_decades(values: Sequence[float], decades: float = 2.0) -> bool:
    """Whether all values are positive and their ratio exceeds 10^decades: a case for a logarithmic axis."""
    return len(values) > 1 and min(values) > 0.0 and max(values) / min(values) > 10.0**decades


def _tiles(images: Array) -> Pixels:
    """Images [N, C, H, W] in 0..1 as enlarged RGBA tiles [N, H * s, W * s, 4]."""
    values = torch.as_tensor(images).detach().to(device="cpu", dtype=torch.float64).numpy()
    if values.ndim != 4 or 0 in values.shape:
        raise ValueError(f"images must be [N, C, H, W] and at least one, got shape {tuple(values.shape)}")
    if values.shape[1] not in (1, 3):
        values = values.mean(axis=1, keepdims=True)
    values = np.broadcast_to(values, (len(values), 3, *values.shape[2:])).transpose(0, 2, 3, 1)
    broken = np.isnan(values).any(axis=-1)  # [N, H, W]
    colours = np.rint(np.nan_to_num(values, nan=0.0).clip(0.0, 1.0) * 255.0).astype(np.uint8)
    colours[broken] = BROKEN
    tiles = np.concatenate([colours, np.full((*colours.shape[:3], 1), 255, np.uint8)], axis=-1)
    scale = max(1, math.ceil(TILE / max(tiles.shape[1:3])))
    return tiles.repeat(scale, axis=1).repeat(scale, axis=2)


def _cloud(points: Array) -> NDArray[np.float64]:
    cloud: NDArray[np.float64] = (
        torch.as_tensor(points).detach().to(device="cpu", dtype=torch.float64).numpy()
    )
    if cloud.ndim != 2 or cloud.shape[1] != 2:
        raise ValueError(f"points must be [N, 2], got shape {tuple(cloud.shape)}")
    return cloud


def _limits(cloud: NDArray[np.float64], quantile: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    finite = cloud[np.isfinite(cloud).all(axis=1)]
    if len(finite) == 0:
        return np.full(2, -1.0), np.full(2, 1.0)
    low, high = np.quantile(finite, quantile, axis=0), np.quantile(finite, 1.0 - quantile, axis=0)
    margin = 0.15 * float(np.max(high - low)) or 1.0
    return low - margin, high + margin


def blank(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=8, colors="#555b66")
    axes.grid(visible=True, color="#e8eaee", linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#c3c8d0")


def save_figure(path: Path, figure: Figure, description: str) -> Path:
    """Write a plot with its description, and return `path`. Raises RunError where it cannot be written."""
    metadata = {"Software": None, "Description": description, "Comment": "plot"}
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png", metadata=metadata)
    return path


def _write(path: Path, canvas: Pixels, description: str) -> Path:
    from matplotlib.image import imsave

    metadata: dict[str, Any] = {"Software": None, "Description": description, "Comment": "pixels"}
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        imsave(path, canvas, format="png", metadata=metadata)
    return path
