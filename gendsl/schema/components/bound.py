"""Bounds on the log-likelihood that an objective may use.

All three are (1 / s) log mean_k w^s of the importance weights w = p / q, with s = 1 - alpha: s = 0 in the limit is the
ELBO, s = 1 the importance-weighted bound. The maths is in `gendsl.nn.objective`.
"""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from gendsl.schema.fields import Count
from gendsl.schema.registry import Component, component


class Bound(Component):
    """How samples of the latents become one number for each row."""

    samples: Count = 1
    weighted: ClassVar[bool] = True
    """Whether it uses importance weights (then no KL is taken in closed form)."""

    @property
    def power(self) -> float:
        """s in (1 / s) log mean w^s."""
        return 1.0


@component("bound", "elbo", build="gendsl.nn.objective:bound")
class Elbo(Bound):
    """Evidence lower bound E_q[log p - log q] (Kingma and Welling 2014, eq. 2), averaged over `samples` draws."""

    weighted = False

    @property
    def power(self) -> float:
        return 0.0


@component("bound", "iwae", build="gendsl.nn.objective:bound")
class Iwae(Bound):
    """Importance-weighted bound E log (1/k) sum w (Burda et al. 2016, eq. 8) with k = `samples`."""

    samples: Count = 50
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({"samples": 5},)


@component("bound", "renyi", build="gendsl.nn.objective:bound")
class Renyi(Bound):
    """Renyi bound (1/(1 - alpha)) log (1/k) sum w^(1 - alpha) (Li and Turner 2016, eq. 5).

    A lower bound for 0 < alpha < 1.
    """

    samples: Count = 50
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.5
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({"samples": 5, "alpha": 0.5},)

    @property
    def power(self) -> float:
        return 1.0 - self.alpha
