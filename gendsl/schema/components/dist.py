"""Distributions: what each offers and how many raw numbers its parameters are made of.

A factor's output layer (or, without parents, a learned tensor, or zeros for a standard prior) gives *raw* numbers;
the family maps them to parameters such that zeros mean the standard distribution. Raw tensors have the shape
`(P, *shape)`, P numbers for each entry of the variable, or `(P,)` for a joint density of all entries. The maths is in
`gendsl.nn.distributions`.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from gendsl.schema.facts import (
    BINARY,
    COUNTS,
    POSITIVE,
    REAL,
    UNIT,
    Density,
    Offers,
    Shape,
    Support,
    categories,
    numel,
)
from gendsl.schema.fields import Count, Positive, ShapeField
from gendsl.schema.registry import Component, component

Scale = Literal["learned", "shared", "per_dimension", "fixed"]
SHOWN: Shape = (4,)
SHOWN_GRID: Shape = (3, 2, 2)
"""Shapes of a variable at which a page shows those of the parameters."""
DENSITIES = {
    Density.ANY: "log-density at any point",
    Density.OWN: "log-density of its own samples",
    Density.UNNORMALISED: "log-density up to a constant",
    Density.NONE: "no density",
}
PRODUCT, JOINT = "a product over the entries", "one density of all entries"
MOST_FULL = 512
"""Entries of a normal distribution with a full covariance at most."""


class Dist(Component):
    """A conditional distribution of one variable given its parents."""

    density: ClassVar[Density] = Density.ANY
    reparameterised: ClassVar[bool] = True
    factorises: ClassVar[bool] = True
    """Whether the density is a product over the entries of the variable, given the parents."""
    marginals: ClassVar[bool] = True
    """Whether the density of each entry by itself is known in closed form."""
    learned: ClassVar[bool] = False
    """Whether a prior without parents and net learns its parameters; else it is the standard distribution."""
    no_gradient: ClassVar[str] = "it is discrete with infinitely many values"
    """Why samples have no gradient, where they have none."""
    closed_kl: ClassVar[frozenset[str]] = frozenset()
    """Tags of the distributions p for which KL(self || p) has a formula."""
    default_shape: ClassVar[Shape | None] = None
    sections: ClassVar[tuple[str, ...]] = ("prior", "decoder", "encoder")
    """Where it may stand."""
    fixes_support: ClassVar[bool] = False
    """Whether it says where its variable lies before anything else does."""
    follows_support: ClassVar[bool] = False
    """Whether it lies where the variable's other factor does."""
    chained: ClassVar[bool] = False
    """Whether an encoder of it is a chain on p: then it has no network."""
    uses_encoder: ClassVar[bool] = False
    """Whether it is made of its variable's encoder: then it always learns."""
    numbers: ClassVar[int] = 1
    """P, the raw numbers for each entry."""

    def support(self, variable: Support | None) -> Support:
        """Where samples lie, given what is known of the variable's support."""
        return REAL

    def raw(self, shape: Shape, support: Support) -> Shape:
        """Shape of the raw tensor of one row."""
        return (self.numbers, *shape)

    def free(self, shape: Shape) -> dict[str, Shape]:
        """Learned tensors that do not depend on the parents."""
        return {}

    def offers(self, support: Support) -> Offers:
        return Offers(sample=True, rsample=self.reparameterised, density=self.density)

    def problem(self, shape: Shape, support: Support | None) -> str | None:
        """Why the distribution cannot be that of a variable of this shape and support, or None."""
        return None

    @classmethod
    def told(cls) -> dict[str, str]:
        """The raw numbers and learned tensors of one row, and what is offered, at each of the examples."""
        shapes: dict[str, None] = {}
        offers: list[tuple[str, ...]] = []
        for example in cls.examples:
            dist = cls.model_validate(example, strict=False)
            own = dist.support(None)
            shape = next(s for s in (SHOWN, SHOWN_GRID) if dist.problem(s, own) is None)
            taken = f"{list(dist.raw(shape, own))} for a variable {list(shape)}"
            free = ", ".join(f"{name} {list(size)}" for name, size in dist.free(shape).items())
            shapes.setdefault(taken + (f" and the learned {free}" if free else ""))
            offers.append(dist._offered(own))
        always = [word for word in offers[0] if all(word in each for each in offers)]
        at_times = dict.fromkeys(word for each in offers for word in each if word not in always)
        return {
            "Shapes": f"Raw numbers of a row: {'; or '.join(shapes)}.",
            "Offers": f"{', '.join(always)}{'; by its parameters: ' if at_times else ''}{', '.join(at_times)}. "
            f"Stands in {', '.join(cls.sections)}.",
        }

    def _offered(self, support: Support) -> tuple[str, ...]:
        """What it offers, in words."""
        offers = self.offers(support)
        return (
            "samples with gradients" if offers.rsample else "samples without gradients",
            DENSITIES[offers.density],
            *(["enumeration of its values"] if offers.enumerate else []),
            *([] if offers.density is Density.NONE else [PRODUCT if self.factorises else JOINT]),
            *(f"KL to {tag} in closed form" for tag in sorted(self.closed_kl)),
            f"values in {support}",
        )


class LocationScale(Dist):
    """A location-scale family; `scale` says where the scale comes from, and it is never below 1e-3."""

    scale: Scale | Positive = Field(
        default="learned",
        description="learned (from the net), shared (one), per_dimension, fixed (1), or a number",
    )
    relative_to: Literal["prior"] | None = Field(
        default=None,
        description="of an encoder: the prior's location plus loc, the prior's scale times scale",
    )
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"scale": "shared"},
        {"scale": "per_dimension"},
        {"scale": "fixed"},
        {"scale": 0.5},
    )

    def raw(self, shape: Shape, support: Support) -> Shape:
        return (2 if self.scale == "learned" else 1, *shape)

    def free(self, shape: Shape) -> dict[str, Shape]:
        if self.scale == "shared":
            return {"scale": ()}
        return {"scale": shape} if self.scale == "per_dimension" else {}


@component("dist", "normal", build="gendsl.nn.gaussian:build_normal")
class Normal(LocationScale):
    """Normal distribution N(x; loc, scale^2) with independent entries, or (`scale: full`) N(x; loc, L L^T).

    L is lower triangular with a diagonal of at least 1e-3; it comes from the net, like `learned`.

    Formula: log N(x; m, s) = -((x - m) / s)^2 / 2 - log s - log(2 pi) / 2, summed over entries (Bishop 2006,
    eq. 2.42); full: -|L^-1 (x - m)|^2 / 2 - sum_i log L_ii - D log(2 pi) / 2 (eq. 2.43). s = softplus(raw +
    c) + 1e-3, 1 at raw 0.

    Fails: On data that sit on a grid the density grows without bound as the scale shrinks to its floor:
    bits_per_dim is then refused, dequantize first. A drawn pixel carries the noise of the scale; its mean
    does not. `full` takes at most 512 entries.
    """

    scale: Scale | Literal["full"] | Positive = Field(  # type: ignore[assignment]
        default="learned",
        description="learned (from the net), shared (one), per_dimension, fixed (1), full (a Cholesky factor "
        "of the covariance from the net), or a number",
    )
    closed_kl = frozenset({"normal"})
    examples: ClassVar[tuple[dict[str, Any], ...]] = (*LocationScale.examples, {"scale": "full"})

    @property
    def factorises(self) -> bool:  # type: ignore[override]
        """Unless the covariance is full."""
        return self.scale != "full"

    def raw(self, shape: Shape, support: Support) -> Shape:
        size = numel(shape)
        return (size + size * (size + 1) // 2,) if self.scale == "full" else super().raw(shape, support)

    def problem(self, shape: Shape, support: Support | None) -> str | None:
        if self.scale == "full" and numel(shape) > MOST_FULL:
            return f"`scale` full needs a matrix of {numel(shape)} x {numel(shape)}; {MOST_FULL} is the most"
        return None


@component("dist", "laplace", build="gendsl.nn.distributions:build_laplace")
class Laplace(LocationScale):
    """Laplace distribution with independent entries, exp(-|x - loc| / scale) / (2 scale).

    Formula: log p(x) = -|x - m| / s - log(2 s), summed over entries (NIST/SEMATECH e-Handbook, 1.3.6.6.12).

    Fails: The density has a kink at the location, so its gradient there jumps: Langevin chains and score
    matching on it are rough. On gridded data as normal: no bits_per_dim without dequantize.
    """

    closed_kl = frozenset({"laplace"})


@component("dist", "logistic", build="gendsl.nn.distributions:build_logistic")
class Logistic(LocationScale):
    """Logistic distribution with independent entries; its cumulative function is sigmoid((x - loc) / scale).

    Formula: log p(x) = -y - 2 softplus(-y) - log s with y = (x - m) / s, which is log of sigmoid'(y) / s
    (Bishop 2006, eq. 4.88).

    Fails: A KL with it has no formula and is sampled. Its standard deviation is pi s / sqrt(3), not s. On
    gridded data use discretized_logistic.
    """


@component("dist", "student_t", build="gendsl.nn.distributions:build_student_t")
class StudentT(LocationScale):
    """Student's t distribution with independent entries and `df` degrees of freedom.

    Formula: log p(x) = log G((df + 1) / 2) - log G(df / 2) - log(df pi) / 2 - log s - (df + 1) / 2 log(1 +
    y^2 / df), y = (x - m) / s (Bishop 2006, eq. 2.159, precision 1 / s^2).

    Fails: For `df` of at most 1 samples have no mean, of at most 2 no variance: averages over samples do not
    settle. `df` is fixed, not learned.
    """

    df: Positive = 5.0


@component("dist", "uniform", build="gendsl.nn.distributions:build_uniform")
class Uniform(Dist):
    """Uniform distribution on [low, high] in every entry; it has no parameters to learn.

    Formula: log p(x) = -log(high - low) inside [low, high], ends included, and minus infinity outside
    (NIST/SEMATECH e-Handbook, 1.3.6.6.2).

    Fails: A value outside has log p = -inf, so a variable whose support is wider is refused at check. It has
    no parameter that a parent could move.
    """

    low: float = 0.0
    high: float = 1.0
    numbers = 0

    def support(self, variable: Support | None) -> Support:
        return Support(self.low, self.high)

    def problem(self, shape: Shape, support: Support | None) -> str | None:
        return None if self.low < self.high else f"low ({self.low:g}) must be below high ({self.high:g})"


@component("dist", "bernoulli", build="gendsl.nn.distributions:build_bernoulli")
class Bernoulli(Dist):
    """Bernoulli distribution with independent entries, given by logits.

    Formula: log p(x) = x l - softplus(l), l the logit, summed over entries (Bishop 2006, eq. 2.2).

    Fails: Grey values are no values of it: x in (0, 1) would give a number that is no log p, and is refused
    at check (binarize, or continuous_bernoulli). Samples have no gradient: as a latent it is enumerated, or
    needs an estimator.
    """

    closed_kl = frozenset({"bernoulli"})
    reparameterised = False

    def support(self, variable: Support | None) -> Support:
        return BINARY

    def offers(self, support: Support) -> Offers:
        return Offers(density=Density.ANY, enumerate=True)


@component("dist", "continuous_bernoulli", build="gendsl.nn.distributions:build_continuous_bernoulli")
class ContinuousBernoulli(Dist):
    """Continuous Bernoulli on [0, 1] (Loaiza-Ganem and Cunningham 2019, eq. 1), with its normalising constant.

    Formula: log p(x) = l x + log(l / (e^l - 1)), l the logit, by its series about 0 where |l| < 0.02
    (Loaiza-Ganem and Cunningham 2019, eq. 1).

    Fails: Its mean is 1 / (1 - e^-l) - 1 / l, not sigmoid(l). Values at 0 and 1 are finite, but a density of
    pixels on a grid is not their probability: bits_per_dim needs dequantize.
    """

    def support(self, variable: Support | None) -> Support:
        return UNIT


def from_zero(count: int | None, variable: Support | None) -> Support:
    """The integers from 0: as many as are written, else those of the variable, whose end may not be known."""
    if count is not None:
        return categories(count)
    if variable is not None and variable.count is not None and variable.low == 0:
        return variable
    return Support(low=0.0, integer=True)


@component("dist", "categorical", build="gendsl.nn.distributions:build_categorical")
class Categorical(Dist):
    """Categorical distribution over 0 .. classes - 1 with independent entries, given by logits.

    Formula: log p(x = k) = l_k - logsumexp(l), summed over entries (Bishop 2006, eq. 2.26).

    Fails: The number of classes must be known, from the data or `classes`. Samples have no gradient: as a
    latent it is enumerated up to 256 joint states, or needs an estimator. One row of an image takes classes x
    entries numbers.
    """

    classes: Annotated[int, Field(ge=2, le=65536)] | None = Field(
        default=None, description="number of values; inferred for a variable that is bound to data"
    )
    logits: Literal["uniform", "learned"] = Field(
        default="uniform", description="of a prior without parents: uniform, or learned"
    )
    closed_kl = frozenset({"categorical"})
    reparameterised = False
    default_shape = ()
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({"classes": 5},)

    @property
    def learned(self) -> bool:  # type: ignore[override]
        """As `logits` says."""
        return self.logits == "learned"

    def support(self, variable: Support | None) -> Support:
        return from_zero(self.classes, variable)

    def raw(self, shape: Shape, support: Support) -> Shape:
        return (support.count or 0, *shape)

    def offers(self, support: Support) -> Offers:
        return Offers(density=Density.ANY, enumerate=True)

    def problem(self, shape: Shape, support: Support | None) -> str | None:
        if self.support(support).count is None and (support is None or support.integer):
            return "the number of classes is not known: write `classes`"
        return None


@component("dist", "poisson", build="gendsl.nn.distributions:build_poisson")
class Poisson(Dist):
    """Poisson distribution with independent entries, rate = exp(raw).

    Formula: log p(x = k) = k r - e^r - log k!, r the raw number (NIST/SEMATECH e-Handbook, 1.3.6.6.19).

    Fails: Mean and variance are the same number: counts that spread more are fitted badly. The rate is not
    bounded: counts in the thousands want a small learning rate. As a latent it can only take score_function,
    having infinitely many values.
    """

    reparameterised = False

    def support(self, variable: Support | None) -> Support:
        return COUNTS


@component("dist", "beta", build="gendsl.nn.distributions:build_beta")
class Beta(Dist):
    """Beta distribution on [0, 1] with independent entries; raw zeros give Beta(1, 1), the uniform.

    Formula: log p(x) = (a - 1) log x + (b - 1) log(1 - x) - log B(a, b), a and b by softplus with the floor
    1e-3 (Bishop 2006, eq. 2.13).

    Fails: The density at 0 and 1 is zero or infinite: data that take these values are refused at check.
    Gradients of samples are implicit ones, noisy for concentrations far below 1.
    """

    closed_kl = frozenset({"beta"})
    numbers = 2

    def support(self, variable: Support | None) -> Support:
        return UNIT

    def problem(self, shape: Shape, support: Support | None) -> str | None:
        return _at_the_ends(self.tag, support, UNIT)


@component("dist", "gamma", build="gendsl.nn.distributions:build_gamma")
class Gamma(Dist):
    """Gamma distribution with independent entries (concentration, rate); raw zeros give Gamma(1, 1).

    Formula: log p(x) = a log b + (a - 1) log x - b x - log G(a), a the concentration, b the rate, with the
    floor 1e-3 (Bishop 2006, eq. 2.146).

    Fails: The density at 0 is zero or infinite: data that take 0 are refused at check. For a concentration
    far below 1 draws underflow to the smallest number.
    """

    closed_kl = frozenset({"gamma"})
    numbers = 2

    def support(self, variable: Support | None) -> Support:
        return POSITIVE

    def problem(self, shape: Shape, support: Support | None) -> str | None:
        return _at_the_ends(self.tag, support, POSITIVE)


def _at_the_ends(tag: str, support: Support | None, own: Support) -> str | None:
    """Whether the values sit on a grid with a point where the density is zero or infinite."""
    if support is None or not (support.integer or support.levels):
        return None
    ends = [end for end in (own.low, own.high) if end in (support.low, support.high)]
    return (
        f"the density of {tag} at {ends[0]:g} is zero or infinite, and {support} takes it" if ends else None
    )


class Pointwise(Dist):
    """A distribution without density whose samples are a net's output, mapped onto the variable's support."""

    density = Density.NONE
    factorises = False

    def support(self, variable: Support | None) -> Support:
        return variable if variable is not None else REAL

    def problem(self, shape: Shape, support: Support | None) -> str | None:
        if support is not None and support.integer:
            return f"{self.tag} gives real values; {support} is discrete"
        return None


@component("dist", "deterministic", build="gendsl.nn.distributions:build_deterministic")
class Deterministic(Pointwise):
    """Dirac at the net's output, mapped onto the variable's support (sigmoid for an interval).

    Formula: x = f(parents), a point mass: p(x | parents) = delta(x - f(parents)); no density (Goodfellow et
    al. 2014, section 3, for a generator; Tolstikhin et al. 2018).

    Fails: Nothing can be scored with it: an observed variable needs an adversary, a latent encoder makes a
    code without KL, for which sampling is refused until a prior is fitted or matched. Discrete variables are
    refused.
    """


@component("dist", "implicit", build="gendsl.nn.distributions:build_deterministic")
class Implicit(Pointwise):
    """A net of the parents and of its own standard normal noise: samples without a density (Mescheder et al. 2017).

    Formula: x = f(parents, e), e ~ N(0, 1) of `noise` dimensions (Mescheder et al. 2017, section 3.1); no
    density.

    Fails: As an encoder it has no KL: it needs an adversary that sees its latent, or `objective.mmd`. Fewer
    noise dimensions than the variable has give a thin set. Discrete variables are refused.
    """

    noise: Count = Field(
        default=16, description="number of noise dimensions that the net reads beside the parents"
    )


__all__ = ["Dist", "LocationScale", "Pointwise", "ShapeField"]
