"""Imputation: how near the missing entries are that were removed, where the data are known beneath them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from gendsl.compiler.graph import Graph
from gendsl.compiler.plans import impute as imputing
from gendsl.data.dataset import Batch, Part
from gendsl.runtime.evaluation.entry import Entry, mean, none
from gendsl.runtime.evaluation.measured import Measured
from gendsl.runtime.streams import stream

IMPUTED = MappingProxyType({"imputation_error": "squared error", "imputation_accuracy": "fraction"})
"""Metrics of imputation and their units."""
USUAL = MappingProxyType(
    {
        "imputation_error": "the mean of each entry over the training rows that have it",
        "imputation_accuracy": "the most frequent value of each entry in the training rows",
    }
)
"""What a metric's baseline puts in place of a removed entry, whatever else the row has."""
TRAINING_ROWS = 10_000
"""Training rows that a baseline is taken from, at most."""
IMPUTATIONS, PARTICLES = 20, 100
"""Draws of each removed entry at most, and importance samples for each draw, where they are needed."""
IMPUTATION_PASSES = 256
"""Passes over a row that all draws of its removed entries take together at most, where these are drawn one for each
pass; but two draws are made."""


def possible(about: Measured) -> bool:
    """Whether entries were removed that the model can fill in."""
    return about.can("impute") and bool(removed(about))


def removed(about: Measured) -> list[str]:
    """Variables whose missing entries are known to the metrics, and can be filled in."""
    variables = [about.graph.variables[n] for n in imputing.filled(about.graph)]
    return [v.name for v in variables if v.missing and v.missing is not True]


def imputed(about: Measured) -> dict[str, Entry]:
    """How near the missing entries are that were removed: squared error of the mean of some draws, and how often
    the most frequent of them is the truth. At most IMPUTATIONS draws, fewer where a draw takes many passes.
    """
    plan, names = about.graph.capabilities["impute"], removed(about)
    if plan.how is None or not names:
        refusal = none(plan.why if plan.how is None else "no entries were removed: missing: {rate: ...}")
        return dict.fromkeys(IMPUTED, refusal)
    passes = imputing.passes(about.graph, PARTICLES)
    count = IMPUTATIONS if passes == 1 else min(IMPUTATIONS, max(2, IMPUTATION_PASSES // passes))
    scores: dict[str, list[Tensor]] = {n: [] for n in IMPUTED}
    plain: dict[str, list[Tensor]] = {n: [] for n in IMPUTED}
    constants = usual(about.graph, about.data.parts["train"], names)
    for i, batch in enumerate(about.batches("eval/rows")):
        with stream(about.seed, "eval/impute", i):
            draws = about.model.impute(batch, n=count, particles=PARTICLES)
        for metric, values in imputation_scores(about.graph, batch, draws, names).items():
            scores[metric].append(values)
            same = {n: v.expand(1, len(batch), *v.shape) for n, v in constants[metric].items()}
            plain[metric].append(imputation_scores(about.graph, batch, same, names)[metric])
    common = {"kind": "estimate", "estimator": f"{count} draws, {plan.how}"}
    found = {}
    for metric, unit in IMPUTED.items():
        joined = torch.cat(scores[metric]).cpu() if scores[metric] else torch.zeros(0)
        found[metric] = (
            {
                **mean(joined),
                "unit": unit,
                **common,
                "rows": len(joined),
                "baseline": {**mean(torch.cat(plain[metric])), "of": USUAL[metric]},
            }
            if len(joined)
            else none("no row has a removed entry that it is defined for")
        )
    return found


def usual(graph: Graph, part: Part, names: list[str]) -> dict[str, dict[str, Tensor]]:
    """Metric -> variable -> the constant row [*shape] that fills in what is not known, from known training entries.

    An entry that no row has gets the mean of the others, or the lowest value.
    """
    batch = part.batch(torch.arange(min(part.rows, TRAINING_ROWS)))
    found: dict[str, dict[str, Tensor]] = {metric: {} for metric in IMPUTED}
    for name in names:
        support = graph.variables[name].support
        known = batch.known[name].cpu()
        value = torch.where(known, batch.values[name].cpu().double(), 0.0)
        has = known.sum(0)
        means = value.sum(0) / has.clamp(min=1)
        found["imputation_error"][name] = torch.where(has > 0, means, value.sum() / known.sum().clamp(min=1))
        common = means
        if support is not None and support.count is not None:
            place = torch.where(known, value - support.low, support.count).long()
            counts = torch.zeros(support.count + 1, *place.shape[1:], dtype=torch.long)
            counts.scatter_add_(0, place, torch.ones_like(place))
            common = counts[:-1].argmax(0).double() + support.low
        found["imputation_accuracy"][name] = common
    return found


def imputation_scores(
    graph: Graph, batch: Batch, draws: Mapping[str, Tensor], names: list[str]
) -> dict[str, Tensor]:
    """Scores of draws [n, B, *shape] against what was removed, means over each row's removed entries [R].

    Squared errors are of what is no label, hits of what has finitely many values.
    """
    sums = {metric: torch.zeros(len(batch), dtype=torch.float64) for metric in IMPUTED}
    counts = {metric: torch.zeros(len(batch), dtype=torch.float64) for metric in IMPUTED}
    for name in names:
        gone = ~batch.known[name].reshape(len(batch), -1).cpu()
        true = batch.hidden[name].reshape(len(batch), -1).cpu()
        drawn_ = draws[name].reshape(len(draws[name]), len(batch), -1).cpu()
        variable = graph.variables[name]
        scored = {}
        if not variable.labels:
            scored["imputation_error"] = (drawn_.double().mean(0) - true.double()).square()
        if variable.support is not None and variable.support.count is not None:
            scored["imputation_accuracy"] = (drawn_.mode(0).values == true).double()
        for metric, value in scored.items():
            sums[metric] += (value * gone).sum(1)
            counts[metric] += gone.sum(1)
    return {m: sums[m][counts[m] > 0] / counts[m][counts[m] > 0] for m in IMPUTED}
