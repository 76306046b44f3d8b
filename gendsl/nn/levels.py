"""Discretized logistics: integer levels as bins of a logistic on [-1, 1], and mixtures of them.

With half the width of a bin h = 1 / (L - 1), the middle m_v = 2 v h - 1, a = (m_v - h - loc) / scale and
b = (m_v + h - loc) / scale, the bins at the ends taking the tails (Kingma et al. 2016; Salimans et al. 2017, eq. 2):

    P(v) = s(b) - s(a) = s(b) s(-a) (1 - exp(a - b)),

whose logarithm has no cancellation wherever the bin lies.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gendsl.nn.distributions import Family, LocationScaleFamily, positive
from gendsl.schema.components.dist_levels import DiscretizedLogistic, MixtureOfLogistics
from gendsl.schema.facts import Shape, Support

CHUNK = 64
"""Edges of bins that are looked at together."""


def middles(value: Tensor, levels: int, dtype: torch.dtype) -> Tensor:
    """Levels as numbers on [-1, 1]."""
    return value.to(dtype) * (2.0 / (levels - 1)) - 1.0


def bin_log_prob(value: Tensor, loc: Tensor, scale: Tensor, levels: int) -> Tensor:
    """log P of integer levels, broadcast against loc and scale."""
    half = 1.0 / (levels - 1)
    off = middles(value, levels, loc.dtype) - loc
    below, above = F.logsigmoid((off + half) / scale), F.logsigmoid((half - off) / scale)
    width = torch.log(-torch.expm1(-2 * half / scale))
    zero = torch.zeros((), dtype=loc.dtype, device=loc.device)
    inside = torch.where((value > 0) & (value < levels - 1), width, zero)
    return torch.where(value < levels - 1, below, zero) + torch.where(value > 0, above, zero) + inside


def bin_sample(loc: Tensor, scale: Tensor, levels: int) -> Tensor:
    """A logistic draw in the level of its bin, as integers in floating point."""
    finest = torch.finfo(loc.dtype)
    u = torch.rand_like(loc).clamp(finest.tiny, 1 - finest.eps / 2)
    x = loc + scale * (torch.log(u) - torch.log1p(-u))
    return ((x + 1.0) * (0.5 * (levels - 1))).round().clamp(0, levels - 1)


def bin_mean(loc: Tensor, scale: Tensor, levels: int) -> Tensor:
    """E[v] = sum over v >= 1 of P(level >= v)."""
    half, total = 1.0 / (levels - 1), torch.zeros_like(loc)
    edges = (2 * torch.arange(levels - 1, dtype=loc.dtype, device=loc.device) + 1) * half - 1.0
    for part in torch.split(edges, CHUNK):
        edge = part.view(-1, *([1] * loc.dim()))
        total = total + torch.sigmoid((loc - edge) / scale).sum(0)
    return total


class DiscretizedLogisticDistribution:
    """Independent entries with loc and scale [N, *shape]."""

    def __init__(self, loc: Tensor, scale: Tensor, levels: int) -> None:
        self.loc, self.scale, self.levels = loc, scale, levels

    @property
    def mean(self) -> Tensor:
        return bin_mean(self.loc, self.scale, self.levels)

    def rsample(self) -> Tensor:
        raise TypeError("samples of a discretized logistic have no gradient")

    @torch.no_grad()
    def sample(self) -> Tensor:
        return bin_sample(self.loc, self.scale, self.levels)

    def log_prob(self, value: Tensor) -> Tensor:
        return bin_log_prob(value, self.loc, self.scale, self.levels)


class DiscretizedLogisticFamily(LocationScaleFamily):
    """A location-scale family in the units of [-1, 1]; its mean is in levels."""

    reparameterised = False

    def __init__(self, spec: DiscretizedLogistic, shape: Shape, levels: int) -> None:
        super().__init__(spec, shape, lambda loc, scale: DiscretizedLogisticDistribution(loc, scale, levels))

    def mean(self, raw: Tensor) -> Tensor:
        mean: Tensor = self(raw).mean
        return mean


def build_discretized_logistic(spec: DiscretizedLogistic, shape: Shape, support: Support) -> Family:
    return DiscretizedLogisticFamily(spec, shape, _levels(support))


class LogisticMixture:
    """For each entry: log weights, loc and scale [N, K, *shape]."""

    def __init__(self, log_w: Tensor, loc: Tensor, scale: Tensor, levels: int) -> None:
        self.log_w, self.loc, self.scale, self.levels = log_w, loc, scale, levels

    @property
    def mean(self) -> Tensor:
        return (self.log_w.exp() * bin_mean(self.loc, self.scale, self.levels)).sum(1)

    def rsample(self) -> Tensor:
        raise TypeError("samples of a mixture of logistics have no gradient")

    @torch.no_grad()
    def sample(self) -> Tensor:
        which = chosen(self.log_w)
        loc, scale = self.loc.gather(1, which), self.scale.gather(1, which)
        return bin_sample(loc, scale, self.levels)[:, 0]

    def log_prob(self, value: Tensor) -> Tensor:
        each = bin_log_prob(value[:, None], self.loc, self.scale, self.levels)
        return torch.logsumexp(self.log_w + each, 1)


class CoupledLogisticMixture:
    """For each pixel of three channels: log weights [N, K, H, W], loc and scale [N, K, 3, H, W], three slopes.

    Salimans et al. 2017, eq. 3; log_prob is [N, H, W].
    """

    def __init__(self, log_w: Tensor, loc: Tensor, scale: Tensor, slopes: Tensor, levels: int) -> None:
        self.log_w, self.loc, self.scale, self.slopes, self.levels = log_w, loc, scale, slopes, levels

    def shifted(self, x: Tensor) -> Tensor:
        """loc of each component given the channels before, x [N, 1 or K, 3, H, W] on [-1, 1]."""
        a, b, c = self.slopes.unbind(2)
        red, green = x[:, :, 0], x[:, :, 1]
        zero = torch.zeros_like(a * red)
        return self.loc + torch.stack([zero, a * red, b * red + c * green], 2)

    @property
    def mean(self) -> Tensor:
        """Earlier channels at their means: exact but for the clipping at both ends."""
        x, found = torch.zeros_like(self.loc), torch.zeros_like(self.loc)
        for _ in range(3):
            found = bin_mean(self.shifted(x), self.scale, self.levels)
            x = middles(found, self.levels, self.loc.dtype)
        return (self.log_w.exp()[:, :, None] * found).sum(1)

    def rsample(self) -> Tensor:
        raise TypeError("samples of a mixture of logistics have no gradient")

    @torch.no_grad()
    def sample(self) -> Tensor:
        which = chosen(self.log_w)[:, :, None].expand(-1, -1, 3, -1, -1)
        loc, scale, slopes = (t.gather(1, which) for t in (self.loc, self.scale, self.slopes))
        picked = CoupledLogisticMixture(self.log_w, loc, scale, slopes, self.levels)
        value = torch.zeros_like(picked.loc)
        for i in range(3):
            loc = picked.shifted(middles(value, self.levels, value.dtype))[:, :, i]
            value[:, :, i] = bin_sample(loc, picked.scale[:, :, i], self.levels)
        return value[:, 0]

    def log_prob(self, value: Tensor) -> Tensor:
        value = value[:, None]
        loc = self.shifted(middles(value, self.levels, self.loc.dtype))
        each = bin_log_prob(value, loc, self.scale, self.levels).sum(2)
        return torch.logsumexp(self.log_w + each, 1)


def chosen(log_w: Tensor) -> Tensor:
    """One component for each place, [N, 1, *shape], of log weights [N, K, *shape]."""
    noise = torch.empty_like(log_w).exponential_()
    return (log_w - noise.log()).argmax(1, keepdim=True)


class MixtureOfLogisticsFamily(Family):
    """Raw zeros are equal weights and components spread evenly over the levels, each as wide as its share."""

    reparameterised = False

    def __init__(self, spec: MixtureOfLogistics, levels: int) -> None:
        super().__init__()
        self.count, self.levels, self.joint = spec.components, levels, spec.coupled

    def forward(self, raw: Tensor, temperature: float = 1.0) -> LogisticMixture | CoupledLogisticMixture:
        k = self.count
        if self.joint:
            numbers = raw[:, k:].reshape(-1, k, 9, *raw.shape[2:])
            logits, loc, scale = raw[:, :k], numbers[:, :, :3], numbers[:, :, 3:6]
        else:
            logits, loc, scale = raw[:, :k], raw[:, k : 2 * k], raw[:, 2 * k :]
        start = (2 * torch.arange(k, dtype=raw.dtype, device=raw.device) + 1) / k - 1
        loc = loc + start.view(1, -1, *([1] * (loc.dim() - 2)))
        scale = positive(scale) * (temperature / k)
        log_w = torch.log_softmax(logits / temperature, 1)
        if not self.joint:
            return LogisticMixture(log_w, loc, scale, self.levels)
        return CoupledLogisticMixture(log_w, loc, scale, torch.tanh(numbers[:, :, 6:]), self.levels)

    def marginal(self, raw: Tensor, value: Tensor) -> Tensor:
        if self.joint:
            raise TypeError("the density of one channel has no closed form where the channels are coupled")
        return super().marginal(raw, value)


def build_mixture_of_logistics(spec: MixtureOfLogistics, shape: Shape, support: Support) -> Family:
    return MixtureOfLogisticsFamily(spec, _levels(support))


def _levels(support: Support) -> int:
    assert support.count is not None
    return support.count
