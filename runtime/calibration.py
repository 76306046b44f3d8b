"""Calibration of encoders by simulation (Talts et al. 2018, algorithm 1).

Latents z and data x are drawn from the model itself. If q(z | x) is the posterior, z is one more draw from it: its
rank among L draws of q is uniform on 0 .. L, where its place among equal draws (of discrete latents) is random. Made
continuous, u = (rank + U) / (L + 1) is uniform on [0, 1], so that

    location = E u - 1/2 = 0,        spread = 12 E (u - 1/2)^2 = 1.

The spread is above 1 where q is too narrow (z falls outside its draws), below 1 where it is too wide. A trained
posterior is never exact, so this is a diagnosis and no certificate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from gendsl.compiler.graph import Graph, Kind, Role
from gendsl.compiler.paths import DRAWN
from gendsl.nn.factor import tile
from gendsl.nn.inference import Trace
from gendsl.nn.model import Model

DRAWS = 99


def refused(graph: Graph) -> str:
    """Why there is no such number, or nothing."""
    if not graph.routes or any(route.how not in DRAWN for route in graph.routes.values()):
        return "only encoders with a density, of every latent, can be compared with what the model draws"
    if not any(v.bound for v in graph.variables.values()):
        return "there are no observed variables that the model could draw rows of"
    sample = graph.capabilities["sample"]
    if sample.how is None:
        return sample.why
    if sample.kind is not Kind.EXACT:
        return f"the model's own draws are not exact ({sample.why}), so they do not tell of the encoders"
    if any(v.missing or v.role is Role.PARTIAL for v in graph.variables.values()):
        return "the model does not draw which entries are missing and which labels are known"
    return ""


@torch.no_grad()
def ranks(model: Model, rows: int, given: Mapping[str, Tensor], draws: int = DRAWS) -> Tensor:
    """u of every entry of every latent, [rows, D], in (0, 1); `given` holds the conditions, `rows` rows each."""
    graph = model.graph
    values = model.ancestral(rows, given)
    observed = {n: v for n, v in {**given, **values}.items() if graph.variables[n].bound}
    trace = Trace(model, model.batch(observed), draws, corrupt=False, hard=True)
    found = []
    for name in graph.routes:
        drawn = tile(trace.values[name], draws * rows // len(trace.values[name])).view(draws, rows, -1)
        true = values[name].reshape(1, rows, -1)
        below, equal = (drawn < true).sum(0), (drawn == true).sum(0)
        chance = torch.rand(below.shape, dtype=model.dtype, device=model.device)
        found.append((below + chance * (equal + 1)) / (draws + 1))
    return torch.cat(found, 1)


def spread(u: Tensor) -> tuple[float, float]:
    """12 times the mean of (u - 1/2)^2 over rows and entries, with its standard error over rows."""
    each = 12 * (u - 0.5).square().mean(1)
    return float(each.mean()), float(each.std() / math.sqrt(len(each)))


def deviation(u: Tensor) -> float:
    """The largest deviation of any entry's location or spread from that of a uniform u, in standard deviations."""
    location = (u - 0.5).mean(0).abs() * math.sqrt(12 * len(u))
    width = ((u - 0.5).square().mean(0) - 1 / 12).abs() * math.sqrt(180 * len(u))
    return float(torch.maximum(location, width).max())
