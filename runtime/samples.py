"""Samples and reconstructions of a trained model, saved as arrays and pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gendsl.compiler.graph import Graph, Role
from gendsl.compiler.plans.reconstruct import decodable, rebuilt
from gendsl.data.dataset import Batch, Dataset, Part
from gendsl.errors import UsageError
from gendsl.nn.model import Model
from gendsl.runtime import pictures
from gendsl.runtime.durable import writing
from gendsl.runtime.planes import save_planes
from gendsl.runtime.streams import stream
from gendsl.runtime.warped import save_warped
from gendsl.schema.facts import Density, Support

PAIRS = 12
ROWS_AT_ONCE = 512
SAMPLES_AT_ONCE = 4096


def conditions(graph: Graph) -> list[str]:
    """The variables that have to be given for a sample."""
    return [n for n, v in graph.variables.items() if v.role is Role.CONDITION]


def given_values(
    model: Model, n: int, rows: Callable[[], Part], given: Mapping[str, float], seed: int
) -> dict[str, Tensor]:
    """Values of every condition, n rows: those named are constant, the others are drawn together from `rows`.

    Raises UsageError for a name that is no condition or a value outside its support.
    """
    graph = model.graph
    known = conditions(graph)
    check_given(graph, given)
    found = {name: _constant(model, name, n, given[name]) for name in known if name in given}
    if len(found) < len(known):
        part = rows()
        with stream(seed, "sample/conditions"):
            drawn = part.batch(torch.randint(part.rows, (n,)))
        found |= {name: drawn.values[name] for name in known if name not in given}
    return {name: found[name].to(model.device) for name in known}


def check_given(graph: Graph, given: Mapping[str, float]) -> None:
    """Raises UsageError for a name that is no condition or a value outside its support."""
    known = conditions(graph)
    for name, value in given.items():
        if name not in known:
            raise UsageError(
                f"{name} is not a condition of this model; conditions: {', '.join(known) or 'none'}"
            )
        _check_support(name, value, graph.variables[name].support)


def _check_support(name: str, value: float, support: Support | None) -> None:
    if support is None:
        return
    if not math.isfinite(value) or not support.low <= value <= support.high:
        raise UsageError(f"{name} = {value:g} is outside {support}")
    if support.integer and value != int(value):
        raise UsageError(f"{name} = {value:g} is not a whole number")


def _constant(model: Model, name: str, n: int, value: float) -> Tensor:
    variable = model.graph.variables[name]
    assert variable.shape is not None
    counts = variable.support is not None and variable.support.integer and variable.labels
    return torch.full((n, *variable.shape), value, dtype=torch.int64 if counts else model.dtype)


def draw(
    model: Model,
    n: int,
    rows: Callable[[], Part],
    *,
    given: Mapping[str, float],
    temperature: float,
    seed: int,
    top_k: int | None = None,
    top_p: float | None = None,
) -> dict[str, Tensor]:
    """n samples of every observed variable in the space of its column (grey values, not logits).

    `temperature`, `top_k`, `top_p`: as `Model.sample`.
    `rows` gives the part that conditions are drawn from, and is asked only where some are not in `given`.
    """
    values = given_values(model, n, rows, given, seed)
    found: dict[str, list[Tensor]] = {}
    for i, start in enumerate(range(0, n, SAMPLES_AT_ONCE)):
        count = min(SAMPLES_AT_ONCE, n - start)
        with stream(seed, "sample", i), torch.no_grad():
            own = {k: v[start : start + count] for k, v in values.items()}
            drawn = model.sample(count, own, temperature, top_k=top_k, top_p=top_p)
        for name, value in drawn.items():
            found.setdefault(name, []).append(to_column(model, name, value))
    return {name: torch.cat(parts) for name, parts in found.items()}


def to_column(model: Model, name: str, value: Tensor) -> Tensor:
    """A variable's values in the space of its column."""
    if name not in model.preprocessing:
        return value.cpu()
    back: Tensor = model.preprocessing[name].inverse(value)  # type: ignore[operator]
    return back.cpu()


def encode(
    model: Model,
    data: Dataset,
    split: str,
    seed: int,
    *,
    n: int | None = None,
    given: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, Tensor]:
    """One draw of every latent for each row of a part, and the row's place in the source under `row`.

    `n`: only the first n rows. `given`: conditions that are constant instead of the rows' own. Raises UsageError
    where there is nothing to encode, for no such part, and for a value that is not one of a condition.
    """
    check_given(model.graph, given)
    part = data.part(split).to(model.device)
    part = part if n is None else part.first(n)
    found: dict[str, list[Tensor]] = {}
    for i, start in enumerate(range(0, part.rows, ROWS_AT_ONCE)):
        with stream(seed, "sample/encode", i), torch.no_grad():
            batch = part.batch(torch.arange(start, min(start + ROWS_AT_ONCE, part.rows), device=model.device))
            codes = model.encode(held(model, batch, given))
        for name, value in {**codes, "row": batch.rows}.items():
            found.setdefault(name, []).append(value.cpu())
    return {name: torch.cat(values) for name, values in found.items()}


def held(model: Model, batch: Batch, given: Mapping[str, float]) -> Batch:
    """The batch with the conditions named held at one value instead of the rows' own."""
    constant = {k: _constant(model, k, len(batch), v).to(model.device) for k, v in given.items()}
    return replace(batch, values={**batch.values, **constant})


def having(model: Model, part: Part, given: Mapping[str, float]) -> Part:
    """The part with only the rows whose conditions are those given. Raises UsageError where there is none."""
    check_given(model.graph, given)
    if not given:
        return part
    every = torch.arange(part.rows, device=part.index.device)
    values = part.batch(every).values
    same = [(values[name] == value).reshape(part.rows, -1).all(1) for name, value in given.items()]
    rows = every[torch.stack(same).all(0)]
    if not len(rows):
        said = ", ".join(f"{name} = {value:g}" for name, value in given.items())
        raise UsageError(f"the part {part.name} has no row with {said}")
    return part.at(rows)


def check_target(path: Path) -> None:
    """Whether values can be saved there: a folder that exists, and a known ending. Raises UsageError."""
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}")
    if path.suffix not in (".npz", ".png"):
        raise UsageError(f"{path}: write to a .npz or a .png file")


def save(path: Path, model: Model, values: Mapping[str, Tensor]) -> None:
    """An .npz of plain arrays, or a .png grid of the first image variable.

    Raises UsageError for another ending, or a .png of what is no image.
    """
    check_target(path)
    if path.suffix == ".npz":
        save_arrays(path, values)
        return
    for name, value in values.items():
        variable = model.graph.variables.get(name)
        column = variable.raw_column if variable is not None else None
        if column is not None and len(column.shape) == 3 and column.shape[0] in (1, 3):
            pictures.save_grid(path, grey(value, model.graph, name).numpy())
            return
        if variable is not None and (variable.shape if column is None else column.shape) == (2,):
            pictures.save_points(path, value.numpy())
            return
    raise UsageError("none of the values is an image or a point; write to a .npz file")


def save_arrays(path: Path, values: Mapping[str, Tensor]) -> None:
    """An .npz of plain arrays. Raises RunError where it cannot be written."""
    arrays: dict[str, Any] = {name: value.detach().cpu().numpy() for name, value in values.items()}
    with writing(path):
        np.savez(path, **arrays)


def save_pictures(
    folder: Path, model: Model, data: Dataset, values: Mapping[str, Tensor], seed: int
) -> list[Path]:
    """Grids of images, points, energies and flows of the plane, and reconstructions beside their originals."""
    saved = [*save_planes(folder, model, seed), *save_warped(folder, model, seed)]
    part = data.parts.get("test", data.parts["train"])
    for name, value in values.items():
        column = model.graph.variables[name].raw_column
        if column is None:
            continue
        if len(column.shape) == 3 and column.shape[0] in (1, 3):
            saved.append(
                pictures.save_grid(folder / f"samples_{name}.png", grey(value, model.graph, name).numpy())
            )
        elif column.shape == (2,):
            real = to_column(model, name, part.batch(torch.arange(min(part.rows, 2000))).values[name])
            saved.append(pictures.save_points(folder / f"samples_{name}.png", value.numpy(), real.numpy()))
    if decodable(model.graph):
        saved += _save_means(folder, model, part, len(next(iter(values.values()), ())), seed)
    if model.graph.capabilities["reconstruct"].how is None:
        return saved
    with stream(seed, "sample/reconstruct"), torch.no_grad():
        batch = part.batch(torch.arange(min(PAIRS, part.rows))).to(model.device)
        rebuilt = model.reconstruct(batch)
    for name, value in rebuilt.items():
        column = model.graph.variables[name].raw_column
        if column is None or len(column.shape) != 3 or column.shape[0] not in (1, 3):
            continue
        original = grey(to_column(model, name, batch.values[name]), model.graph, name)
        again = shown_mean(model, name, value)
        saved.append(
            pictures.save_pairs(folder / f"reconstructions_{name}.png", original.numpy(), again.numpy())
        )
    return saved


def _save_means(folder: Path, model: Model, part: Part, n: int, seed: int) -> list[Path]:
    """Grids of the means of p(x | z) at samples of z, where x has noise of its own and is an image."""
    images = []
    for name in rebuilt(model.graph):
        column, factor = model.graph.variables[name].raw_column, model.graph.p(name)
        noisy = factor is not None and factor.dist is not None and factor.dist.density is not Density.NONE
        if noisy and column is not None and len(column.shape) == 3 and column.shape[0] in (1, 3):
            images.append(name)
    if not images or not n:
        return []
    spec = model.graph.spec.sample
    given = given_values(model, n, lambda: part, dict(spec.given), seed)
    with stream(seed, "sample/means"):
        found = model.means(n, given)
    return [
        pictures.save_grid(folder / f"means_{name}.png", shown_mean(model, name, found[name]).numpy())
        for name in images
    ]


def shown_mean(model: Model, name: str, mean: Tensor) -> Tensor:
    """The mean of a variable as grey values in 0..1; a mean of 0s and 1s is a grey value itself."""
    support = model.graph.variables[name].support
    if support is not None and support.count is not None:
        return ((mean - support.low) / max(support.high - support.low, 1.0)).clamp(0, 1).cpu().float()
    return grey(to_column(model, name, mean), model.graph, name)


def grey(value: Tensor, graph: Graph, name: str) -> Tensor:
    """Column values as grey values in 0..1."""
    column = graph.variables[name].raw_column
    assert column is not None
    low, high = column.support.low, column.support.high
    value = value.float()
    if not np.isfinite(low) or not np.isfinite(high) or high <= low:
        low, high = float(value.min()), float(value.max())
    return ((value - low) / max(high - low, 1e-12)).clamp(0, 1)
