"""Samples as an extractor of features, or a classifier of the data's labels trained on training rows, sees them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gendsl.compiler.plans.sample import drawn
from gendsl.data.dataset import Part, label_of
from gendsl.nn.rows import as_vectors
from gendsl.runtime.evaluation.entry import Entry, none
from gendsl.runtime.evaluation.measured import CHUNK, Measured
from gendsl.runtime.metrics.classifier import (
    Classifier,
    Features,
    fid,
    kid,
    label_accuracy,
    own_accuracy,
    train_classifier,
)
from gendsl.runtime.metrics.score import Score
from gendsl.runtime.streams import stream
from gendsl.schema.components.extractor import LabelClassifier
from gendsl.schema.registry import builder

CLASSIFIED = ("fid", "kid", "label_accuracy", "classifier_accuracy")


def classified(about: Measured) -> dict[str, Entry]:
    """What an extractor and a classifier of the data's labels, trained on the training rows, say of the samples."""
    plan = about.graph.capabilities["sample"]
    if plan.how is None:
        return dict.fromkeys(CLASSIFIED, none(plan.why))
    spec, labels = about.graph.spec.evaluate.extractor, about.data.labels
    unlabelled = none("the data have no single column of labels")
    if labels is None and spec.labels:
        return dict.fromkeys(CLASSIFIED, unlabelled)
    classifier = build_classifier(LabelClassifier(), about) if labels is not None else None
    shared = classifier if isinstance(spec, LabelClassifier) else None
    extractor: Features = shared if shared is not None else builder(spec)(spec, about)
    samples, which = _samples(about)
    if not bool(torch.isfinite(samples).all()):
        return dict.fromkeys(CLASSIFIED, none("samples are not finite"))
    entries = _compared(about, extractor, samples)
    if classifier is None or labels is None:
        return {**dict.fromkeys(CLASSIFIED, unlabelled), **entries}
    scores = {"classifier_accuracy": own_accuracy(classifier, about.part.rows)}
    assert about.data.facts is not None
    if any(about.data.bind[n].column == label_of(about.data.facts) for n in about.conditions):
        scores["label_accuracy"] = label_accuracy(classifier, samples, labels[which])
    missing = none("samples are not given their label")
    return {
        "label_accuracy": missing,
        **entries,
        **{n: _told(about, classifier, s) for n, s in scores.items()},
    }


def build_classifier(spec: LabelClassifier, about: Measured) -> Classifier:
    """The classifier of the data's labels, trained on the training rows; its accuracy is that on the part's rows."""
    seen, labels = _labelled(about, about.data.parts["train"].to(about.model.device))
    unseen, answers = _labelled(about, about.part)
    assert labels is not None
    assert answers is not None
    return train_classifier(seen, labels, unseen, answers, seed=about.seed)


def _samples(about: Measured) -> tuple[Tensor, Tensor]:
    """Samples given the conditions of the part's rows, and the numbers of these rows in the source."""
    fake, which = [], []
    for i, batch in enumerate(about.batches("eval/rows")):
        with stream(about.seed, "eval/classified", i):
            values = about.model.sample(len(batch), {n: batch.values[n] for n in about.conditions})
        fake.append(_flat(about, values))
        which.append(batch.rows.cpu())
    return torch.cat(fake), torch.cat(which)


def _compared(about: Measured, extractor: Features, samples: Tensor) -> dict[str, Entry]:
    """FID and KID of the samples, each beside that of training rows."""
    seen = _labelled(about, about.data.parts["train"].to(about.model.device))[0]
    unseen = _labelled(about, about.part)[0]
    order = torch.randperm(len(seen), generator=torch.Generator().manual_seed(about.seed))
    real, seed = seen[order[: len(unseen)]], about.seed
    return {
        "fid": _told(about, extractor, fid(extractor, unseen, samples), fid(extractor, unseen, real)),
        "kid": _told(
            about,
            extractor,
            kid(extractor, unseen, samples, seed=seed),
            kid(extractor, unseen, real, seed=seed),
        ),
    }


def _told(about: Measured, by: Features, score: Score, floor: Score | None = None) -> Entry:
    """The entry of a number: who found it, on which part, at which size."""
    article = "an" if by.name[0] in "AEIOaeiou" else "a"
    told = {"estimator": f"by {article} {by.name}", "split": about.split, "resize": by.resize}
    return {**score.as_json(floor), **told}


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
