"""The terms of scored variables and of the latents' routes."""

from __future__ import annotations

import math

import torch

from gendsl.compiler.graph import How, Term
from gendsl.nn.objective.evaluation import Evaluation, Value


def score(e: Evaluation, term: Term) -> Value:
    value = e.mean(e.rowwise(term))
    if e.training and "walkback" in term.options:
        states = e.visited(term.options["walkback"])
        value = torch.stack([value, *(s.mean(s.rowwise(term)) for s in states)]).mean()
    return Value(value, value)


def kl(e: Evaluation, term: Term) -> Value:
    value = e.mean(e.rowwise(term))
    free, capacity = term.options.get("free_bits", 0.0), term.options.get("capacity")
    cost = value
    if free:
        shape = e.graph.variables[term.subject].shape
        assert shape is not None
        if e.graph.routes[term.subject].how is How.CLOSED and not e.bound.weighted:
            means = e.trace.closed_kl(term.subject).mean(0)
            cost = means.clamp(min=free * math.prod(shape) / means.numel()).sum()
        else:
            cost = value.clamp(min=free * math.prod(shape))
    if capacity is not None:
        cost = (cost - capacity).abs()
    return Value(value, cost)


def weighting(e: Evaluation, term: Term) -> Value:
    """KL(w^ || uniform) / s."""
    weights = e.normalised
    value = (
        (weights * (torch.log_softmax(e.bound.power * e.log_w, 0) + math.log(e.bound.samples))).sum(0).mean()
    )
    value = value / e.bound.power
    return Value(value, value)


def prior(e: Evaluation, term: Term) -> Value:
    """-log p(z) at the codes, cut."""
    value = -e.mean(e.trace.contributions[term.subject])
    return Value(value, value)


def information(e: Evaluation, term: Term) -> Value:
    """E[log q(c | x)], c and x from prior and decoder; what p does not make comes with the row."""
    encoder = e.graph.q(term.subject)
    assert encoder is not None
    values = {**e.batch.values, **e.fake}
    for channel in e.graph.side("c"):
        if channel.parents[0] in values:
            values[channel.head] = e.model.channel(channel.head)(values[channel.parents[0]])
    conditioned = e.model.distribution(encoder.name, values, len(e.batch))
    value = conditioned.log_prob(e.fake[term.subject]).mean()
    return Value(value, value)


def classification(e: Evaluation, term: Term) -> Value:
    """-log q(y | x) on known rows, a mean over all rows of the batch."""
    encoder, trace = e.graph.q(term.subject), e.trace
    assert encoder is not None
    conditioned = trace.condition(encoder, trace.full)
    log_q = trace.grid(conditioned.log_prob(trace._lift(e.batch.values[term.subject], trace.full)))[:, 0]
    value = -(trace.log_weights.exp() * log_q).sum(0) if trace.enumerated else -log_q[0]
    if term.subject in trace.known:
        value = torch.where(trace.known[term.subject], value, torch.zeros_like(value))
    return Value(value.mean(), value.mean())
