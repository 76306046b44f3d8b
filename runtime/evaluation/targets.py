"""How well an encoder fits a fixed energy: a lower bound of log Z, and the distance to the target.

log Z >= E_q[-E - log q],        KL(q || exp(-E)/Z) = log Z - E_q[-E - log q].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gendsl.compiler.derive.energies import PLANE, targets
from gendsl.nn import tilt
from gendsl.nn.model import Model
from gendsl.runtime.evaluation.entry import Entry, none
from gendsl.runtime.evaluation.measured import Measured
from gendsl.runtime.streams import stream
from gendsl.schema.facts import numel

DRAWS, AT_ONCE = 20_000, 2_000
ABSENT = "there is no fixed energy"


def possible(about: Measured) -> bool:
    """Whether there is a fixed energy."""
    return bool(targets(about.graph))


def log_normaliser(about: Measured) -> Entry:
    """E_q[-E - log q] by DRAWS draws of the encoder: a lower bound of log Z."""
    name = _first(about)
    if name is None:
        return none(ABSENT)
    values = _log_weights(about.model, name, about.seed)
    return {
        "value": float(values.mean()),
        "stderr": float(values.std() / math.sqrt(len(values))),
        "unit": "nats",
        "kind": "lower",
        "estimator": "samples of q",
        "samples": len(values),
        "of": f"log Z of exp(-E({name}))",
    }


def kl_to_target(about: Measured) -> Entry:
    """The distance to the target, log Z by quadrature; none above two entries."""
    name = _first(about)
    if name is None:
        return none(ABSENT)
    shape = about.graph.variables[name].shape
    assert shape is not None
    if numel(shape) > PLANE:
        return none(f"log Z of {name} is integrated in two dimensions at most")
    bound = log_normaliser(about)
    truth = float(tilt.quadrature(about.model, name))
    return {
        **bound,
        "value": truth - bound["value"],
        "kind": "estimate",
        "estimator": f"log Z {truth:.4f} by quadrature, samples of q",
        "of": f"KL(q({name}) || exp(-E({name})) / Z)",
    }


def _first(about: Measured) -> str | None:
    """The first fixed energy, which the numbers are of."""
    return next(iter(targets(about.graph)), None)


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
