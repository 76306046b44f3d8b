"""Critics, their losses, and what keeps them smooth.

D(R) and D(F) are the critic's numbers [N] on real and fake tuples; losses are means over rows. For the logistic losses
D in the formulas is the sigmoid of that number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gendsl.nn.augmentation import Augmentation
from gendsl.nn.rows import as_vectors
from gendsl.nn.transforms.stack import widened
from gendsl.schema.components.adversary import (
    R1,
    R2,
    Clip,
    GradientPenalty,
    Hinge,
    LeastSquares,
    NonSaturating,
    Saturating,
    Spectral,
    Wasserstein,
)

Tuples = dict[str, Tensor]


class Projection(nn.Module):
    """v(y)' f of a label y and features f, v(y) one learned vector for each value (Miyato and Koyama 2018, eq. 3).

    Of a pack, the sum over its tuples, each with vectors of its own. Weights of the values in place of a value give the
    same mixture of vectors.
    """

    def __init__(self, name: str, low: int, values: int, pack: int, features: int) -> None:
        super().__init__()
        self.name, self.low, self.values = name, low, values
        self.table = nn.Linear(pack * values, features, bias=False)

    def forward(self, label: Tensor, features: Tensor) -> Tensor:
        """[N], [N, pack] or weights [N, ..., values], and features [N, H] -> [N]."""
        weights = label if label.is_floating_point() else F.one_hot(label.long() - self.low, self.values)
        vectors = self.table(weights.to(self.table.weight.dtype).flatten(1))
        product: Tensor = vectors * features
        return product.sum(1)


class CriticModule(nn.Module):
    """Seen variables -> one number for each row; `features` is the last hidden layer.

    `labels` is the width of the second head, which tells a label (0: there is none); `augment` what its tuples go
    through before they are judged; `projection` what adds a label's inner product with the features to the number.
    """

    def __init__(
        self,
        body: nn.Module,
        features: int,
        sees: tuple[str, ...],
        labels: int = 0,
        augment: Augmentation | None = None,
        projection: Projection | None = None,
    ) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(features, 1)
        self.labels = nn.Linear(features, labels) if labels else None
        self.augment = augment
        self.projection = projection
        self.sees = sees

    @property
    def projected(self) -> str | None:
        """The label that the body does not read."""
        return self.projection.name if self.projection is not None else None

    def features(self, values: Tuples) -> Tensor:
        """The last hidden layer, [N, H]."""
        hidden: Tensor = self.body({n: values[n] for n in self.sees if n != self.projected})
        return as_vectors(hidden)

    def forward(self, values: Tuples, head: str = "number") -> Tensor:
        """D of each tuple, [N], or the logits of its label, [N, labels]."""
        features = self.features(values)
        if head == "labels":
            assert self.labels is not None
            return widened(self.labels(features))
        number = self.head(features).squeeze(1)
        if self.projection is not None:
            number = number + self.projection(values[self.projection.name], features)
        return widened(number)


class Judge(Protocol):
    """A critic as the terms call it: the module itself, or the module with other weights."""

    def __call__(self, values: Tuples, head: str = "number") -> Tensor: ...


@dataclass(frozen=True)
class LossFunctions:
    """The three parts of an adversary's loss, each from numbers [N] to a mean."""

    critic: Callable[[Tensor, Tensor, float], Tensor]
    """(D(R), D(F), smoothing) -> what the critic minimises."""
    fake: Callable[[Tensor], Tensor]
    """D(F) -> what the makers of F minimise."""
    real: Callable[[Tensor], Tensor]
    """D(R) -> what the makers of R minimise."""


def _logistic(real: Tensor, fake: Tensor, smoothing: float) -> Tensor:
    known = (1 - smoothing) * F.softplus(-real).mean() + smoothing * F.softplus(real).mean()
    return known + F.softplus(fake).mean()


def build_non_saturating(spec: NonSaturating) -> LossFunctions:
    return LossFunctions(_logistic, lambda f: F.softplus(-f).mean(), lambda r: F.softplus(r).mean())


def build_saturating(spec: Saturating) -> LossFunctions:
    return LossFunctions(_logistic, lambda f: -F.softplus(f).mean(), lambda r: -F.softplus(-r).mean())


def build_wasserstein(spec: Wasserstein) -> LossFunctions:
    return LossFunctions(lambda r, f, _: f.mean() - r.mean(), lambda f: -f.mean(), lambda r: r.mean())


def build_hinge(spec: Hinge) -> LossFunctions:
    return LossFunctions(
        lambda r, f, _: F.relu(1 - r).mean() + F.relu(1 + f).mean(), lambda f: -f.mean(), lambda r: r.mean()
    )


def build_least_squares(spec: LeastSquares) -> LossFunctions:
    return LossFunctions(
        lambda r, f, _: (r - 1).square().mean() + f.square().mean(),
        lambda f: (f - 1).square().mean(),
        lambda r: r.square().mean(),
    )


PenaltyFunction = Callable[[Judge, Tuples, Tuples, int], Tensor | None]
"""(critic, R, F, critic step) -> the penalty before its weight; None where this step has none."""


def _moving(values: Tuples) -> Tuples:
    """Values that gradients can be taken at; integers stay as they are."""
    return {
        k: v.detach().requires_grad_() if v.is_floating_point() and not v.requires_grad else v
        for k, v in values.items()
    }


def _squared_gradient(critic: Judge, values: Tuples) -> Tensor:
    """|grad D|^2 over everything real-valued that the critic sees, [N]."""
    values = _moving(values)
    points = [v for v in values.values() if v.is_floating_point()]
    grads = torch.autograd.grad(critic(values).sum(), points, create_graph=True)
    return torch.cat([as_vectors(g) for g in grads], 1).square().sum(1)


def build_gradient_penalty(spec: GradientPenalty) -> PenaltyFunction:
    def penalty(critic: Judge, real: Tuples, fake: Tuples, step: int) -> Tensor | None:
        if step % spec.every:
            return None
        between: Tuples = {}
        rows = next(iter(real.values())).shape[0]
        weight = torch.rand(rows, device=next(iter(real.values())).device)
        for name, value in real.items():
            if not value.is_floating_point():
                between[name] = value
                continue
            e = weight.to(value.dtype).view(-1, *([1] * (value.dim() - 1)))
            between[name] = e * value + (1 - e) * fake[name]
        return spec.every * ((_squared_gradient(critic, between) + 1e-12).sqrt() - 1).square().mean()

    return penalty


def build_r1(spec: R1) -> PenaltyFunction:
    def penalty(critic: Judge, real: Tuples, fake: Tuples, step: int) -> Tensor | None:
        if step % spec.every:
            return None
        return spec.every * _squared_gradient(critic, real).mean() / 2

    return penalty


def build_r2(spec: R2) -> PenaltyFunction:
    def penalty(critic: Judge, real: Tuples, fake: Tuples, step: int) -> Tensor | None:
        if step % spec.every:
            return None
        return spec.every * _squared_gradient(critic, fake).mean() / 2

    return penalty


Constrain = Callable[[CriticModule], None]


def build_spectral(spec: Spectral) -> Constrain:
    """Applied once, when the critic is built. A weight of zeros has no direction to keep: it is drawn anew first."""

    def constrain(critic: CriticModule) -> None:
        for module in list(critic.modules()):
            if isinstance(module, nn.Linear | nn.Conv2d):
                if not bool(module.weight.any()):
                    nn.init.normal_(module.weight, std=0.02)
                nn.utils.parametrizations.spectral_norm(module)

    return constrain


def build_clip(spec: Clip) -> Constrain:
    """Applied after every step of the critic."""

    def constrain(critic: CriticModule) -> None:
        with torch.no_grad():
            for parameter in critic.parameters():
                parameter.clamp_(-spec.limit, spec.limit)

    return constrain
