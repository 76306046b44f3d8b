"""Finite latents: log p and the objective from the factors alone, one joint state after another.

With e the latents that have an encoder, s those that are summed out and x what is observed,

    log p(x) = log sum_{e,s} p(e, s, x),    -objective = sum_e q(e) (log sum_s p(e, s, x) - log q(e)),

where on rows with a known label q is certain of it. The model computes both on tiled rows, all
states at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from gendsl.compiler.graph import Factor, How, Role
from gendsl.data.dataset import Batch
from gendsl.nn.model import Model
from gendsl.nn.transforms.stack import flat_sum
from gendsl.runtime.verify.certificate import Certificate, at_most
from gendsl.runtime.verify.subject import Subject, head
from gendsl.schema.facts import mask_name, numel

BOUND, POWER = 1e-9, 1e-8
ROWS = 8
FINITE = {How.ENUMERATED, How.SUMMED}


@torch.no_grad()
def certificates(subject: Subject) -> Iterator[Certificate]:
    """log_p, objective and their order, where every latent is finite."""
    graph, model = subject.graph, subject.drawn
    hows = {r.how for r in graph.routes.values()}
    if not hows or not hows <= FINITE or graph.capabilities["log_prob"].how is None:
        return
    rows = head(subject.rows, ROWS)
    log_p, bound = by_states(model, rows)
    note = f"relative; {ROWS} rows, every state from the factors alone, drawn parameters"
    error = (model.log_prob(rows) - log_p).abs().max() / log_p.abs().mean()
    yield at_most("log_p:states", float(error), BOUND, POWER, note)
    names = [t.name for t in graph.terms if t.family in ("likelihood", "reconstruction", "kl")]
    with subject.draws("states"):
        terms = model.loss("model", rows, step=10**9, terms=names, training=False).terms
    error = (sum(terms.values()) + bound.mean()).abs() / bound.abs().mean()
    yield at_most("objective:states", float(error), BOUND, POWER, f"{' + '.join(names)}, {note}")


def by_states(model: Model, batch: Batch) -> tuple[Tensor, Tensor]:
    """log p and the ELBO of each row, [B] both."""
    graph = model.graph
    encoded = [n for n, r in graph.routes.items() if r.how is How.ENUMERATED]
    summed = [n for n, r in graph.routes.items() if r.how is How.SUMMED]
    joint, log_q = [], []
    for outer in itertools.product(*(_values(model, n, batch) for n in encoded)):
        inner = []
        for rest in itertools.product(*(_values(model, n, batch) for n in summed)):
            inner.append(
                _log_joint(model, batch, dict(zip((*encoded, *summed), (*outer, *rest), strict=True)))
            )
        joint.append(torch.logsumexp(torch.stack(inner), 0))
        log_q.append(_log_q(model, batch, dict(zip(encoded, outer, strict=True))))
    p, q = torch.stack(joint), torch.stack(log_q)  # [E, B]
    parts = torch.where(q > -torch.inf, q.exp() * (p - q), 0.0)
    return torch.logsumexp(p, 0), parts.sum(0)


def _values(model: Model, name: str, batch: Batch) -> list[Tensor]:
    """Every value of a finite latent, each [B, *shape]."""
    variable = model.graph.variables[name]
    assert variable.support is not None
    assert variable.support.count is not None
    assert variable.shape is not None
    low = int(variable.support.low)
    states = itertools.product(range(low, low + variable.support.count), repeat=numel(variable.shape))
    return [torch.tensor(s).reshape(variable.shape).expand(len(batch), *variable.shape) for s in states]


def _impossible(batch: Batch, name: str, value: Tensor) -> Tensor:
    """Rows whose known value is another one, [B]."""
    differs = (batch.values[name] != value).reshape(len(batch), -1).any(1)
    return batch.known[name] & differs


def _log_joint(model: Model, batch: Batch, states: dict[str, Tensor]) -> Tensor:
    """log p of the states and everything observed, -inf where a known label is another one; [B]."""
    values = _read(model, batch, states)
    total = torch.zeros(len(batch), dtype=model.dtype)
    for name in model.graph.order("p"):
        factor = model.graph.p(name)
        if factor is None or (name not in states and name not in model.graph.scored):
            continue
        total = total + _score(model, factor, values, batch)
        if model.graph.variables[name].role is Role.PARTIAL:
            total = torch.where(_impossible(batch, name, values[name]), -torch.inf, total)
    return total


def _log_q(model: Model, batch: Batch, states: dict[str, Tensor]) -> Tensor:
    values = _read(model, batch, states)
    total = torch.zeros(len(batch), dtype=model.dtype)
    for name, value in states.items():
        encoder = model.graph.q(name)
        assert encoder is not None
        log_q = model.distribution(encoder.name, values, len(batch)).log_prob(value)
        if model.graph.variables[name].role is Role.PARTIAL:
            log_q = torch.where(batch.known[name], torch.zeros_like(log_q), log_q)
            log_q = torch.where(_impossible(batch, name, value), -torch.inf, log_q)
        total = total + log_q
    return total


def _read(model: Model, batch: Batch, states: dict[str, Tensor]) -> dict[str, Tensor]:
    masks = {
        mask_name(n): k.to(model.dtype) for n, k in batch.known.items() if model.graph.variables[n].missing
    }
    return {**batch.values, **masks, **states}


def _score(model: Model, factor: Factor, values: dict[str, Tensor], batch: Batch) -> Tensor:
    conditioned, value = model.distribution(factor.name, values, len(batch)), values[factor.head]
    if not model.graph.variables[factor.head].missing:
        return conditioned.log_prob(value)
    entries = conditioned.entries(value)
    return flat_sum(torch.where(batch.known[factor.head], entries, torch.zeros_like(entries)))
