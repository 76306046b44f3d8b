"""Losses and penalties of an adversary.

The critic gives one number for each tuple it sees; R are the real tuples, F the fake ones. The maths is in
`gendsl.nn.adversarial`.
"""

from typing import ClassVar

from pydantic import Field

from gendsl.schema.fields import Count, NonNegative, Positive
from gendsl.schema.registry import Component, component


class Loss(Component):
    """What the critic minimises, and what those who made the tuples minimise."""

    critic: ClassVar[str]
    """The critic's loss as a formula of D(R) and D(F)."""
    fake: ClassVar[str]
    """What the makers of F minimise."""
    real: ClassVar[str]
    """What the makers of R minimise: the same term with the sides exchanged."""
    logistic: ClassVar[bool] = False
    """Whether the optimal critic is the log ratio of the two densities."""
    threshold: ClassVar[float | None] = 0.0
    """Above this number the critic takes a tuple for real; None where its numbers have no zero."""


@component("loss", "non_saturating", build="gendsl.nn.adversarial:build_non_saturating")
class NonSaturating(Loss):
    """Logistic critic; makers of F minimise -log D(F) (Goodfellow et al. 2014, section 3)."""

    critic = "-log D(R) - log(1 - D(F))"
    fake = "-log D(F)"
    real = "-log(1 - D(R))"
    logistic = True


@component("loss", "saturating", build="gendsl.nn.adversarial:build_saturating")
class Saturating(Loss):
    """Logistic critic; makers of F minimise log(1 - D(F)) (Goodfellow et al. 2014, eq. 1)."""

    critic = "-log D(R) - log(1 - D(F))"
    fake = "log(1 - D(F))"
    real = "log D(R)"
    logistic = True


@component("loss", "wasserstein", build="gendsl.nn.adversarial:build_wasserstein")
class Wasserstein(Loss):
    """Difference of the critic's means (Arjovsky et al. 2017, eq. 2); the critic has to be kept Lipschitz."""

    threshold = None
    critic = "D(F) - D(R)"
    fake = "-D(F)"
    real = "D(R)"


@component("loss", "hinge", build="gendsl.nn.adversarial:build_hinge")
class Hinge(Loss):
    """Hinge loss of the critic (Lim and Ye 2017; Miyato et al. 2018, eq. 16-17)."""

    critic = "max(0, 1 - D(R)) + max(0, 1 + D(F))"
    fake = "-D(F)"
    real = "D(R)"


@component("loss", "least_squares", build="gendsl.nn.adversarial:build_least_squares")
class LeastSquares(Loss):
    """Least-squares GAN with labels 1 for R and 0 for F (Mao et al. 2017, eq. 2)."""

    threshold = 0.5
    critic = "(D(R) - 1)^2 + D(F)^2"
    fake = "(D(F) - 1)^2"
    real = "D(R)^2"


class Penalty(Component):
    """A term that keeps the critic smooth; `formula` is what explain prints."""

    formula: ClassVar[str]
    differentiates: ClassVar[bool] = True
    """Whether it takes the critic's gradient with respect to what it sees (a second derivative in training)."""
    weight: NonNegative = 1.0


class EveryPenalty(Penalty):
    every: Count = Field(default=1, description="computed every so many steps, times that number (lazy)")


@component("penalty", "gradient", build="gendsl.nn.adversarial:build_gradient_penalty")
class GradientPenalty(EveryPenalty):
    """WGAN-GP: (|grad D| - 1)^2 at random points between R and F (Gulrajani et al. 2017, eq. 3)."""

    formula = "(|grad D(e R + (1 - e) F)| - 1)^2"
    weight: NonNegative = 10.0


@component("penalty", "r1", build="gendsl.nn.adversarial:build_r1")
class R1(EveryPenalty):
    """Squared gradient at real tuples, halved (Mescheder et al. 2018, eq. 9)."""

    formula = "|grad D(R)|^2 / 2"
    weight: NonNegative = 10.0


@component("penalty", "r2", build="gendsl.nn.adversarial:build_r2")
class R2(EveryPenalty):
    """Squared gradient at fake tuples, halved (Mescheder et al. 2018, eq. 10)."""

    formula = "|grad D(F)|^2 / 2"
    weight: NonNegative = 10.0


class Constraint(Penalty):
    """Keeps the critic's weights in a set, without a term in the loss."""

    formula = ""
    differentiates = False


@component("penalty", "clip", build="gendsl.nn.adversarial:build_clip")
class Clip(Constraint):
    """Weights clipped to [-limit, limit] after every critic step (Arjovsky et al. 2017)."""

    limit: Positive = 0.01


@component("penalty", "spectral", build="gendsl.nn.adversarial:build_spectral")
class Spectral(Constraint):
    """Spectral normalisation of every linear and convolutional weight of the critic (Miyato et al. 2018)."""
