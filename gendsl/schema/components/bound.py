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
    """Evidence lower bound E_q[log p - log q] (Kingma and Welling 2014, eq. 2), averaged over `samples` draws.

    Formula: E_q[log p(x, z) - log q(z | x)] = log p(x) - KL(q(z | x) || p(z | x)) (Kingma and Welling 2014,
    eq. 1 and 2).

    Shapes: log w [samples, B] -> one number for each of B rows, their mean over samples.

    Offers: A lower bound on log p(x); a KL in closed form where one exists. KL options (weight, warmup,
    free_bits, capacity) act on it.

    Fails: A decoder that needs no latent makes the KL vanish (posterior collapse); the report says so in
    words. With a KL weight above 1 it is a looser bound, below 1 not a bound.
    """

    weighted = False

    @property
    def power(self) -> float:
        return 0.0


@component("bound", "iwae", build="gendsl.nn.objective:bound")
class Iwae(Bound):
    """Importance-weighted bound E log (1/k) sum w (Burda et al. 2016, eq. 8) with k = `samples`.

    Formula: E log (1/k) sum_j w_j, w_j = p(x, z_j) / q(z_j | x) (Burda et al. 2016, eq. 8); gradient with
    normalised weights, minus KL(weights || uniform) in the reported terms.

    Shapes: log w [samples, B] -> one number for each of B rows, logsumexp over samples minus log k.

    Offers: A lower bound on log p(x), at least as tight as with fewer samples; never a KL in closed form.
    Discrete latents take the VIMCO gradient.

    Fails: The encoder's gradient loses its signal as k grows (Rainforth et al. 2018): an encoder trained at
    large k may be worse than one of the ELBO. Memory grows with k.
    """

    samples: Count = 50
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({"samples": 5},)


@component("bound", "renyi", build="gendsl.nn.objective:bound")
class Renyi(Bound):
    """Renyi bound (1/(1 - alpha)) log (1/k) sum w^(1 - alpha) (Li and Turner 2016, eq. 5).

    A lower bound for 0 < alpha < 1.

    Formula: (1 / (1 - alpha)) log (1/k) sum_j w_j^(1 - alpha) (Li and Turner 2016, eq. 5).

    Shapes: log w [samples, B] -> one number for each of B rows.

    Offers: A lower bound on log p(x) between the ELBO (alpha to 1) and iwae (alpha to 0).

    Fails: An alpha outside (0, 1) is refused: above 1 it lies below the ELBO, below 0 it is no lower bound.
    Otherwise as iwae.
    """

    samples: Count = 50
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.5
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({"samples": 5, "alpha": 0.5},)

    @property
    def power(self) -> float:
        return 1.0 - self.alpha
