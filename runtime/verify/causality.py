"""Autoregressive causality: the raw numbers of an entry do not change with that entry or any later one.

The Jacobian's zeros, taken by finite differences so that integers count too: entry j is set to another value,
and the raw numbers of every entry whose turn is not after j's must stay as they were.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gendsl.compiler.graph import Factor
from gendsl.nn.any_order import AnyOrder
from gendsl.nn.factor import Sequential, tile
from gendsl.nn.networks.ended import Ended
from gendsl.nn.ordering import rank_tensor
from gendsl.nn.rows import as_vectors
from gendsl.runtime.verify.certificate import Certificate, at_most
from gendsl.runtime.verify.entrywise import BUDGET, base_of, support_of
from gendsl.runtime.verify.subject import Subject, first, parents_of
from gendsl.schema.facts import Support, numel

BOUND, POWER = 1e-9, 1e-6
ROWS = 2
MOST = 512
"""Entries that are moved at most, spread evenly over the order."""


@torch.no_grad()
def certificates(subject: Subject) -> Iterator[Certificate]:
    """causality of every autoregressive factor of two entries or more."""
    for factor in subject.graph.factors.values():
        shape = subject.graph.variables[factor.head].shape
        if factor.net is None or not factor.net.autoregressive or numel(shape or ()) < 2:
            continue
        if factor.agnostic:
            yield _blind(subject, factor)
            continue
        with subject.draws(f"causality/{factor.name}"):
            values = first(parents_of(subject.drawn, factor, subject.rows), ROWS)
            base = base_of(subject.drawn.distribution(factor.name, values, ROWS))
            assert isinstance(base, Sequential)
            assert factor.ordering is not None
            ranks = rank_tensor(factor.ordering, tuple(base.like.shape)).to(base.like.device)
            value = base.draw()[0]
            leak, reach = influence(base, value, ranks, support_of(subject.drawn, factor))
        note = f"largest change of a raw number by an entry not before it, relative to the others; {reach}"
        yield at_most(f"causality:{factor.name}", leak, BOUND, POWER, note)


def _blind(subject: Subject, factor: Factor) -> Certificate:
    """Under `any`: the raw numbers do not change with what is hidden, and do with what is not."""
    with subject.draws(f"causality/{factor.name}"):
        values = first(parents_of(subject.drawn, factor, subject.rows), ROWS)
        base = base_of(subject.drawn.distribution(factor.name, values, ROWS))
        assert isinstance(base, AnyOrder)
        value = base.draw()[0]
        hidden = torch.rand(value.shape, device=value.device) < 0.5
        other = _other(value, support_of(subject.drawn, factor))
        raw = base.raw(value, hidden)
        leak = (base.raw(torch.where(hidden, other, value), hidden) - raw).abs().max()
        reach = (base.raw(torch.where(hidden, value, other), hidden) - raw).abs().max()
    note = "largest change of a raw number by hidden entries, relative to that by the others"
    worst = float(leak / reach) if float(reach) > 0 or not bool(hidden.any()) else float("inf")
    return at_most(f"causality:{factor.name}", worst, BOUND, POWER, note)


def influence(base: Sequential, value: Tensor, ranks: Tensor, support: Support) -> tuple[float, str]:
    """The largest forbidden change over the mean allowed one, and how many of the allowed ones are there.

    value [R, *shape], ranks [D]. Infinite where no entry depends on any other.
    """
    size, rows = ranks.numel(), value.shape[0]
    net = (
        base.net.net if isinstance(base.net, Ended) else base.net
    )  # what ends a row is certain, not computed
    raw = net(dict(base.values), value).flatten(2)  # [R, P, D]
    chunk = max(1, BUDGET // max(raw.numel(), 1))
    forbidden, allowed, active, pairs = 0.0, 0.0, 0, 0
    moved_entries = torch.linspace(0, size - 1, min(size, MOST), device=value.device).long()
    for part in torch.split(torch.argsort(ranks)[moved_entries], chunk):
        moved = as_vectors(tile(value, len(part)))  # [J * R, D]
        where = part.repeat_interleave(rows)
        moved.scatter_(1, where[:, None], _other(moved.gather(1, where[:, None]), support))
        read = {n: tile(v, len(part)) for n, v in base.values.items()}
        found = net(read, moved.view(-1, *value.shape[1:])).flatten(2)
        change = (found - tile(raw, len(part))).abs().amax(1).view(len(part), rows, size).amax(1)  # [J, D]
        later = ranks[None, :] > ranks[part][:, None]
        forbidden = max(forbidden, float(torch.where(later, 0.0, change).max()))
        allowed += float(change[later].sum())
        active += int((change[later] > 0).sum())
        pairs += int(later.sum())
    mean = allowed / max(active, 1)
    return (forbidden / mean if mean > 0 else float("inf")), f"{active} of {pairs} pairs of entries do depend"


def _other(entry: Tensor, support: Support) -> Tensor:
    """Another value of the support."""
    if support.integer:
        count = support.count
        return entry + 1 if count is None else (entry - int(support.low) + 1) % count + int(support.low)
    if support.low > -torch.inf and support.high < torch.inf:
        return support.low + support.high - entry + 0.01 * (support.high - support.low) * (entry == 0.5)
    return entry + 1.0
