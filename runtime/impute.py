"""Imputation of a part of the data by a trained model, saved as arrays or as a picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from gendsl.compiler.graph import Role
from gendsl.compiler.plans.impute import filled
from gendsl.data.dataset import Batch, Dataset, Part
from gendsl.errors import UsageError
from gendsl.nn.model import Model
from gendsl.runtime import pictures
from gendsl.runtime.samples import PAIRS, check_given, check_target, grey, held, save_arrays, to_column
from gendsl.runtime.streams import stream

AT_ONCE = 64
"""Rows that are completed before anything is said of the time that is left."""
PATIENCE = 5.0
"""Seconds between two such words."""


def impute(
    model: Model,
    data: Dataset,
    split: str,
    *,
    n: int,
    seed: int,
    rate: float | None,
    path: Path,
    first: int | None = None,
    given: Mapping[str, float] = MappingProxyType({}),
    particles: int = 100,
    say: Callable[[str], None] = lambda message: None,
) -> dict[str, Tensor]:
    """n draws of every row, [n, B, *shape] in the space of the columns, written to `path` (.npz, or .png of images).

    Beside each variable `NAME_known`, the mask of the entries that were given, and `row`, the rows' places in the
    source. `rate`: a share of the known entries that is removed first, at random. `first`: so many rows of the part.
    `given`: conditions that are constant instead of the rows' own.
    `particles`: importance samples for each draw, where they are needed; a long order takes a pass of the network for
    each of its entries and particles, and `say` is told how much is left.

    Raises UsageError where the model cannot impute, where nothing is missing, for what is no condition, or for a file
    of another kind.
    """
    check_target(path)
    check_given(model.graph, given)
    part = data.parts[split].to(model.device)
    found: dict[str, list[Tensor]] = {}
    rows = part.rows if path.suffix == ".npz" else min(PAIRS, part.rows)
    rows = rows if first is None else min(rows, first)
    began = told = time.monotonic()
    for i, start in enumerate(range(0, rows, AT_ONCE)):
        if start and time.monotonic() - told > PATIENCE:
            told = time.monotonic()
            say(f"{start} of {rows} rows completed, about {(told - began) * (rows / start - 1):.0f} s to go")
        index = torch.arange(start, min(start + AT_ONCE, rows), device=model.device)
        with stream(seed, "sample/impute", i), torch.no_grad():
            batch = held(model, part.batch(index), given)
            batch = batch if rate is None else removed(model, batch, rate)
            draws = model.impute(batch, n=n, particles=particles)
        for name, value in draws.items():
            column = to_column(model, name, value.flatten(0, 1))
            found.setdefault(name, []).append(column.view(n, len(batch), *column.shape[1:]))
            known = batch.known.get(name)
            if known is not None:
                found.setdefault(f"{name}_known", []).append(known[None].cpu())
        found.setdefault("row", []).append(batch.rows[None].cpu())
    if not any(name.endswith("_known") and not bool(torch.cat(v, 1).all()) for name, v in found.items()):
        raise UsageError(f"nothing is missing in the part {split}: remove entries with --rate 0.5")
    joined = {name: torch.cat(values, 1) for name, values in found.items()}
    joined = {n_: v if n_ in draws else v[0] for n_, v in joined.items()}
    if path.suffix == ".npz":
        save_arrays(path, joined)
    else:
        save_picture(path, model, joined)
    return joined


def complete(model: Model, part: Part) -> bool:
    """Whether the part has every entry that the model can fill in."""
    masks = [part.variables[name].known for name in filled(model.graph) if name in part.variables]
    return all(mask is None or bool(mask.all()) for mask in masks)


def removed(model: Model, batch: Batch, rate: float) -> Batch:
    """The batch with each known entry of what can be filled in removed with probability `rate`."""
    values, known = dict(batch.values), dict(batch.known)
    for name in filled(model.graph):
        if model.graph.variables[name].role is Role.PARTIAL:
            continue
        kept = torch.rand(values[name].shape, device=model.device) >= rate
        known[name] = kept & known[name] if name in known else kept
        low = max(0.0, getattr(model.graph.variables[name].support, "low", 0.0))
        values[name] = torch.where(known[name], values[name], torch.full_like(values[name], low))
    return replace(batch, values=values, known=known)


def save_picture(path: Path, model: Model, values: Mapping[str, Tensor]) -> None:
    """The first draw of the first image below its rows, missing entries grey. Raises UsageError without an image."""
    for name in filled(model.graph):
        column = model.graph.variables[name].raw_column
        if column is None or len(column.shape) != 3 or column.shape[0] not in (1, 3):
            continue
        whole = grey(values[name][0], model.graph, name)
        known = values.get(f"{name}_known", torch.ones_like(whole, dtype=torch.bool))
        holes = torch.where(known.expand_as(whole), whole, torch.full_like(whole, 0.5))
        pictures.save_pairs(path, holes.numpy(), whole.numpy())
        return
    raise UsageError("none of the values is an image; write to a .npz file")
