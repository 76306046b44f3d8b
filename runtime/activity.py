"""Active units: how many dimensions of a latent its encoder uses (Burda et al. 2016, section 5.2).

A dimension u is active if Var_x(E_q[z_u | x]) > 0.01 over rows of the data; beside that count, where the KL is
in closed form, how many dimensions have a mean KL of at least 0.01 nats.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gendsl.compiler.graph import Graph, How, Role
from gendsl.compiler.paths import DRAWN
from gendsl.data.dataset import Batch
from gendsl.nn.encoding import inferred
from gendsl.nn.inference import Trace
from gendsl.nn.model import Model
from gendsl.nn.rows import as_vectors
from gendsl.runtime.diagnoses import active_units

ROWS = 256
"""Rows over which the variance is taken, at most."""

THRESHOLD = 0.01


def watched(graph: Graph) -> list[str]:
    """Real-valued latents drawn from an encoder that reads something and whose mean is known."""
    found = []
    for name, route in graph.routes.items():
        encoder, variable = graph.q(name), graph.variables[name]
        if route.how not in DRAWN or route.estimator is not None or variable.role is not Role.LATENT:
            continue
        if encoder is None or not encoder.parents:
            continue
        if encoder.net is None or not encoder.net.autoregressive:
            found.append(name)
    return found


def quantised(graph: Graph) -> list[str]:
    """Latents that are words of a codebook."""
    return [n for n, r in graph.routes.items() if r.how is How.QUANTISED]


@torch.no_grad()
def activity(model: Model, batch: Batch) -> dict[str, float]:
    """For each latent: kl.z.units, kl.z.active by variance, and kl.z.informed by KL where that has a formula; of a
    codebook, codebook.c.used, the words that these rows are given, and codebook.c.codes, how many they could be.

    Draws random numbers where a latent above is drawn; the model must be in evaluation mode.
    """
    names, books = watched(model.graph), quantised(model.graph)
    if not (names or books) or len(batch) < 2:
        return {}
    means = inferred(model, batch, mean=True)
    found: dict[str, float] = {}
    for name in books:
        support = model.graph.variables[name].support
        assert support is not None
        words = means[name].flatten().tolist()
        found[f"codebook.{name}.used"] = len(set(words))
        found[f"codebook.{name}.codes"] = min(support.count or 0, len(words))
    trace: Trace | None = None
    for name in names:
        mean: Tensor = as_vectors(means[name])
        variance = mean.var(0)
        found[f"kl.{name}.active"] = int((variance > THRESHOLD).sum())
        found[f"kl.{name}.units"] = mean.shape[1]
        if model.graph.routes[name].how is How.CLOSED:
            trace = trace if trace is not None else Trace(model, batch, 1, corrupt=False)
            weights = trace.log_weights.exp() if trace.enumerated else torch.ones_like(trace.log_weights)
            entries = (weights[..., None] * trace.closed_entries(name)).sum(0).mean((0, 1))
            found[f"kl.{name}.informed"] = active_units(entries.tolist())
    return found
