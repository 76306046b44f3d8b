"""Variables of two entries with an energy, drawn without being asked: the energy, its density, the samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gendsl.compiler.derive.energies import Way, conditions, sampler, targets, way
from gendsl.nn import tilt
from gendsl.nn.model import Model
from gendsl.runtime import pictures
from gendsl.runtime.streams import stream

SAMPLES = 4000
SIDE = 161
CHAINS, MOVES = 5, 60
"""Chains that are drawn over an energy, and points of each."""


def save_planes(folder: Path, model: Model, seed: int) -> list[Path]:
    """One picture for each variable of shape [2] with an energy, given nothing: E, exp(-U) / Z, and samples, on the
    same axes.
    """
    return [
        save_plane(folder / f"energy_{name}.png", model, name, seed)
        for name in model.graph.spec.energy
        if model.graph.variables[name].shape == (2,) and not conditions(model.graph, name)
    ]


@torch.no_grad()
def save_plane(path: Path, model: Model, name: str, seed: int) -> Path:
    """Draw the plane around the samples, and return `path`."""
    with stream(seed, f"sample/plane/{name}"):
        points = tilt.draw(model, name, SAMPLES).double().cpu().numpy()
    finite = points[np.isfinite(points).all(1)]
    low, high = np.quantile(finite, 0.002, axis=0), np.quantile(finite, 0.998, axis=0)
    margin = 0.3 * (high - low).max() + 1e-6
    low, high = low - margin, high + margin
    axes_of = [torch.linspace(float(a), float(b), SIDE) for a, b in zip(low, high, strict=True)]
    grid = torch.cartesian_prod(*axes_of).to(model.device, model.dtype)
    energy = tilt.energy(model, name)(grid).double().cpu().view(SIDE, SIDE).T
    potential = tilt.potential(model, name)(grid).double().cpu().view(SIDE, SIDE).T
    density = torch.exp(potential.min() - potential)
    with stream(seed, f"sample/chains/{name}"):
        paths = chain_paths(model, name).double().cpu().numpy()
    figure = pictures.blank(11.4, 4.0)
    shown = {"energy": energy.clamp(max=float(energy.min()) + 30.0).numpy(), "density": density.numpy()}
    for i, (title, values) in enumerate(shown.items()):
        axes = figure.add_subplot(1, 3, i + 1)
        extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
        colours = "viridis_r" if title == "energy" else "viridis"
        axes.imshow(values, origin="lower", extent=extent, cmap=colours, aspect="equal")
        axes.set_title(f"{title} of {name}" + (", with chains" if i == 0 and len(paths) else ""), fontsize=10)
        for walked in paths if i == 0 else ():
            axes.plot(walked[:, 0], walked[:, 1], linewidth=0.6, color="black", alpha=0.8)
            axes.plot(*walked[-1], marker="o", markersize=3, color="red")
        axes.set_xlim(extent[0], extent[1])
        axes.set_ylim(extent[2], extent[3])
    axes = figure.add_subplot(1, 3, 3)
    axes.scatter(finite[:, 0], finite[:, 1], s=1.5, c=pictures.TRAIN, alpha=0.6, linewidths=0)
    axes.set_xlim(float(low[0]), float(high[0]))
    axes.set_ylim(float(low[1]), float(high[1]))
    axes.set_aspect("equal")
    axes.set_title(f"{len(finite)} samples", fontsize=10)
    return pictures.save_figure(path, figure, f"energy and density of {name} over the plane, beside samples")


def chain_paths(model: Model, name: str) -> Tensor:
    """A few Langevin chains from where new ones start, [CHAINS, MOVES + 1, 2]; none where samples come otherwise."""
    graph = model.graph
    if name in targets(graph) or way(graph, name) is Way.CONTRAST:
        return torch.empty(0, MOVES + 1, 2)
    spec = sampler(graph, name)
    one = spec.model_copy(update={"steps": max(1, spec.steps // MOVES)})
    states = [tilt.fresh(model, name, CHAINS)]
    for _ in range(MOVES):
        states.append(tilt.move(model, name, states[-1], one))
    return torch.stack(states, 1)
