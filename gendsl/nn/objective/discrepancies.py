"""Regularisers of codes: against the prior's samples (MMD), against the product of their own entries."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gendsl.compiler.graph import Term
from gendsl.nn.objective.evaluation import Evaluation, Value
from gendsl.nn.rows import as_vectors
from gendsl.schema.components.source_base import split_counts


def mmd(e: Evaluation, term: Term) -> Value:
    """Unbiased squared MMD with k(a, b) = C / (C + |a - b|^2), C = 2 D scale^2 (Tolstikhin et al. 2018)."""
    codes = as_vectors(e.trace.values[term.subject])
    prior = as_vectors(e.fake[term.subject]).to(codes.dtype)
    codes = codes[: len(e.batch)]
    scale = term.options.get("scale", 1.0)
    c = 2.0 * codes.shape[1] * scale**2

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        distance: Tensor = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
        ratio: Tensor = c / (c + distance.square())
        return ratio

    n = codes.shape[0]
    off = 1.0 - torch.eye(n, dtype=codes.dtype, device=codes.device)
    within = ((kernel(codes, codes) + kernel(prior, prior)) * off).sum() / (n * (n - 1))
    value = within - 2 * kernel(codes, prior).mean()
    return Value(value, value)


def total_correlation(e: Evaluation, term: Term) -> Value:
    """KL(q(z) || prod_d q(z_d)), q(z) the aggregate posterior (Chen et al. 2018, eq. 5: minibatch-weighted sampling).

    log q(z_i) is estimated by log (1 / (N M)) sum_j q(z_i | x_j) over the M rows of the batch, N those of the data.
    The value is biased, by about (D - 1) log N where the batch is all of the data; that constant has no gradient.
    """
    rows = len(e.batch)
    encoder = e.graph.q(term.subject)
    assert encoder is not None
    read = {n: v[:rows] for n, v in e.trace.values.items()}
    code = read[term.subject]
    q = e.model.distribution(encoder.name, read, rows).repeat(rows)
    entries = q.entries(code.repeat_interleave(rows, 0)).reshape(rows, rows, -1)  # [i, j, D]
    total = math.log(rows * max(_training_rows(e), rows))
    joint = torch.logsumexp(entries.sum(2), 1) - total
    product = (torch.logsumexp(entries, 1) - total).sum(1)
    value = (joint - product).mean()
    return Value(value, value)


def _training_rows(e: Evaluation) -> int:
    """The rows of the training part; 0 where that is not known."""
    spec, source = e.graph.spec, e.graph.source
    if spec.data is None or source is None or not source.rows:
        return 0
    return split_counts(source, spec.data.shares, spec.train.validate_ is not None).get("train", 0)
