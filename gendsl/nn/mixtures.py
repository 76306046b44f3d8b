"""Mixtures of distributions: log p(x) = log sum_k w_k p_k(x), over the whole vector or for each entry.

Raw numbers are the logits of the weights, then those of the components; copies of one distribution are computed
at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gendsl.nn.building import builder
from gendsl.nn.distributions import Drawn, Family
from gendsl.nn.levels import chosen
from gendsl.nn.transforms.stack import flat_sum
from gendsl.schema.components.dist_mixture import Mixture
from gendsl.schema.facts import Shape, Support, numel


class Group:
    """`count` copies of one family with parameters raw [N * count, ...], row by row."""

    def __init__(self, family: Family, raw: Tensor, count: int) -> None:
        self.family, self.raw, self.count = family, raw, count

    def sample(self, temperature: float) -> Tensor:
        """[N, count, *shape]."""
        drawn: Drawn = self.family(self.raw, temperature)
        return self._each(drawn.sample())

    def mean(self) -> Tensor:
        return self._each(self.family.mean(self.raw))

    def log_prob(self, value: Tensor, *, marginal: bool = False) -> Tensor:
        """[N, count, ...] of values [N, *shape]."""
        repeated = value.repeat_interleave(self.count, 0)
        family = self.family
        found = family.marginal(self.raw, repeated) if marginal else family(self.raw).log_prob(repeated)
        return self._each(found)

    def _each(self, value: Tensor) -> Tensor:
        return value.view(-1, self.count, *value.shape[1:])


class MixtureDistribution:
    """Groups of components under log weights, [N, K] or, for each entry, [N, K, *shape]."""

    def __init__(
        self, log_w: Tensor, groups: Sequence[Group], over_entries: bool, temperature: float
    ) -> None:
        self.log_w, self.groups, self.over_entries = log_w, groups, over_entries
        self.temperature = temperature

    @property
    def mean(self) -> Tensor:
        means = torch.cat([g.mean() for g in self.groups], 1)
        return (_spread(self.log_w.exp(), means) * means).sum(1)

    def rsample(self) -> Tensor:
        raise TypeError("samples of a mixture have no gradient: the choice of a component has none")

    @torch.no_grad()
    def sample(self) -> Tensor:
        values = torch.cat([g.sample(self.temperature) for g in self.groups], 1)
        which = _spread(chosen(self.log_w), values[:, :1])
        return values.gather(1, which.expand_as(values[:, :1]))[:, 0]

    def log_prob(self, value: Tensor) -> Tensor:
        """[N], or [N, *shape] for each entry."""
        each = torch.cat([self._of(g, value) for g in self.groups], 1)
        return torch.logsumexp(self.log_w + each, 1)

    def _of(self, group: Group, value: Tensor) -> Tensor:
        found = group.log_prob(value)
        return found if self.over_entries else flat_sum(found.flatten(0, 1)).view(found.shape[:2])

    def marginal(self, value: Tensor) -> Tensor:
        """log p of each entry by itself, [N, *shape]."""
        each = torch.cat([g.log_prob(value, marginal=True) for g in self.groups], 1)
        return torch.logsumexp(_spread(self.log_w, each) + each, 1)


def _spread(weights: Tensor, values: Tensor) -> Tensor:
    """Weights [N, K] as [N, K, 1, ...], to stand beside values [N, K, *shape]."""
    return weights.view(*weights.shape, *([1] * (values.dim() - weights.dim())))


class MixtureFamily(Family):
    """One family for each distribution that is written; copies share its free tensors."""

    reparameterised = False

    def __init__(self, spec: Mixture, shape: Shape, support: Support) -> None:
        super().__init__()
        self.joint = spec.over == "vector"
        own = [dist.raw(shape, support)[: None if self.joint else 1] for dist, _ in spec.parts()]
        self.parts = [(count, raw) for (_, count), raw in zip(spec.parts(), own, strict=True)]
        built = [builder(dist)(dist, shape, dist.support(support)) for dist, _ in spec.parts()]
        self.components = nn.ModuleList(built)
        self.total = sum(count for count, _ in self.parts)

    def start(self, raw: Shape) -> Tensor:
        """Equal weights; components apart, each where its family puts standard normal numbers."""
        return self._begin(torch.randn(raw), None)

    def start_at(self, raw: Tensor, rows: Tensor) -> Tensor:
        """Equal weights; each component around a row of [N, *shape], no two around one while there are enough."""
        order = torch.randperm(len(rows), device=rows.device)
        chosen = rows[order[torch.arange(self.total, device=rows.device) % len(rows)]]
        return self._begin(torch.randn_like(raw), chosen.to(raw.dtype))

    def _begin(self, found: Tensor, rows: Tensor | None) -> Tensor:
        """Raw numbers from standard normal ones, in place."""
        found[: self.total] = 0.0
        done, first = self.total, 0
        for family, (count, own) in zip(self.components, self.parts, strict=True):
            assert isinstance(family, Family)
            wide = count * numel(own)
            if self.joint:
                part = family.apart(found[done : done + wide].view(count, *own))
                if rows is not None:
                    part = family.around(part, rows[first : first + count])
                found[done : done + wide] = part.flatten()
            done, first = done + wide, first + count
        return found

    def forward(self, raw: Tensor, temperature: float = 1.0) -> MixtureDistribution:
        log_w = torch.log_softmax(raw[:, : self.total] / temperature, 1)
        groups, done = [], self.total
        for family, (count, own) in zip(self.components, self.parts, strict=True):
            assert isinstance(family, Family)
            wide = count * numel(own)
            part = raw[:, done : done + wide]
            part = part.reshape(-1, *own, *([] if self.joint else part.shape[2:]))
            groups.append(Group(family, part, count))
            done += wide
        return MixtureDistribution(log_w, groups, not self.joint, temperature)

    def marginal(self, raw: Tensor, value: Tensor) -> Tensor:
        return self.forward(raw).marginal(value)


def build_mixture(spec: Mixture, shape: Shape, support: Support) -> Family:
    return MixtureFamily(spec, shape, support)
