"""What codes tell of the data's labels: a row's label is taken from its nearest neighbour among the training codes.

One-nearest-neighbour accuracy in the space of the codes, as Donahue et al. 2017 (table 1) measure a BiGAN's encoder. An
encoder with random weights keeps much of the data's geometry, so its number stands beside: the same networks as they
are initialised, at the same size of code.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gendsl.compiler.build import build
from gendsl.compiler.plans.encode import encoded
from gendsl.data.dataset import Part
from gendsl.nn.model import Model
from gendsl.runtime.evaluation.entry import Entry, none
from gendsl.runtime.evaluation.measured import CHUNK, Measured
from gendsl.runtime.metrics.score import distances, proportion
from gendsl.runtime.streams import stream

CODES = ("code_accuracy", "untrained_code_accuracy")
UNTRAINED = 5
"""How many initialisations the second number is a mean over."""


def coded(about: Measured) -> dict[str, Entry]:
    """Both numbers on the part's rows, with the training rows as neighbours."""
    if not about.can("encode"):
        return dict.fromkeys(CODES, none(about.graph.capabilities["encode"].why))
    labels = about.data.labels
    if labels is None:
        return dict.fromkeys(CODES, none("the data have no single column of labels"))
    train = about.data.parts["train"].to(about.model.device)
    hits = _hits(about, about.model, train, labels)
    share, error = proportion(hits)
    fresh = []
    for i in range(UNTRAINED):
        with stream(about.seed, "eval/untrained", i):
            model = build(about.graph).to(about.model.device).eval()
        fresh.append(_hits(about, model, train, labels).double().mean())
    each = torch.stack(fresh)
    common = {
        "unit": "fraction",
        "kind": "estimate",
        "estimator": f"label of the nearest of {train.rows} training codes",
        "samples": len(hits),
        "extractor": f"codes of {', '.join(encoded(about.graph))}",
        "split": about.split,
        "resize": "none",
    }
    note = f"mean over {UNTRAINED} initialisations"
    return {
        CODES[0]: {"value": share, "stderr": error, **common},
        CODES[1]: {
            "value": float(each.mean()),
            "stderr": float(each.std()) / UNTRAINED**0.5,
            **common,
            "note": note,
        },
    }


def _hits(about: Measured, model: Model, train: Part, labels: Tensor) -> Tensor:
    """Whether each row's nearest training code has its label, [rows] of booleans."""
    known, rows = _codes(about, model, train)
    asked, which = _codes(about, model, about.part)
    found = torch.cat([distances(chunk, known).argmin(1) for chunk in torch.split(asked, CHUNK)])
    return labels[rows][found] == labels[which]


def _codes(about: Measured, model: Model, part: Part) -> tuple[Tensor, Tensor]:
    """The codes of all rows of a part side by side, [N, D], labels as one-hot rows; and the numbers of the rows."""
    codes, numbers = [], []
    for start in range(0, part.rows, CHUNK):
        index = torch.arange(start, min(start + CHUNK, part.rows), device=model.device)
        with stream(about.seed, "eval/codes", start):
            batch = part.batch(index)
            found = model.encode(batch)
        codes.append(torch.cat([_vector(about, n, found[n]) for n in encoded(about.graph)], 1))
        numbers.append(batch.rows.cpu())
    return torch.cat(codes), torch.cat(numbers)


def _vector(about: Measured, name: str, value: Tensor) -> Tensor:
    variable = about.graph.variables[name]
    if variable.labels and variable.support is not None and variable.support.count is not None:
        value = F.one_hot(value.long() - int(variable.support.low), variable.support.count)
    return value.double().flatten(1).cpu()
