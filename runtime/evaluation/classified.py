"""Samples as a classifier of the data's labels sees them, which is trained on the training rows."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gendsl.compiler.plans.sample import drawn
from gendsl.data.dataset import Part, label_of
from gendsl.nn.rows import as_vectors
from gendsl.runtime.evaluation.entry import Entry, none
from gendsl.runtime.evaluation.measured import CHUNK, Measured
from gendsl.runtime.metrics.classifier import fid, kid, label_accuracy, own_accuracy, train_classifier
from gendsl.runtime.streams import stream

CLASSIFIED = ("fid", "kid", "label_accuracy", "classifier_accuracy")


def classified(about: Measured) -> dict[str, Entry]:
    """What a classifier of the data's labels, trained on the training rows, says of the samples."""
    plan = about.graph.capabilities["sample"]
    if plan.how is None:
        return dict.fromkeys(CLASSIFIED, none(plan.why))
    seen, labels = _labelled(about, about.data.parts["train"].to(about.model.device))
    unseen, answers = _labelled(about, about.part)
    if labels is None or answers is None:
        return dict.fromkeys(CLASSIFIED, none("the data have no single column of labels"))
    classifier = train_classifier(seen, labels, unseen, answers, seed=about.seed)
    fake, asked = [], []
    for i, batch in enumerate(about.batches("eval/rows")):
        with stream(about.seed, "eval/classified", i):
            values = about.model.sample(len(batch), {n: batch.values[n] for n in about.conditions})
        fake.append(_flat(about, values))
        assert about.data.labels is not None
        asked.append(about.data.labels[batch.rows.cpu()])
    samples = torch.cat(fake)
    if not bool(torch.isfinite(samples).all()):
        return dict.fromkeys(CLASSIFIED, none("samples are not finite"))
    order = torch.randperm(len(seen), generator=torch.Generator().manual_seed(about.seed))
    real = seen[order[: len(unseen)]]
    scores = {
        "fid": fid(classifier, unseen, samples).as_json(fid(classifier, unseen, real)),
        "kid": kid(classifier, unseen, samples, seed=about.seed).as_json(
            kid(classifier, unseen, real, seed=about.seed)
        ),
        "classifier_accuracy": own_accuracy(classifier, len(unseen)).as_json(),
    }
    assert about.data.facts is not None
    named = [n for n in about.conditions if about.data.bind[n].column == label_of(about.data.facts)]
    if named:
        scores["label_accuracy"] = label_accuracy(classifier, samples, torch.cat(asked)).as_json()
    missing = none("samples are not given their label")
    common = {"estimator": f"by a {classifier.name}", "split": about.split, "resize": "none"}
    entries = {n: {**entry, **common} for n, entry in scores.items()}
    return {"label_accuracy": missing, **entries}


def _labelled(about: Measured, part: Part) -> tuple[Tensor, Tensor | None]:
    """The judged entries of all rows of a part, [N, D], and their labels."""
    rows, labels = [], []
    for start in range(0, part.rows, CHUNK):
        index = torch.arange(start, min(start + CHUNK, part.rows), device=about.model.device)
        with stream(about.seed, "eval/labelled", start):
            batch = part.batch(index)
        rows.append(_flat(about, {**batch.values, **batch.hidden}))
        labels.append(batch.rows.cpu())
    known = about.data.labels
    return torch.cat(rows), None if known is None else known[torch.cat(labels)]


def _flat(about: Measured, values: Mapping[str, Tensor]) -> Tensor:
    """The drawn variables that are no labels, side by side, [N, D]."""
    names = [n for n in drawn(about.graph) if not about.graph.variables[n].labels]
    return torch.cat([as_vectors(values[n].double()).cpu() for n in names], 1)
