"""Densities: log p, the evidence lower bound and bits per dimension, with the kinds that the plan of log_prob gives."""

from __future__ import annotations

from typing import Any

import torch

from gendsl.compiler.derive.dequantizers import dequantizers
from gendsl.compiler.graph import Kind, worst
from gendsl.compiler.paths import DRAWN as FROM_ENCODER
from gendsl.compiler.plans.log_prob import averaged
from gendsl.nn.preprocessing import bits_per_dim
from gendsl.runtime.evaluation.entry import Entry, mean, none
from gendsl.runtime.evaluation.measured import Measured
from gendsl.runtime.streams import stream
from gendsl.schema.components.step import through
from gendsl.schema.facts import numel

ELBO_DRAWS = 10
DRAWN = "the values are drawn by a learned dequantizer, whose own density counts too: see bits_per_dim"


def encoded(about: Measured) -> bool:
    """Whether rows have densities, and codes with a density that a bound can be drawn with."""
    return about.can("log_prob") and any(r.how in FROM_ENCODER for r in about.graph.routes.values())


def log_prob(about: Measured) -> Entry:
    plan = about.graph.capabilities["log_prob"]
    if plan.how is None:
        return none(plan.why)
    if dequantizers(about.graph):
        return none(DRAWN)
    values, _ = about.log_prob
    found = mean(values)
    return {
        **found,
        "unit": "nats",
        "kind": str(plan.kind),
        "estimator": plan.how,
        "samples": about.samples if averaged(about.graph) else None,
        "rows": len(values),
        "of": about.graph.objective_of,
        **_why(found, plan.why),
    }


def elbo(about: Measured) -> Entry:
    plan = about.graph.capabilities["log_prob"]
    if plan.how is None:
        return none(plan.why)
    if dequantizers(about.graph):
        return none(DRAWN)
    if plan.kind is Kind.EXACT:
        return log_prob(about)
    values = []
    for i, batch in enumerate(about.batches("eval/rows")):
        with stream(about.seed, "eval/elbo", i):
            values.append(about.model.elbo(batch, ELBO_DRAWS).double())
    joined = torch.cat(values).cpu()
    return {
        **mean(joined),
        "unit": "nats",
        "kind": str(worst((Kind.LOWER, plan.kind or Kind.LOWER))),
        "estimator": "elbo",
        "samples": ELBO_DRAWS,
        "rows": len(joined),
        "of": about.graph.objective_of,
    }


def bits(about: Measured) -> Entry:
    plan = about.graph.capabilities["log_prob"]
    if plan.how is None:
        return none(plan.why)
    why, is_bound = _bits_refused(about)
    if why:
        return none(why)
    values, log_det = about.log_prob
    dims = sum(_dims(about, name) for name in about.densities)
    bits = bits_per_dim(values, log_det, dims)
    kinds = {Kind.LOWER: Kind.UPPER, Kind.EXACT: Kind.UPPER if is_bound else Kind.EXACT}
    kind = kinds.get(plan.kind or Kind.EXACT, Kind.ESTIMATE)
    found = mean(bits)
    return {
        **found,
        "unit": "bits",
        "kind": str(kind),
        "estimator": plan.how,
        "samples": about.samples if averaged(about.graph) else None,
        "rows": len(bits),
        **_why(found, f"{_drawn(about)} dequantization bounds the discrete probability" if is_bound else ""),
    }


def _drawn(about: Measured) -> str:
    """How what is dequantized is."""
    return "learned" if dequantizers(about.graph) else "uniform"


def _dims(about: Measured, name: str) -> int:
    column = about.graph.variables[name].raw_column
    assert column is not None
    return numel(column.shape)


def _bits_refused(about: Measured) -> tuple[str, bool]:
    """Why bits per dimension are not defined, and whether dequantization makes them a bound."""
    assert about.graph.source is not None
    assert about.graph.spec.data is not None
    is_bound = False
    for name in about.densities:
        variable, binding = about.graph.variables[name], about.graph.spec.data.bind[name]
        facts = through(about.graph.source.columns[binding.column], binding.as_)
        is_bound = is_bound or facts.bound
        if variable.missing:
            return f"{name} has missing entries: rows differ in how many entries are scored", False
        if not _recoverable(facts.lossy, variable.support is not None and variable.support.count == 2):
            return f"the preprocessing of {name} loses information ({facts.variant})", False
        factor = about.graph.p(name)
        continuous = variable.support is not None and not variable.support.integer
        if factor is not None:
            continuous = factor.base is not None or (
                factor.offers.enumerate is False and not _discrete(factor.dist)
            )
        if continuous and facts.column.levels is not None and not facts.bound:
            return (
                f"p({name}) is a density, and {name} takes {facts.column.levels} values: dequantize it first",
                False,
            )
    return "", is_bound


def _why(found: Entry, why: str) -> Entry:
    """The reason for a number's kind, unless there is no number."""
    return {"why": why} if why and found["value"] is not None else {}


def _recoverable(lossy: bool, binary: bool) -> bool:
    """A binarized column is a data set of its own, named in result.json's variant; other losses leave no column."""
    return not lossy or binary


def _discrete(dist: Any) -> bool:
    return dist is not None and dist.support(None).integer
