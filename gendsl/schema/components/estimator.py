"""Estimators: how the objective and its gradient are had where a latent's samples have no gradient.

Under `objective: {estimator: {c: TAG}}`, for a latent with an encoder whose samples are discrete. What
`log_prob` and `elbo` report never depends on it: they are computed afresh with real samples of q.
"""

from typing import Any, ClassVar

from pydantic import Field

from gendsl.schema.fields import Count, Positive
from gendsl.schema.registry import Component, component


class Estimator(Component):
    """How a discrete latent enters the objective."""

    finite: ClassVar[bool] = True
    """Whether it needs a variable with finitely many values."""
    relaxed: ClassVar[bool] = False
    """Whether what reads the latent gets weights of its values in place of a value."""
    words: ClassVar[str] = ""

    def temperature_at(self, step: int) -> float:
        """The temperature of relaxed values at a step of training."""
        return 1.0


@component("estimator", "enumerate", build="gendsl.nn.estimators:exact")
class Enumerate(Estimator):
    """Every value, weighted by q: exact. The default where all joint states are at most 256.

    Formula: E_q[f] = sum_c q(c | x) f(c) (Kingma et al. 2014, eq. 7, for the label of M2).

    Shapes: Terms downstream of the latent are computed for each of S joint states, [S, B], and weighted by q.

    Offers: The exact expectation and its exact gradient; the bound stays a bound.

    Fails: Cost and memory grow with the number of joint states: above 256, or for infinitely many values, it
    is refused, and another estimator has to be named.
    """

    words = "enumerated"


@component("estimator", "score_function", build="gendsl.nn.estimators:score_function")
class ScoreFunction(Estimator):
    """grad E_q[f] = E_q[(f - b) grad log q], unbiased (Williams 1992), also for infinitely many values.

    The baseline b of a draw is the mean of f over the other draws for the same row (Kool et al. 2019): an
    objective of one sample takes two draws. Under iwae and renyi, f is the bound and b the bound with the
    draw's log w replaced by the mean of the others (VIMCO, Mnih and Rezende 2016, eq. 9 and 10).

    Formula: (1/n) sum_j (f_j - b_j) grad log q(c_j | x), b_j the mean of f over the other draws (Williams
    1992; Kool et al. 2019).

    Shapes: f and log q [samples, B]; at least two samples.

    Offers: An unbiased gradient for every discrete latent with a density; the reported value is untouched.

    Fails: Its variance is larger than that of relaxed gradients and grows with the number of latents above a
    term: small learning rates, more samples.
    """

    finite = False
    words = "score function, leave-one-out baseline"


class Relaxed(Estimator):
    """Gumbel-softmax weights softmax((log q + g) / t), g standard Gumbel noise, t the temperature."""

    temperature: Positive = 0.5
    anneal: Count | None = Field(
        default=None, description="steps over which the temperature goes linearly from 1 to `temperature`"
    )
    relaxed = True

    def temperature_at(self, step: int) -> float:
        if self.anneal is None:
            return self.temperature
        return 1.0 + (self.temperature - 1.0) * min(1.0, step / self.anneal)


@component("estimator", "gumbel", build="gendsl.nn.estimators:gumbel")
class Gumbel(Relaxed):
    """Gumbel-softmax, or Concrete, weights in place of the value (Jang et al. 2017, eq. 2; Maddison et al. 2017).

    Networks embed weights as the mixture of embeddings. The objective is then an estimate, not a bound.

    Formula: w = softmax((log q + g) / t), g = -log(-log u) (Jang et al. 2017, eq. 2; Maddison et al. 2017).

    Shapes: Weights [B, *shape, classes] in place of values [B, *shape]; networks read the mixture of
    embeddings.

    Offers: A gradient of low variance through the relaxed model; log_prob and elbo are computed afresh with
    real draws.

    Fails: The training objective is that of the relaxed model, an estimate and no bound. A low temperature
    has gradients of large variance, a high one lets networks read mixtures that they never meet in sampling.
    """

    words = "relaxed by gumbel"
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"temperature": 0.3, "anneal": 100})


@component("estimator", "straight_through", build="gendsl.nn.estimators:straight_through")
class StraightThrough(Relaxed):
    """A value forwards, the gradient of Gumbel-softmax weights backwards: biased (Jang et al. 2017, section 2.2).

    Formula: forwards onehot(argmax w), backwards w = softmax((log q + g) / t) (Jang et al. 2017, section 2.2;
    Bengio et al. 2013).

    Shapes: One-hot values [B, *shape, classes] forwards, weights of that shape backwards.

    Offers: Real values forwards, so networks meet what they meet in sampling; a gradient of low variance.

    Fails: The gradient is biased and the bias does not vanish with more samples; at a low temperature it also
    has a large variance.
    """

    words = "straight-through (biased gradient)"
