"""Metrics of a trained model on one part of the data; every number carries its kind, unit, estimator and error.

A new metric is a function of a `Measured`, in the file of its family, and a row of FAMILIES; the name goes into the
compiler's list of metrics (`gendsl.compiler.passes.settings`), so that a spec may name it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from gendsl.data.dataset import Dataset
from gendsl.nn.model import Model
from gendsl.runtime.evaluation import (
    calibration,
    classified,
    codes,
    densities,
    gaps,
    imputation,
    judged,
    modes,
    probe,
    rows,
    sequences,
    targets,
)
from gendsl.runtime.evaluation.entry import Entry
from gendsl.runtime.evaluation.measured import Measured


@dataclass(frozen=True)
class Family:
    """Metrics that are computed together.

    `entries` gives every one of them, or says why there is none; `told`: whether they say something of a model and are
    computed where the spec names no metrics.
    """

    names: tuple[str, ...]
    entries: Callable[[Measured], dict[str, Entry]]
    told: Callable[[Measured], bool]


def alone(name: str, entry: Callable[[Measured], Entry], told: Callable[[Measured], bool]) -> Family:
    """A metric that shares no work with another."""
    return Family((name,), lambda about: {name: entry(about)}, told)


FAMILIES = (
    alone("log_prob", densities.log_prob, lambda about: about.data.source is not None),
    alone("log_normaliser", targets.log_normaliser, targets.possible),
    alone("kl_to_target", targets.kl_to_target, targets.possible),
    alone("energy_gap", gaps.energy_gap, gaps.possible),
    alone("elbo", densities.elbo, densities.encoded),
    alone("bits_per_dim", densities.bits, lambda about: about.can("log_prob")),
    alone("nats_per_step", sequences.nats_per_step, sequences.possible),
    alone("reconstruction_error", rows.reconstruction, lambda about: about.can("reconstruct")),
    Family(rows.LABELLED, rows.classified, lambda about: about.can("classify")),
    alone("calibration", calibration.calibration, lambda about: not calibration.refused(about.graph)),
    Family(tuple(imputation.IMPUTED), imputation.imputed, imputation.possible),
    Family(judged.JUDGED, judged.judged, judged.possible),
    Family(modes.MODES, modes.covered, modes.possible),
    alone("linear_probe", probe.linear_probe, probe.possible),
    Family(classified.CLASSIFIED, classified.classified, lambda about: False),
    Family(codes.CODES, codes.coded, lambda about: False),
)
"""In the order of a result."""


def evaluate(
    model: Model,
    data: Dataset,
    *,
    split: str,
    seed: int,
    samples: int,
    metrics: tuple[str, ...] | None = None,
) -> dict[str, Entry]:
    """The metrics named, or all that the model has, on one part.

    Deterministic given the seed; training is not touched. Raises KeyError where the data has no such part.
    """
    about = Measured(model, data, data.parts[split].to(model.device), split, seed, samples)
    wanted = metrics if metrics is not None else [n for f in FAMILIES if f.told(about) for n in f.names]
    found: dict[str, Entry] = {}
    model.eval()
    with torch.no_grad():
        for family in FAMILIES:
            if set(family.names) & set(wanted):
                found |= family.entries(about)
    return {n: found[n] for n in wanted if n in found}
