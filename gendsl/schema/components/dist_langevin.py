"""Posterior draws by Langevin steps: an encoder that is a chain on the model itself."""

from typing import Any, ClassVar

from pydantic import Field

from gendsl.schema.components.dist import Pointwise
from gendsl.schema.facts import Shape, Support
from gendsl.schema.fields import Positive, Size
from gendsl.schema.registry import component


@component("dist", "langevin", build="gendsl.nn.posterior:build_langevin")
class LangevinPosterior(Pointwise):
    """The end of z <- z - (eps/2) grad U(z) + sqrt(eps T) noise, U = -log p(x, z), from a draw of the prior.

    Short-run inference (Nijkamp et al. 2019; Pang et al. 2020, eq. 9): no network and no parameters; p(x, z) is
    trained at the chain's end, which is cut. Its density is not known.

    Formula: z_t+1 = z_t - (eps / 2) grad U(z_t) + sqrt(eps T) n_t, n_t ~ N(0, 1), U(z) = -log p(x, z) (Pang
    et al. 2020, eq. 9).

    Fails: Short chains do not reach the posterior: what is trained is biased, and no number of it is a bound.
    Every step costs a gradient through the decoder. Discrete latents are refused.
    """

    steps: Size = Field(default=20, description="steps of each chain")
    step_size: Positive = Field(default=0.05, description="eps, the variance of the noise of one step")
    temperature: Positive = Field(default=1.0, description="T of the noise, 1 for true Langevin")
    reparameterised = False
    numbers = 0
    sections = ("encoder",)
    chained = True
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"steps": 5, "step_size": 0.1})

    def problem(self, shape: Shape, support: Support | None) -> str | None:
        if support is not None and support.integer:
            return f"Langevin steps move real values; {support} is discrete"
        return None
