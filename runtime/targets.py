"""How well an encoder fits a fixed energy: a lower bound of log Z, and the distance to the target.

log Z >= E_q[-E - log q],        KL(q || exp(-E)/Z) = log Z - E_q[-E - log q].
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from gendsl.compiler.derive.energies import PLANE
from gendsl.nn import tilt
from gendsl.nn.model import Model
from gendsl.runtime.streams import stream
from gendsl.schema.facts import numel

DRAWS, AT_ONCE = 20_000, 2_000


def log_normaliser(model: Model, name: str, seed: int) -> dict[str, Any]:
    """E_q[-E - log q] by DRAWS draws of the encoder: a lower bound of log Z."""
    values = _log_weights(model, name, seed)
    return {
        "value": float(values.mean()),
        "stderr": float(values.std() / math.sqrt(len(values))),
        "unit": "nats",
        "kind": "lower",
        "estimator": "samples of q",
        "samples": len(values),
        "of": f"log Z of exp(-E({name}))",
    }


def kl_to_target(model: Model, name: str, seed: int) -> dict[str, Any]:
    """The distance to the target, log Z by quadrature; null above two entries."""
    shape = model.graph.variables[name].shape
    assert shape is not None
    if numel(shape) > PLANE:
        return {
            "value": None,
            "unit": None,
            "kind": "none",
            "why": f"log Z of {name} is integrated in two dimensions at most",
        }
    bound = log_normaliser(model, name, seed)
    truth = float(tilt.quadrature(model, name))
    return {
        **bound,
        "value": truth - bound["value"],
        "kind": "estimate",
        "estimator": f"log Z {truth:.4f} by quadrature, samples of q",
        "of": f"KL(q({name}) || exp(-E({name})) / Z)",
    }


@torch.no_grad()
def _log_weights(model: Model, name: str, seed: int) -> Tensor:
    """-E - log q at draws of the encoder."""
    encoder = model.graph.q(name)
    assert encoder is not None
    found = []
    for i in range(DRAWS // AT_ONCE):
        with stream(seed, "eval/target", i):
            value, log_q = model.distribution(encoder.name, {}, AT_ONCE).draw()
        assert log_q is not None
        found.append((-tilt.energy(model, name)(value) - log_q).double())
    return torch.cat(found).cpu()
