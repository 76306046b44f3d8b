"""Families of distributions: raw numbers -> parameters -> torch.distributions.

Raw tensors are `[N, P, *shape]`, or of a joint density of all entries `[N, P]`; zeros mean the standard
distribution. What each family offers is stated by its spec model (`gendsl.schema.components.dist`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
import torch.distributions as td
import torch.nn.functional as F
from torch import Tensor, nn

from gendsl.schema.components.dist import (
    Bernoulli,
    Beta,
    Categorical,
    ContinuousBernoulli,
    Gamma,
    Laplace,
    LocationScale,
    Logistic,
    Pointwise,
    Poisson,
    StudentT,
    Uniform,
)
from gendsl.schema.facts import REAL, Shape, Support

MIN_SCALE = 1e-3
"""The floor of every scale and concentration (docs/semantics.md, section 2)."""

LOGIT_OF_ONE = math.log(math.expm1(1.0 - MIN_SCALE))
"""softplus of this, plus the floor, is 1: a raw zero is a scale of one."""


FREE_GAIN = 4.0
"""The scale that no parent moves is a function of four times its raw number: steps of Adam are lengths in that number,
and from 1 to 0.1 is far at the rate of weights.
"""

NEARBY = 0.1
"""How far from the rows that they begin at the components of a mixture are, so that two at one row part."""

SMALL_LOGIT = 0.02
"""Below this the continuous Bernoulli is taken from its series around zero."""


class Drawn(Protocol):
    """What a factor needs of a distribution; torch.distributions' classes have it."""

    def rsample(self) -> Tensor: ...
    def sample(self) -> Tensor: ...
    def log_prob(self, value: Tensor) -> Tensor: ...


class Family(nn.Module):
    """raw [N, P, *shape] -> distribution with batch shape [N, *shape]; `free` are tensors that no parent moves."""

    reparameterised = True
    joint = False
    """Whether log_prob is one density of several entries, with fewer numbers than entries: [N], or [N, H, W]."""

    def __init__(self, free: dict[str, Shape] | None = None) -> None:
        super().__init__()
        self.free = nn.ParameterDict({k: nn.Parameter(torch.zeros(s)) for k, s in (free or {}).items()})

    def forward(self, raw: Tensor, temperature: float = 1.0) -> Drawn:
        """The distribution; `temperature` below 1 makes samples less spread (discrete logits and scales only)."""
        raise TypeError(f"{type(self).__name__} is abstract")

    def entry(self, index: int | Tensor) -> Callable[[Tensor, float], Drawn]:
        """The family of one flattened entry alone, or of another one in each row, [N] of places.

        raw [N, P], temperature -> distribution of [N].
        """
        return self

    def mean(self, raw: Tensor) -> Tensor:
        """The mean of each entry, [N, *shape]."""
        mean: Tensor = self(raw).mean
        return mean

    def marginal(self, raw: Tensor, value: Tensor) -> Tensor:
        """log p of each entry by itself, [N, *shape]. Raises TypeError where it has no closed form."""
        found: Tensor = self(raw).log_prob(value)
        return found

    def start(self, raw: Shape) -> Tensor:
        """Raw numbers at which a factor without net begins to learn."""
        return torch.zeros(raw)

    def apart(self, noise: Tensor) -> Tensor:
        """Raw numbers at which the components of a mixture begin, from standard normal ones [K, P, *shape]."""
        return noise

    def around(self, raw: Tensor, value: Tensor) -> Tensor:
        """Raw numbers [K, P, *shape] of distributions around values [K, *shape], where the family has such: of a
        mixture whose components begin at rows of data, `raw` being those at which they stand apart.
        """
        return raw


def positive(raw: Tensor) -> Tensor:
    """A positive number, at least the floor, 1 at raw 0."""
    return F.softplus(raw + LOGIT_OF_ONE) + MIN_SCALE


def onto(support: Support, raw: Tensor) -> Tensor:
    """Reals onto the support, entry by entry: sigmoid for an interval, softplus for a half line."""
    low, high = support.low, support.high
    if math.isfinite(low) and math.isfinite(high):
        return low + (high - low) * torch.sigmoid(raw)
    if math.isfinite(low):
        return low + F.softplus(raw)
    return high - F.softplus(raw) if math.isfinite(high) else raw


class LocationScaleFamily(Family):
    """loc and scale of a location-scale family, by the rule of `scale`."""

    def __init__(self, spec: LocationScale, shape: Shape, make: Callable[[Tensor, Tensor], Drawn]) -> None:
        super().__init__(spec.free(shape))
        self.rule = spec.scale
        self.make = make

    def forward(self, raw: Tensor, temperature: float = 1.0) -> Drawn:
        loc = raw[:, 0]
        return self.make(loc, self.scale(raw) * temperature)

    def scale(self, raw: Tensor) -> Tensor:
        """The scale, broadcastable to [N, *shape]."""
        if self.rule == "learned":
            return positive(raw[:, 1])
        if self.rule in ("shared", "per_dimension"):
            return positive(FREE_GAIN * self.free["scale"]).expand_as(raw[:, 0])
        value = 1.0 if self.rule == "fixed" else float(self.rule)
        return raw.new_full((), value).expand_as(raw[:, 0])

    def entry(self, index: int | Tensor) -> Callable[[Tensor, float], Drawn]:
        if self.rule != "per_dimension":
            return self

        def alone(raw: Tensor, temperature: float) -> Drawn:
            scale = positive(FREE_GAIN * self.free["scale"].flatten()[index])
            return self.make(raw[:, 0], scale.expand_as(raw[:, 0]) * temperature)

        return alone

    def mean(self, raw: Tensor) -> Tensor:
        return raw[:, 0]

    def around(self, raw: Tensor, value: Tensor) -> Tensor:
        """Locations near the values; a learned scale is 1."""
        return torch.cat([(value + NEARBY * raw[:, 0]).unsqueeze(1), torch.zeros_like(raw[:, 1:])], 1)


def build_laplace(spec: Laplace, shape: Shape, support: Support) -> Family:
    return LocationScaleFamily(spec, shape, lambda loc, scale: td.Laplace(loc, scale, validate_args=False))


def build_student_t(spec: StudentT, shape: Shape, support: Support) -> Family:
    df = spec.df

    def make(loc: Tensor, scale: Tensor) -> Drawn:
        return td.StudentT(torch.full_like(loc, df), loc, scale, validate_args=False)

    return LocationScaleFamily(spec, shape, make)


class LogisticDistribution:
    """Logistic(loc, scale): log p = -y - 2 softplus(-y) - log scale, y = (x - loc) / scale."""

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = loc, scale
        self.mean = loc

    def rsample(self) -> Tensor:
        tiny = torch.finfo(self.loc.dtype).tiny
        u = torch.rand_like(self.loc).clamp(min=tiny, max=1 - torch.finfo(self.loc.dtype).eps / 2)
        return self.loc + self.scale * (torch.log(u) - torch.log1p(-u))

    def sample(self) -> Tensor:
        with torch.no_grad():
            return self.rsample()

    def log_prob(self, value: Tensor) -> Tensor:
        y = (value - self.loc) / self.scale
        return -y - 2 * F.softplus(-y) - torch.log(self.scale)


def build_logistic(spec: Logistic, shape: Shape, support: Support) -> Family:
    return LocationScaleFamily(spec, shape, LogisticDistribution)


class UniformFamily(Family):
    """Uniform on [low, high]; raw has no numbers and only says how many rows there are."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, raw: Tensor, temperature: float = 1.0) -> Drawn:
        low = raw.new_full((raw.shape[0], *raw.shape[2:]), self.low)
        return _ClosedUniform(low, low + (self.high - self.low), validate_args=False)


class _ClosedUniform(td.Uniform):
    """Uniform whose density counts both ends."""

    def log_prob(self, value: Tensor) -> Tensor:
        inside = (value >= self.low) & (value <= self.high)
        return torch.where(inside, -torch.log(self.high - self.low), -torch.inf)


def build_uniform(spec: Uniform, shape: Shape, support: Support) -> Family:
    return UniformFamily(spec.low, spec.high)


class BernoulliFamily(Family):
    """Bernoulli by logits; log p is the cross-entropy with logits."""

    reparameterised = False

    def forward(self, raw: Tensor, temperature: float = 1.0) -> td.Bernoulli:
        return td.Bernoulli(logits=raw[:, 0] / temperature, validate_args=False)

    def around(self, raw: Tensor, value: Tensor) -> Tensor:
        """Each value with a probability of about 0.73."""
        return (2 * value - 1).unsqueeze(1) + NEARBY * raw


def build_bernoulli(spec: Bernoulli, shape: Shape, support: Support) -> Family:
    return BernoulliFamily()


class ContinuousBernoulliDistribution:
    """p(x) = exp(l x) l / (e^l - 1) on [0, 1], with the logit l (Loaiza-Ganem and Cunningham 2019, eq. 1).

    Written in a = |l|: log p = -a y + log a - log(1 - e^-a), y = 1 - x for l > 0 and x otherwise. torch's own
    class takes the constant from clamped probabilities, and is not normalised where |l| > 16 in float32.
    """

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits

    def _safe(self) -> tuple[Tensor, Tensor]:
        """|l|, kept away from zero, and where it is too small for the formulas."""
        a = self.logits.abs()
        small = a < SMALL_LOGIT
        return torch.where(small, torch.ones_like(a), a), small

    def log_prob(self, value: Tensor) -> Tensor:
        a, small = self._safe()
        far = torch.log(a) - torch.log(-torch.expm1(-a))
        square = self.logits.square()
        near = square * (-1 / 24 + square / 2880)  # log of (l / 2) / sinh(l / 2)
        from_end = torch.where(self.logits > 0, 1 - value, value)
        return torch.where(small, self.logits * (value - 0.5) + near, far - self.logits.abs() * from_end)

    @property
    def mean(self) -> Tensor:
        """1 / (1 - e^-l) - 1 / l."""
        a, small = self._safe()
        low = 1 / a - 1 / torch.expm1(a)  # of logit -a
        far = torch.where(self.logits > 0, 1 - low, low)
        return torch.where(small, 0.5 + self.logits * (1 / 12 - self.logits.square() / 720), far)

    def rsample(self) -> Tensor:
        """The inverse of the distribution function at a uniform number."""
        a, small = self._safe()
        u = torch.rand_like(a)
        low = -torch.log1p(u * torch.expm1(-a)) / a
        far = torch.where(self.logits > 0, 1 - low, low)
        near = u + 0.5 * self.logits * u * (1 - u)
        return torch.where(small, near, far).clamp(0, 1)

    def sample(self) -> Tensor:
        with torch.no_grad():
            return self.rsample()


class ContinuousBernoulliFamily(Family):
    """Continuous Bernoulli by logits."""

    def forward(self, raw: Tensor, temperature: float = 1.0) -> ContinuousBernoulliDistribution:
        return ContinuousBernoulliDistribution(raw[:, 0])


def build_continuous_bernoulli(spec: ContinuousBernoulli, shape: Shape, support: Support) -> Family:
    return ContinuousBernoulliFamily()


class CategoricalFamily(Family):
    """Categorical by logits along raw's second axis."""

    reparameterised = False

    def forward(self, raw: Tensor, temperature: float = 1.0) -> td.Categorical:
        return td.Categorical(logits=raw.movedim(1, -1) / temperature, validate_args=False)

    def mean(self, raw: Tensor) -> Tensor:
        """The expected value: the mean of an ordinal, the mean index of a label."""
        weights = torch.softmax(raw, 1)
        values = torch.arange(raw.shape[1], dtype=raw.dtype, device=raw.device)
        return torch.einsum("np...,p->n...", weights, values)

    def around(self, raw: Tensor, value: Tensor) -> Tensor:
        """The logit of each value is higher by 2."""
        return 2 * F.one_hot(value.long(), raw.shape[1]).movedim(-1, 1).to(raw.dtype) + NEARBY * raw


def build_categorical(spec: Categorical, shape: Shape, support: Support) -> Family:
    return CategoricalFamily()


class PoissonFamily(Family):
    """Poisson with rate exp(raw)."""

    reparameterised = False

    def forward(self, raw: Tensor, temperature: float = 1.0) -> td.Poisson:
        return td.Poisson(torch.exp(raw[:, 0]), validate_args=False)


def build_poisson(spec: Poisson, shape: Shape, support: Support) -> Family:
    return PoissonFamily()


class TwoPositive(Family):
    """A family with two positive parameters, each 1 at raw 0."""

    def __init__(self, make: Callable[[Tensor, Tensor], td.Distribution]) -> None:
        super().__init__()
        self.make = make

    def forward(self, raw: Tensor, temperature: float = 1.0) -> td.Distribution:
        return self.make(positive(raw[:, 0]), positive(raw[:, 1]))


def build_beta(spec: Beta, shape: Shape, support: Support) -> Family:
    return TwoPositive(lambda a, b: td.Beta(a, b, validate_args=False))


def build_gamma(spec: Gamma, shape: Shape, support: Support) -> Family:
    return TwoPositive(lambda a, b: td.Gamma(a, b, validate_args=False))


class Dirac:
    """All mass at one point; it has no density."""

    def __init__(self, value: Tensor) -> None:
        self.mean = value

    def rsample(self) -> Tensor:
        return self.mean

    def sample(self) -> Tensor:
        return self.mean.detach()

    def log_prob(self, value: Tensor) -> Tensor:
        raise TypeError("a Dirac has no density")


class DiracFamily(Family):
    """The net's output, mapped onto the support."""

    def __init__(self, support: Support) -> None:
        super().__init__()
        self.support = support

    def forward(self, raw: Tensor, temperature: float = 1.0) -> Dirac:
        return Dirac(onto(self.support, raw[:, 0]))


def build_deterministic(spec: Pointwise, shape: Shape, support: Support) -> Family:
    return DiracFamily(support if support is not None else REAL)
