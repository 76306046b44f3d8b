"""The densities of single entries, each given the entries before it, and numeric integrals over them.

A factor without flow is a product over its entries, given the parents, or given the entries before it in the
order; its raw numbers at a value say what each entry's distribution is. Integrals over one entry are sums
over nodes x_j with weights w_j: all values of a finite support, the first values of an infinite one, or
double-exponential nodes (Takahasi and Mori 1974) x = g(t), t equally spaced, which resolve singular ends and
heavy tails.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gendsl.compiler.graph import Factor
from gendsl.compiler.passes.supports import base_support
from gendsl.nn.distributions import Family
from gendsl.nn.factor import Conditioned, Flowed, Plain, Sequential, tile
from gendsl.nn.model import Model
from gendsl.runtime.verify.subject import Subject
from gendsl.schema.components.dist import Dist
from gendsl.schema.components.dist_vamp import Vamp
from gendsl.schema.facts import Density, Support

T_MAX, T_HIGH = 4.0, 3.0
"""Ends of t; at an upper end of an interval, above T_HIGH, values would round to the end itself."""
NODES = 281
FINER = 16
"""Sets of nodes between each other's, where one set does not resolve a density: a kink, a narrow component."""
MOST_STATES = 4096
SETTLED = 1e-5
BUDGET = 2_000_000
"""Numbers that are held at once."""


@dataclass(frozen=True)
class Entries:
    """The distributions of single entries: `raw` [R, P, *shape] of a family on `support`.

    Of a joint density the marginal ones, where they are known."""

    family: Family
    raw: Tensor
    support: Support

    def at(self, x: Tensor) -> Tensor:
        """log density of every entry at each of its J nodes: x [J, R, *shape] -> the same shape."""
        chunk = max(1, BUDGET // max(self.raw.numel(), 1))
        parts = []
        for part in torch.split(x, chunk):
            raw = tile(self.raw, part.shape[0])
            found = self.family.marginal(raw, part.reshape(-1, *x.shape[2:]))
            parts.append(found.view(part.shape))
        return torch.cat(parts)

    def nodes(self) -> tuple[Tensor, Tensor]:
        """x and log w, both [J, R, *shape]."""
        return next(self.grids(1))

    def grids(self, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """x and log w of `count` sets of nodes between each other's: the mean of their sums is that of a grid as
        many times finer, which a density with a kink needs. A discrete support has one.
        """
        draws = self.family(tile(self.raw, 65)).sample()
        draws = draws.view(65, -1, *draws.shape[1:]).to(self.raw.dtype)
        for i in range(1 if self.support.integer else count):
            yield nodes(self.support, draws, i / count)


def masses(entries: Entries) -> tuple[Tensor, Tensor]:
    """The integral of every entry's density, and where its mass can be seen: [R, *shape] each.

    By one set of nodes, or, where that says something else than one, by many.
    """
    total, seen = _masses(entries, 1)
    if entries.support.integer or bool(((total - 1).abs()[seen] < SETTLED).all()):
        return total, seen
    return _masses(entries, FINER)


def _masses(entries: Entries, count: int) -> tuple[Tensor, Tensor]:
    """The same by `count` sets of nodes, of which a discrete support has one."""
    totals, seen = [], []
    for x, log_w in entries.grids(count):
        log_p = entries.at(x)
        totals.append(torch.exp(torch.logsumexp(log_p + log_w, 0)))
        seen.append(resolved(log_p, log_w) | entries.support.integer)
    return torch.stack(totals).mean(0), torch.stack(seen).all(0)


def base_of(conditioned: Conditioned) -> Conditioned:
    """Without the flow on top."""
    return conditioned.base if isinstance(conditioned, Flowed) else conditioned


def own_density(factor: Factor) -> bool:
    """Whether the factor's own distribution, beneath any flow, has a density."""
    return factor.dist is not None and factor.dist.density is not Density.NONE


def entries_of(model: Model, factor: Factor, conditioned: Conditioned, value: Tensor) -> Entries:
    """Every entry's distribution at a value [R, *shape] (which matters to an autoregressive factor only)."""
    base = base_of(conditioned)
    assert isinstance(base, Plain | Sequential)
    raw = base.raw if isinstance(base, Plain) else base.net(dict(base.values), value)
    return Entries(base.family, raw, support_of(model, factor))


def support_of(model: Model, factor: Factor) -> Support:
    """Where the values of the factor's own distribution lie, beneath any flow."""
    outer = model.graph.variables[factor.head].support
    assert outer is not None
    inner = base_support(model.graph, factor, outer)
    assert isinstance(inner, Support)
    assert isinstance(factor.dist, Dist)
    return factor.dist.support(inner)


def nodes(support: Support, draws: Tensor, shift: float = 0.0) -> tuple[Tensor, Tensor]:
    """Nodes and log weights of an integral over `support`, [J, ...]; draws [S, ...] say where the mass is.

    `shift`: all nodes of a continuous support lie so many spacings of t further on.
    """
    if support.integer:
        low = int(support.low)
        count = support.count or min(MOST_STATES, 2 * int(draws.max()) - 2 * low + 60)
        x = torch.arange(low, low + count, dtype=draws.dtype, device=draws.device)
        x = x.view(-1, *([1] * (draws.dim() - 1))).expand(-1, *draws.shape[1:])
        return x, torch.zeros_like(x)
    last = T_HIGH if math.isfinite(support.high) else T_MAX
    t = torch.linspace(-T_MAX, last, NODES, dtype=torch.float64, device=draws.device)
    t = t + shift * (T_MAX + last) / (NODES - 1)
    t = t.view(-1, *([1] * (draws.dim() - 1))).expand(-1, *draws.shape[1:])
    s, log_ds = 0.5 * math.pi * torch.sinh(t), torch.log(0.5 * math.pi * torch.cosh(t))
    log_w = log_ds + math.log((T_MAX + last) / (NODES - 1))
    if math.isfinite(support.low) and math.isfinite(support.high):
        width = support.high - support.low
        x = torch.where(
            s < 0, support.low + width * torch.sigmoid(2 * s), support.high - width * torch.sigmoid(-2 * s)
        )
        log_dx = (
            math.log(2 * width) - torch.nn.functional.softplus(2 * s) - torch.nn.functional.softplus(-2 * s)
        )
    elif math.isfinite(support.low):
        middle = (draws - support.low).median(0).values.clamp(min=1e-12)
        x = support.low + middle * torch.exp(s)
        log_dx = torch.log(middle) + s
    else:
        x, scale = _centred(draws, s)
        log_dx = torch.log(scale) + torch.log(torch.cosh(s))
    return x.to(draws.dtype), log_w + log_dx


def _centred(draws: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """x = centre + scale sinh(s), by the median and the spread of the draws."""
    centre, scale = spread(draws)
    return centre + scale * torch.sinh(s), scale


def spread(draws: Tensor) -> tuple[Tensor, Tensor]:
    """Median and 1.48 times the median distance from it, over the first dimension."""
    centre = draws.median(0).values
    return centre, (1.4826 * (draws - centre).abs().median(0).values).clamp(min=1e-9)


def resolved(log_p: Tensor, log_w: Tensor) -> Tensor:
    """Entries whose mass does not lie at the ends of the nodes, where it cannot be seen; [R, *shape]."""
    ends = torch.maximum((log_p + log_w)[0], (log_p + log_w)[-1])
    return ends < math.log(1e-7)


def certified_factors(subject: Subject) -> list[Factor]:
    """Factors with entries to look at: all that have a distribution of their own with a density."""
    found = (f for f in subject.graph.factors.values() if own_density(f) and not f.agnostic)
    return [f for f in found if not isinstance(f.dist, Vamp)]


def marginals(factor: Factor) -> bool:
    """Whether the density of each entry is known: of a joint density it need not be."""
    return factor.dist is not None and factor.dist.marginals
