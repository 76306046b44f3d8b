"""Flows of the plane, drawn without being asked: the density of a variable of two entries, and the warped grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gendsl.compiler.graph import Factor, Graph, Role
from gendsl.nn.factor import Flowed, FlowSection
from gendsl.nn.model import Model
from gendsl.nn.transforms.stack import Stack
from gendsl.runtime import pictures
from gendsl.runtime.streams import stream
from gendsl.schema.facts import Cost

LINES, POINTS, REACH = 17, 201, 3.0
"""Lines of the grid each way, points of each, and how far they reach: a standard normal base has nearly all within."""
SIDE = 161


def save_warped(folder: Path, model: Model, seed: int) -> list[Path]:
    """One picture for each factor of two entries with a flow of its own: density where it is known, and the grid."""
    return [
        save_flow(folder / f"flow_{factor.head}.png", model, factor, seed) for factor in warped(model.graph)
    ]


def warped(graph: Graph) -> list[Factor]:
    """The factors of two entries whose flow can be walked outwards and is conditioned by nothing."""
    found = []
    for factor in graph.factors.values():
        flat = factor.flow and graph.variables[factor.head].shape == (2,) and factor.side in ("p", "q")
        outwards = all(layer.forward_cost is not Cost.NONE for layer in factor.flow)
        base = graph.p(factor.base) if factor.base is not None else None
        alone = not factor.parents if factor.base is None else base is not None and not base.parents
        if flat and outwards and alone and factor.parents == ((factor.base,) if factor.base else ()):
            found.append(factor)
    return found


@torch.no_grad()
def save_flow(path: Path, model: Model, factor: Factor, seed: int) -> Path:
    """Draw the images of straight lines at the base, beside the density around them, and return `path`."""
    axis = torch.linspace(-REACH, REACH, POINTS, dtype=model.dtype, device=model.device)
    ticks = torch.linspace(-REACH, REACH, LINES, dtype=model.dtype, device=model.device)
    across = torch.stack([torch.stack([axis, t.expand(POINTS)], 1) for t in ticks])
    lines = torch.cat([across, across.flip(2)])  # [2 LINES, POINTS, 2]
    with stream(seed, f"sample/warped/{factor.head}"):
        images = _stack(model, factor)(lines.reshape(-1, 2))[0].double().cpu().view(-1, POINTS, 2)
    finite = images[images.isfinite().all(-1)].numpy()
    low, high = np.quantile(finite, 0.005, axis=0), np.quantile(finite, 0.995, axis=0)
    margin = 0.1 * (high - low).max() + 1e-6
    low, high = low - margin, high + margin
    density = _density(model, factor, low, high)
    figure = pictures.blank(4.2 * (2 + (density is not None)), 4.0)
    panels = 2 + (density is not None)
    for i, (title, shown) in enumerate(
        (("base", lines.double().cpu()), (f"{factor.head} = f(base)", images))
    ):
        axes = figure.add_subplot(1, panels, i + 1)
        for j, line in enumerate(shown.numpy()):
            colour = pictures.TRAIN if j < LINES else pictures.DATA
            axes.plot(line[:, 0], line[:, 1], linewidth=0.6, color=colour)
        if i:
            axes.set_xlim(float(low[0]), float(high[0]))
            axes.set_ylim(float(low[1]), float(high[1]))
        axes.set_aspect("equal")
        axes.set_title(title, fontsize=10)
    if density is not None:
        axes = figure.add_subplot(1, panels, panels)
        extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
        axes.imshow(density.numpy(), origin="lower", extent=extent, cmap="viridis", aspect="equal")
        axes.set_title(f"density of {factor.head}", fontsize=10)
    words = f"a grid of straight lines and its image under the flow of {factor.head}"
    return pictures.save_figure(path, figure, words + (", beside the density" if density is not None else ""))


def _stack(model: Model, factor: Factor) -> Stack:
    module = model.factor(factor.name)
    if isinstance(module, FlowSection):
        return module.stack
    conditioned = model.distribution(factor.name, {}, 1)
    assert isinstance(conditioned, Flowed)
    return conditioned.stack


def _density(model: Model, factor: Factor, low: np.ndarray, high: np.ndarray) -> Tensor | None:
    """p over the plane, [SIDE, SIDE] with the second entry upwards; None where it is not known at given points."""
    graph, name = model.graph, factor.head
    axes = [torch.linspace(float(a), float(b), SIDE) for a, b in zip(low, high, strict=True)]
    grid = torch.cartesian_prod(*axes).to(model.device, model.dtype)
    data = [n for n, v in graph.variables.items() if v.role in (Role.OBSERVED, Role.PARTIAL, Role.CONDITION)]
    if graph.capabilities["log_prob"].how is not None and data == [name] and not graph.spec.energy:
        log_p = model.log_prob({name: grid}, 100)
    elif factor.base is None and all(layer.inverse_cost is not Cost.NONE for layer in factor.flow):
        log_p = model.distribution(factor.name, {}, len(grid)).log_prob(grid)
    else:
        return None
    return log_p.exp().double().cpu().view(SIDE, SIDE).T
