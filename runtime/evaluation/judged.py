"""Samples against real rows, by the judges of `gendsl.runtime.metrics`."""

from __future__ import annotations

import torch
from torch import Tensor

from gendsl.compiler.plans.reconstruct import decodable, rebuilt
from gendsl.compiler.plans.sample import drawn
from gendsl.runtime.evaluation.entry import Entry, none
from gendsl.runtime.evaluation.measured import Measured
from gendsl.runtime.metrics import sample_quality
from gendsl.runtime.streams import stream

JUDGED = ("mmd", "precision", "recall", "density", "coverage", "c2st", "sliced_wasserstein")
MIN_JUDGED = 16
"""Fewer rows than this are not judged."""


def possible(about: Measured) -> bool:
    """Whether there are samples, and enough real rows to hold them against."""
    return about.can("sample") and about.part.rows >= MIN_JUDGED and about.data.source is not None


def judged(about: Measured) -> dict[str, Entry]:
    """Samples against real rows, each beside the same metric between two halves of the real rows."""
    plan = about.graph.capabilities["sample"]
    if plan.how is None:
        return dict.fromkeys(JUDGED, none(plan.why))
    means = about.graph.spec.evaluate.judge == "means"
    if means and not decodable(about.graph):
        return dict.fromkeys(JUDGED, none("no mean of p(x | z) can be computed at samples of z"))
    real: dict[str, list[Tensor]] = {}
    fake: dict[str, list[Tensor]] = {}
    variables = [about.graph.variables[n] for n in (rebuilt(about.graph) if means else drawn(about.graph))]
    judged = [v.name for v in variables if not v.labels and v.missing is not True]
    if not judged:
        why = "labels, and variables whose missing entries are not known, are not judged"
        return dict.fromkeys(JUDGED, none(why))
    for i, batch in enumerate(about.batches("eval/rows")):
        with stream(about.seed, "eval/sample", i):
            ask = about.model.means if means else about.model.sample
            values = ask(len(batch), {n: batch.values[n] for n in about.conditions})
        for name in judged:
            true = batch.hidden.get(name, batch.values[name])
            real.setdefault(name, []).append(true.double().reshape(len(batch), -1))
            fake.setdefault(name, []).append(values[name].double().reshape(len(batch), -1))
    one = torch.cat([torch.cat(real[n]) for n in judged], 1)
    two = torch.cat([torch.cat(fake[n]) for n in judged], 1)
    if not bool(torch.isfinite(two).all()):
        return dict.fromkeys(JUDGED, none("samples are not finite"))
    entries = sample_quality(one, two, seed=about.seed)
    told = {"split": about.split, "resize": "none", **({"of": "means of p(x | z)"} if means else {})}
    return {name: {**entry, **told} for name, entry in entries.items()}
