"""What a model makes of each row: its reconstruction against the row, its label against the true one."""

from __future__ import annotations

import torch

from gendsl.runtime.evaluation.entry import Entry, mean, none
from gendsl.runtime.evaluation.measured import Measured
from gendsl.runtime.streams import stream


def reconstruction(about: Measured) -> Entry:
    """Mean squared error of the reconstruction, over entries; labels have none."""
    if about.graph.capabilities["reconstruct"].how is None:
        return none(about.graph.capabilities["reconstruct"].why)
    rows = []
    for i, batch in enumerate(about.batches("eval/rows")):
        with stream(about.seed, "eval/reconstruct", i):
            rebuilt = about.model.reconstruct(batch)
        names = [n for n in rebuilt if not about.graph.variables[n].labels]
        if not names:
            return none("only labels are reconstructed, and labels have no squared error")
        true = {n: batch.hidden.get(n, batch.values[n]) for n in names}
        errors = [(rebuilt[n] - true[n]).double().square().reshape(len(batch), -1).mean(1) for n in names]
        rows.append(torch.stack(errors).mean(0))
    joined = torch.cat(rows).cpu()
    return {
        **mean(joined),
        "unit": "squared error",
        "kind": "estimate",
        "estimator": "means of q and p",
        "rows": len(joined),
    }


def accuracy(about: Measured) -> Entry:
    """How often the most probable label is the true one."""
    if about.graph.capabilities["classify"].how is None:
        return none(about.graph.capabilities["classify"].why)
    hits = []
    for i, batch in enumerate(about.batches("eval/rows")):
        with stream(about.seed, "eval/classify", i):
            said = about.model.classify(batch)
        true = {n: batch.hidden.get(n, batch.values[n]) for n in said}
        hits.append(torch.stack([(said[n] == true[n]).double() for n in said]).mean(0))
    joined = torch.cat(hits).cpu()
    return {
        **mean(joined),
        "unit": "fraction",
        "kind": "estimate",
        "estimator": "most probable label",
        "rows": len(joined),
    }
