"""Means of observed variables at values of the latents, and between the codes of two batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gendsl.compiler.plans.encode import encoded
from gendsl.compiler.plans.reconstruct import rebuilt
from gendsl.data.batch import Batch
from gendsl.nn.encoding import centre, inferred

if TYPE_CHECKING:
    from gendsl.nn.model import Model


def decoded(model: Model, latents: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Means (of labels the most probable values) of the observed variables that the latents determine."""
    values = {**given, **latents}
    rows = next(iter(latents.values())).shape[0]
    found: dict[str, Tensor] = {}
    for name in rebuilt(model.graph):
        factor = model.graph.p(name)
        assert factor is not None
        if factor.base is not None:
            found[name] = model.through_flow(name, values)
        else:
            conditioned = model.distribution(factor.name, values, rows)
            found[name] = centre(conditioned, factor, model.graph.variables[name])
    return found


def between(model: Model, one: Batch, other: Batch, steps: int) -> dict[str, Tensor]:
    """Means on the straight line between the codes of two batches of rows, [steps, B, *shape]."""
    a = inferred(model, one, mean=True)
    b = inferred(model, other, mean=True)
    codes = encoded(model.graph)
    found: dict[str, list[Tensor]] = {}
    for t in torch.linspace(0, 1, steps).tolist():
        for name, value in decoded(model, {n: (1 - t) * a[n] + t * b[n] for n in codes}, a).items():
            found.setdefault(name, []).append(value)
    return {name: torch.stack(values) for name, values in found.items()}
