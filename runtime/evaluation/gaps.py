"""The energy gap: how much higher a learned energy is at rows of the data than at samples of its model.

E_data[E] - E_p[E] is minus the derivative of the mean log p(x) by the temperature of exp(-E / t) at t = 1: 0 where the
energy fits. Chains that do not reach where the energy is low leave it positive, and training then drives it up.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gendsl.compiler.derive.energies import Way, way
from gendsl.compiler.graph import Graph, Role
from gendsl.nn import tilt
from gendsl.runtime.evaluation.entry import Entry, none
from gendsl.runtime.evaluation.measured import Measured
from gendsl.runtime.streams import stream


def tilted(graph: Graph) -> list[str]:
    """Observed variables with a learned energy."""
    observed = [n for n in graph.spec.energy if graph.variables[n].role is Role.OBSERVED]
    return [n for n in observed if way(graph, n) is not Way.FIXED]


def possible(about: Measured) -> bool:
    """Whether there is a learned energy of rows, and samples."""
    return about.data.source is not None and bool(tilted(about.graph)) and about.can("sample")


def energy_gap(about: Measured) -> Entry:
    """The mean energy of the rows less that of as many samples given the rows' conditions."""
    names, plan = tilted(about.graph), about.graph.capabilities["sample"]
    if not names or plan.how is None:
        return none(plan.why if names else "no observed variable has a learned energy")
    at_rows, at_samples = [], []
    for i, batch in enumerate(about.batches("eval/rows")):
        with stream(about.seed, "eval/sample", i):
            drawn = about.model.sample(len(batch), {n: batch.values[n] for n in about.conditions})
        at_rows.append(_energy(about, names, dict(batch.values)))
        at_samples.append(_energy(about, names, {**batch.values, **drawn}))
    rows, samples = torch.cat(at_rows), torch.cat(at_samples)
    error = math.sqrt(float(rows.var() + samples.var()) / len(rows)) if len(rows) > 1 else None
    return {
        "value": float(rows.mean() - samples.mean()),
        "stderr": error,
        "unit": "nats",
        "kind": "estimate",
        "estimator": f"samples by {plan.how}",
        "samples": len(samples),
        "rows": len(rows),
        "of": f"E({', '.join(names)}) at rows minus at samples",
    }


@torch.no_grad()
def _energy(about: Measured, names: list[str], values: dict[str, Tensor]) -> Tensor:
    """The sum of the energies of each row, [B]."""
    each = [tilt.energy(about.model, n)(values[n], tilt.given_of(about.model, n, values)) for n in names]
    return torch.stack(each).sum(0).double().cpu()
