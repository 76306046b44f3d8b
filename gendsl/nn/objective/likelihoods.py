"""The terms of scored variables and of the latents' routes."""

from __future__ import annotations

import math

import torch

from gendsl.compiler.graph import How, Term
from gendsl.nn.estimators import settled, vimco
from gendsl.nn.objective.evaluation import Evaluation, Value


def score(e: Evaluation, term: Term) -> Value:
    value = e.mean(e.rowwise(term), term)
    if e.training and "walkback" in term.options:
        states = e.visited(term.options["walkback"])
        value = torch.stack([value, *(s.mean(s.rowwise(term), term) for s in states)]).mean()
    return Value(value, value)


def kl(e: Evaluation, term: Term) -> Value:
    value = e.mean(e.rowwise(term), term)
    free, capacity = term.options.get("free_bits", 0.0), term.options.get("capacity")
    cost = value
    if free:
        shape = e.graph.variables[term.subject].shape
        assert shape is not None
        if e.graph.routes[term.subject].how is How.CLOSED and not e.bound.weighted:
            means = e.expectation(e.trace.closed_entries(term.subject), term)
            cost = means.clamp(min=free * math.prod(shape) / means.numel()).sum()
        else:
            cost = value.clamp(min=free * math.prod(shape))
    if capacity is not None:
        cost = (cost - capacity).abs()
    return Value(value, cost)


def weighting(e: Evaluation, term: Term) -> Value:
    """KL(w^ || uniform) / s; it also carries the score-function part of the bound's gradient."""
    if not e.weighted:
        value = torch.zeros((), dtype=e.model.dtype, device=e.model.device)
        return Value(value, value)
    weights, power = e.normalised, e.bound.power
    log_weights = torch.log_softmax(power * e.log_w, 0) + math.log(e.bound.samples)
    value = (weights * log_weights).sum(0).mean() / power
    score = e.trace.score(e.trace.scores)
    if score is None:
        return Value(value, value)
    return Value(value, value - vimco(e.log_w, score[0], power).mean())


def dequantization(e: Evaluation, term: Term) -> Value:
    """log q(u | x) - log |dx/du| at the batch's draw."""
    value = -e.batch.log_det[term.subject].to(e.model.dtype).mean()
    return Value(value, value)


def prior(e: Evaluation, term: Term) -> Value:
    """-log p(z) at the codes, cut; the energy of a tilted prior included."""
    value = e.mean(e.tilted(term.subject) - e.trace.contributions[term.subject], term)
    return Value(value, value)


def codebook(e: Evaluation, term: Term) -> Value:
    """The distance of the encoder's vectors from their codewords, both ways."""
    value = e.expectation(e.trace.grid(e.trace.distance[term.subject])[:, 0], term)
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
    made = settled(e.fake[term.subject], e.graph.variables[term.subject])
    value = conditioned.log_prob(made).mean()
    return Value(value, value)


def classification(e: Evaluation, term: Term) -> Value:
    """-log q(y | x) on known rows, a mean over all rows of the batch."""
    encoder, trace = e.graph.q(term.subject), e.trace
    assert encoder is not None
    conditioned = trace.condition(encoder, trace.full)
    log_q = trace.grid(conditioned.log_prob(trace.lift(e.batch.values[term.subject], trace.full)))[:, 0]
    if term.subject in trace.known:
        log_q = torch.where(trace.known[term.subject], log_q, torch.zeros_like(log_q))
    value = -e.expectation(log_q, term)
    return Value(value, value)
