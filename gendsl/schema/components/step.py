"""Preprocessing steps (`as:`): what each makes of a column's facts, and what is lost or bounded on the way.

A step maps a column x to y = f(x). Where f is invertible its log-Jacobian is tracked, so that

    log p(x) = log p(y) + sum log |dy/dx|,

and bits per dimension are always those of the source's column. `dequantize` adds uniform noise u to
integers x; E_u[log p(y) + log |dy/d(x+u)|] <= log P(x), so its bits per dimension are an upper bound (Theis
et al. 2016, arXiv 1511.01844, section 3.1).
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from gendsl.errors import GendslError
from gendsl.schema.components.flow import Coupling, FlowLayer
from gendsl.schema.components.net import Mlp, Net
from gendsl.schema.components.source_base import Column
from gendsl.schema.facts import BINARY, REAL, UNIT, Shape, categories
from gendsl.schema.registry import Component, Slot, component


class StepProblem(GendslError):
    """A step that cannot be applied to the column before it. `index`: its place in the list, where known."""

    def __init__(self, message: str, help: str = "", index: int | None = None) -> None:
        self.message, self.help, self.index = message, help, index
        super().__init__(message)


class Step(Component, ABC):
    """Base of all preprocessing steps."""

    lossy: ClassVar[bool] = False
    """The column cannot be recovered, not even up to dequantization noise."""
    bound: ClassVar[bool] = False
    """The step makes an exact log_prob an upper bound on bits per dimension."""

    @abstractmethod
    def apply(self, column: Column) -> Column:
        """The column after the step. Raises StepProblem where the step makes no sense for it."""

    @property
    def variant(self) -> str:
        """A short text for reports, such as binarize:static."""
        return self.tag

    @property
    def stochastic(self) -> bool:
        """Whether this step draws fresh noise at every visit of a row."""
        return False


@dataclass(frozen=True)
class Through:
    """The facts of a column after all steps."""

    column: Column
    stochastic: bool
    lossy: bool
    bound: bool
    variant: str


def through(column: Column, steps: tuple[Step, ...]) -> Through:
    """The facts after `steps`. Raises StepProblem with the index of the step that cannot be applied."""
    for index, step in enumerate(steps):
        try:
            column = step.apply(column)
        except StepProblem as problem:
            raise StepProblem(problem.message, problem.help, index) from problem
    return Through(
        column,
        stochastic=any(step.stochastic for step in steps),
        lossy=any(step.lossy for step in steps),
        bound=any(step.bound for step in steps),
        variant="+".join(step.variant for step in steps),
    )


@component("step", "unit", build="gendsl.nn.steps:build_unit")
class Unit(Step):
    """To 0 .. 1: (x - low) / (high - low), so uint8 is divided by 255 and the digits by 16.

    Formula: y = (x - low) / (high - low), log |dy/dx| = -log(high - low) for each entry.

    Shapes: Those of the column.

    Offers: Invertible; the grid of the integers stays known, so dequantize may follow.

    Fails: Columns without known bounds, and labels, are refused. Its values are not 0 or 1: under bernoulli
    they are refused.
    """

    def apply(self, column: Column) -> Column:
        """Real values in [0, 1]; those of integers stay on their grid (`levels`)."""
        _bounded("unit", column)
        return replace(column, dtype="float32", support=replace(UNIT, levels=column.levels), labels=False)


@component("step", "binarize", build="gendsl.nn.steps:build_binarize")
class Binarize(Step):
    """To 0 or 1: a draw with the grey value in 0 .. 1 as its probability (static, dynamic), or a threshold.

    static: one Bernoulli draw for each entry, made once and for all, a function of the run's seed and of
    the row's place in the source. dynamic: a fresh draw at every visit. threshold: 1 where the grey value
    is above `at`.

    Formula: y ~ Bernoulli(g), g the grey value in 0 .. 1 (Salakhutdinov and Murray 2008, for MNIST);
    threshold: y = 1 where g > `at`.

    Shapes: Those of the column.

    Offers: Values in {0, 1} that bernoulli scores; log_prob is of the binary image.

    Fails: The grey values are lost: bits per dimension are those of the binary image, not of the column's
    levels, and numbers of static and dynamic binarization are not to be compared.
    """

    primary = "how"
    lossy = True
    examples = ({}, {"how": "dynamic"}, {"how": "threshold", "at": 0.3})

    how: Literal["static", "dynamic", "threshold"] = "static"
    at: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5

    def apply(self, column: Column) -> Column:
        """0 and 1, held as float32 as likelihoods and networks want them."""
        _bounded("binarize", column)
        return replace(column, dtype="float32", support=BINARY, labels=False)

    @property
    def variant(self) -> str:
        """With how it is done."""
        return f"binarize:{self.how}"

    @property
    def stochastic(self) -> bool:
        """Only dynamic binarization draws anew."""
        return self.how == "dynamic"


@component("step", "dequantize", build="gendsl.nn.steps:build_dequantize")
class Dequantize(Step):
    """From a grid of values k = 0 .. levels - 1 to the reals in [0, 1): (k + u) / levels with u in [0, 1).

    uniform: u is uniform. variational: u is drawn by a density of its own, trained with the model (Ho et al. 2019):
    uniform numbers through a logit, a `flow` that is given what `net` makes of k, and a sigmoid.

    Formula: y = (k + u) / L, log |dy/dx| = -log L for each entry; E_u[log p(y)] - D log L <= log P(k) (Theis
    et al. 2016, section 3.1); variational: minus E log q(u | k) (Ho et al. 2019, section 3.1).

    Shapes: Those of the column.

    Offers: A density on the reals bounds the probability of the integers: bits per dimension are upper
    bounds. Undone by rounding down.

    Fails: Values that are not on a grid, or of unknown ends, are refused. Fresh noise at every visit: an
    evaluation has noise too. After standardize the ends of the grid are not known: write it before.
    """

    primary = "how"
    bound = True
    examples = ({}, {"how": "variational"})

    how: Literal["uniform", "variational"] = "uniform"
    net: Annotated[Net, Slot("net")] | None = Field(
        default=None, description="of a variational one: what reads k; an mlp if not written"
    )
    flow: (
        Annotated[tuple[Annotated[FlowLayer, Slot("flow")], ...], Field(strict=False, min_length=1)] | None
    ) = Field(default=None, description="of a variational one: its layers; two couplings if not written")

    def network(self) -> Net:
        """What reads the values on their grid."""
        return self.net if self.net is not None else Mlp(hidden=(128,))

    def layers(self) -> tuple[FlowLayer, ...]:
        """What moves the uniform numbers."""
        return self.flow if self.flow is not None else (Coupling(repeat=2, hidden=(128,)),)

    def apply(self, column: Column) -> Column:
        """Reals in [0, 1], no longer on a grid."""
        if self.how == "uniform" and (self.net is not None or self.flow is not None):
            raise StepProblem(
                "`net` and `flow` belong to a variational dequantization",
                "write how: variational, or drop them",
            )
        if column.levels is None:
            raise StepProblem(
                f"dequantize needs values on a grid, and these are {column.support}",
                "it is for integers, and for integers after unit",
            )
        if not math.isfinite(column.support.low + column.support.high):
            raise StepProblem(
                f"dequantize needs a grid between known bounds, and these are {column.support}",
                "write dequantize before standardize",
            )
        return replace(column, dtype="float32", support=UNIT, labels=False)

    @property
    def variant(self) -> str:
        """With how it is done."""
        return f"dequantize:{self.how}"

    @property
    def stochastic(self) -> bool:
        """Always."""
        return True


@component("step", "logit", build="gendsl.nn.steps:build_logit")
class Logit(Step):
    """From [0, 1] to the reals: logit(alpha + (1 - 2 alpha) x).

    alpha is 0.05 as in RealNVP (Dinh et al. 2017, arXiv 1605.08803, section 4.1), here at both ends; MAF
    takes 1e-6 for MNIST (Papamakarios et al. 2017, arXiv 1705.07057).

    Formula: y = log(s / (1 - s)), s = alpha + (1 - 2 alpha) x, log |dy/dx| = log(1 - 2 alpha) - log s - log(1
    - s) (Dinh et al. 2017, section 4.1).

    Shapes: Those of the column.

    Offers: Invertible, from [0, 1] to the reals, so that flows and normal distributions fit the support.

    Fails: Values on a grid, or outside [0, 1], are refused. With a tiny alpha values at the ends go to
    +-log(1 / alpha), and log_prob in nats is not comparable between alphas; bits per dimension are.
    """

    primary = "alpha"
    examples = ({}, {"alpha": 1e-6})

    alpha: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05

    def apply(self, column: Column) -> Column:
        """Reals."""
        if column.levels is not None:
            raise StepProblem(
                "logit needs continuous values, and these sit on a grid", "write dequantize before it"
            )
        if not column.support.within(UNIT):
            raise StepProblem(f"logit needs values in [0, 1], and these are {column.support}")
        return replace(column, support=REAL)

    @property
    def variant(self) -> str:
        """With alpha."""
        return f"logit:{self.alpha:g}"


@component("step", "standardize", build="gendsl.nn.steps:build_standardize")
class Standardize(Step):
    """(x - mean) / std of each entry, fitted on the training rows and recorded; constant entries: std 1.

    Formula: y = (x - m) / s with the training rows' mean and standard deviation, log |dy/dx| = -log s for
    each entry.

    Shapes: Those of the column; m and s have one row's shape and are in the checkpoint.

    Offers: Invertible; the log-Jacobian is tracked.

    Fails: Entries that never vary keep s = 1. Labels are refused. Outliers widen s: what is between them is
    squeezed.
    """

    def apply(self, column: Column) -> Column:
        """Reals; those of integers stay on a grid (`levels`), whose spacing differs between entries."""
        if column.labels:
            raise StepProblem("standardize makes no sense for labels", "use one_hot, or ordinal before it")
        return replace(column, dtype="float32", support=replace(REAL, levels=column.levels))


@component("step", "one_hot", build="gendsl.nn.steps:build_one_hot")
class OneHot(Step):
    """Integers as indicator vectors of K values: [K], for a sequence [T, K], for a grid [C K, H, W].

    Formula: y_k = 1 where x = k, else 0.

    Shapes: [] -> [K], [T] -> [T, K], [C, H, W] -> [C K, H, W].

    Offers: Invertible on its image, values in [0, 1] on two levels.

    Fails: A density on one-hot vectors is not one of the labels, so bits_per_dim is refused. The number of
    values must be known.
    """

    def apply(self, column: Column) -> Column:
        """Reals in [0, 1] on a grid of two levels."""
        support = replace(UNIT, levels=2)
        shape = one_hot_shape(column.shape, _classes("one_hot", column))
        return replace(column, dtype="float32", shape=shape, support=support, labels=False, end=None)


def one_hot_shape(shape: Shape, classes: int) -> Shape:
    """The shape of a row after one_hot: channels for grids, else a last dimension."""
    return (shape[0] * classes, *shape[1:]) if len(shape) == 3 else (*shape, classes)


@component("step", "ordinal", build="gendsl.nn.steps:build_integers")
class Ordinal(Step):
    """Integers as the ordered values 0 .. levels - 1, which networks read scaled, not by embedding.

    Formula: y = x, integers 0 .. L - 1 with their order.

    Shapes: Those of the column.

    Offers: Exact: log p is the probability of the integers; networks read 2 y / (L - 1) - 1.

    Fails: Integers of unknown bounds are refused. For symbols without an order use tokens.
    """

    def apply(self, column: Column) -> Column:
        """int64 without labels."""
        support = categories(_classes("ordinal", column))
        return replace(column, dtype="int64", support=support, labels=False)


@component("step", "tokens", build="gendsl.nn.steps:build_integers")
class Tokens(Step):
    """Integers as the symbols 0 .. levels - 1, which networks read by embedding.

    Formula: y = x, symbols 0 .. L - 1 without order.

    Shapes: Those of the column.

    Offers: Exact: log p is the probability of the symbols; networks read embeddings.

    Fails: Integers of unknown bounds are refused. For grey values embeddings lose the order: use ordinal.
    """

    def apply(self, column: Column) -> Column:
        """int64 labels."""
        return replace(column, dtype="int64", support=categories(_classes("tokens", column)), labels=True)


@component("step", "mu_law", build="gendsl.nn.steps:build_mu_law")
class MuLaw(Step):
    """Audio to `classes` integers, finer near silence: mu-law companding.

    sign(s) log(1 + mu |s|) / log(1 + mu), with s in [-1, 1] and mu = classes - 1, cut into equal cells.
    ITU-T G.711, as in WaveNet (van den Oord et al. 2016, arXiv 1609.03499, section 2.2).

    Formula: y = floor((1 + sign(s) log(1 + mu |s|) / log(1 + mu)) / 2 classes), at most classes - 1 (van den
    Oord et al. 2016, section 2.2).

    Shapes: Those of the column.

    Offers: A few hundred integers that categorical scores, ordered, finer near silence.

    Fails: Lossy: log_prob is of the codes, bits per dimension of the wave are null with the reason. Columns
    without known bounds are refused.
    """

    primary = "classes"
    lossy = True
    examples = ({}, {"classes": 16})

    classes: Annotated[int, Field(ge=2)] = 256

    def apply(self, column: Column) -> Column:
        """int64, ordered."""
        _bounded("mu_law", column)
        return replace(column, dtype="int64", support=categories(self.classes), labels=False)

    @property
    def variant(self) -> str:
        """With the number of classes."""
        return f"mu_law:{self.classes}"


def _bounded(tag: str, column: Column) -> None:
    if column.labels:
        raise StepProblem(f"{tag} makes no sense for labels", "use one_hot or tokens")
    if not (math.isfinite(column.support.low) and math.isfinite(column.support.high)):
        raise StepProblem(
            f"{tag} needs values between known bounds, and these are {column.support}",
            "use standardize, or declare low and high under columns: of the source",
        )


def _classes(tag: str, column: Column) -> int:
    count = column.support.count
    if count is None:
        raise StepProblem(
            f"{tag} needs integers between known bounds, and these are {column.support}",
            "declare classes under columns: of the source" if column.support.integer else "",
        )
    return count
