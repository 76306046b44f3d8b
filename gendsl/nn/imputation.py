"""Draws of missing entries given known ones: p(missing | known), by the graph's plan (`compiler.plans.impute`).

Importance sampling (Mattei and Frellsen 2019, section 4): K particles for each draw, their latents from q and their
missing entries from p in its order, weights

    w = p(known, latents) / q(latents),    one particle is drawn with probability w / sum w.

An entry that is missing gives no factor of its own, as it is proposed by what it is scored by; so this holds for
entries in an order too, where a known entry is weighed given the proposed ones before it. Encoders that were not
trained with missing entries read a completed row: the proposals of a round read the completions of the round before,
and the weights make each round consistent by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gendsl.compiler.graph import Role
from gendsl.compiler.paths import above
from gendsl.compiler.plans import impute as plans
from gendsl.compiler.plans.chain import chain_of
from gendsl.compiler.plans.log_prob import proposals
from gendsl.data.batch import Batch
from gendsl.errors import UsageError
from gendsl.nn import chain
from gendsl.nn.factor import Autoregressive
from gendsl.nn.inference import Trace

if TYPE_CHECKING:
    from gendsl.nn.model import Model

Values = dict[str, Tensor]
ROUNDS = 3
"""How often proposals read completed rows, where encoders were trained on complete ones."""


@torch.no_grad()
def impute(model: Model, batch: Batch, n: int, particles: int) -> Values:
    """n completions of each row: [n, B, *shape] of every variable that can be filled in, known entries as they are.

    Raises UsageError where entries are missing that the plan cannot fill in.
    """
    graph = model.graph
    for name, known in batch.known.items():
        hidden = graph.variables[name].role is not Role.PARTIAL and not bool(known.all())
        if hidden and name not in plans.filled(graph):
            raise UsageError(f"{name} has missing entries that cannot be filled in: {_why(model, name)}")
    found: Values = {}
    for rows, way in _ways(model, batch, particles):
        values = way(rows, n)
        for name, value in values.items():
            whole = found.setdefault(name, value.new_zeros(n, len(batch), *value.shape[2:]))
            whole[:, rows] = value
    return found


def _why(model: Model, name: str) -> str:
    why = model.graph.capabilities["impute"].why
    return why if model.graph.p(name) is not None else f"p gives it no distribution ({why})"


def _ways(
    model: Model, batch: Batch, particles: int
) -> Iterator[tuple[Tensor, Callable[[Tensor, int], Values]]]:
    """Groups of rows [R] and how each is completed: in one draw, by enumeration, by particles, by the chain."""

    def drawn(count: int) -> Callable[[Tensor, int], Values]:
        return lambda rows, n: _in_chunks(
            model, batch, rows, n, count, lambda part: _by_weights(model, part, count)
        )

    every = torch.arange(len(batch), device=model.device)
    if chain_of(model.graph) is not None:
        yield every, lambda rows, n: _in_chunks(model, batch, rows, n, 1, lambda part: _by_chain(model, part))
        return
    if plans.uncertain(model.graph):
        yield every, drawn(particles)
        return
    direct = torch.ones(len(batch), dtype=torch.bool, device=model.device)
    for name in plans.late(model.graph):
        if name in batch.known:
            direct &= _last(model, name, batch.known[name])
    if bool(direct.any()):
        yield every[direct], drawn(1)
    few = torch.zeros_like(direct)
    if plans.enumerated(model.graph):
        few = ~direct & (_log_states(model, batch) <= math.log(plans.ENUMERATED) + 1e-6)
    for row in every[few]:
        yield row[None], lambda rows, n: _by_enumeration(model, pick(batch, rows), n)
    if bool((~direct & ~few).any()):
        yield every[~direct & ~few], drawn(particles)


def _last(model: Model, name: str, known: Tensor) -> Tensor:
    """Which rows miss only entries of a variable that no known one follows, [B]."""
    flat = known.reshape(len(known), -1)
    if plans.followed(model.graph, name):
        return flat.all(1)
    factor = model.graph.p(name)
    assert factor is not None
    module = model.factor(factor.name)
    assert isinstance(module, Autoregressive)
    turn = flat[:, module.turns]
    return ~(turn[:, 1:] & ~turn[:, :-1]).any(1)


def _in_chunks(
    model: Model, batch: Batch, rows: Tensor, n: int, particles: int, way: Callable[[Batch], Values]
) -> Values:
    """Every row n times, so many at once as memory allows: [n, R, *shape]."""
    many = rows.repeat(n)
    chunk = max(1, model.rows_at_once // particles)
    parts = [way(pick(batch, many[i : i + chunk])) for i in range(0, len(many), chunk)]
    return {
        name: torch.cat([part[name] for part in parts]).view(n, len(rows), *parts[0][name].shape[1:])
        for name in parts[0]
    }


def pick(batch: Batch, rows: Tensor) -> Batch:
    """Some rows of a batch, in any order and number."""
    return batch.each(lambda tensor: tensor[rows.to(tensor.device)])


# -- particles --------------------------------------------------------------------------------------------------------


def _by_weights(model: Model, batch: Batch, particles: int) -> Values:
    """One completion of each row, drawn among `particles` by their weights."""
    reread = _reread(model, batch) if particles > 1 else []
    found: Values = {}
    for _ in range(ROUNDS if reread else 1):
        values = {**batch.values, **{name: found[name] for name in reread if found}}
        found = _round(model, replace(batch, values=values), particles)
    return found


def _reread(model: Model, batch: Batch) -> list[str]:
    """Variables with missing entries that encoders read as if they were complete."""
    graph = model.graph
    encoders = proposals(graph)["encoder"]
    read = set().union(*(above(graph, "q", n) for n in encoders)) if encoders else set()
    return [
        n for n in batch.known if n in read and not graph.variables[n].missing and n in plans.filled(graph)
    ]


def _round(model: Model, batch: Batch, particles: int) -> Values:
    graph = model.graph
    trace = Trace(model, batch, particles, marginal=True, corrupt=False)
    completed: Values = {}
    for name in plans.filled(graph):
        drawn = name in batch.known and name not in trace.summed
        completed[name] = trace.fill(name) if drawn else trace.values[name]
    log_w = trace.log_states().flatten(0, 1)  # [S * k, B]
    chosen = torch.multinomial(torch.softmax(log_w, 0).T, 1)[:, 0]
    index = chosen * trace.rows + torch.arange(trace.rows, device=model.device)
    found: Values = {}
    for name, value in completed.items():
        picked = value[index % len(value)]
        if name in batch.known:
            known = batch.known[name]
            picked = torch.where(known, batch.values[name], picked.to(batch.values[name].dtype))
        found[name] = picked
    return found


# -- enumeration ------------------------------------------------------------------------------------------------------


def _log_states(model: Model, batch: Batch) -> Tensor:
    """The log of the number of joint values of each row's missing entries, [B]; infinite where not all are finite."""
    total = torch.zeros(len(batch), dtype=torch.float64, device=model.device)
    for name, known in batch.known.items():
        support = model.graph.variables[name].support
        assert support is not None
        missing = (~known.reshape(len(batch), -1)).sum(1).double()
        each = math.log(support.count) if support.count is not None else math.inf
        total += torch.where(missing > 0, missing * each, torch.zeros_like(missing))
    return total


def _by_enumeration(model: Model, row: Batch, n: int) -> Values:
    """n completions of one row from the exact distribution over all values of its missing entries."""
    states: Values = {}
    count = round(math.exp(float(_log_states(model, row)[0])))
    index = torch.arange(count, device=model.device)
    rest = index
    for name, known in row.known.items():
        support = model.graph.variables[name].support
        assert support is not None
        assert support.count is not None
        value = row.values[name].reshape(1, -1).repeat(count, 1)
        for place in (~known.reshape(-1)).nonzero()[:, 0].tolist():
            value[:, place] = (rest % support.count + int(support.low)).to(value.dtype)
            rest = rest // support.count
        states[name] = value.view(count, *row.values[name].shape[1:])
    tiled = pick(row, torch.zeros(count, dtype=torch.int64))
    whole = {**tiled.values, **states}
    certain = {name: torch.ones_like(mask) for name, mask in tiled.known.items()}
    complete = replace(tiled, values=whole, known=certain)
    chunk = model.rows_at_once
    log_p = torch.cat(
        [model.log_prob(pick(complete, index[i : i + chunk]), 1) for i in range(0, count, chunk)]
    )
    chosen = torch.multinomial(torch.softmax(log_p, 0), n, replacement=True)
    return {name: whole[name][chosen][:, None] for name in plans.filled(model.graph)}


# -- the chain --------------------------------------------------------------------------------------------------------


def _by_chain(model: Model, batch: Batch) -> Values:
    """One completion of each row: the last state of a chain that starts from noise and holds what is known."""
    chain_ = chain_of(model.graph)
    assert chain_ is not None
    noise = chain.noise(model, len(batch))
    known = {n: batch.known[n] for n in chain_.state if n in batch.known}
    state = {
        n: torch.where(known[n], batch.values[n], noise[n].to(batch.values[n].dtype))
        if n in known
        else batch.values[n]
        for n in chain_.state
    }
    whole = {n: torch.ones_like(batch.values[n], dtype=torch.bool) for n in chain_.state if n not in known}
    steps = model.graph.spec.sample.chain.steps
    values = chain.run(model, state, steps, batch.values, known={**known, **whole})
    return {n: values[n] for n in plans.filled(model.graph)}
