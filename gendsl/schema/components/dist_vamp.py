"""The VampPrior: a prior made of its own encoder."""

from typing import Any, ClassVar

from pydantic import Field

from gendsl.schema.components.dist import Dist
from gendsl.schema.facts import REAL, Support
from gendsl.schema.fields import Size
from gendsl.schema.registry import component


@component("dist", "vamp", build="gendsl.nn.vamp:build_vamp")
class Vamp(Dist):
    """The equal mixture of q(z | u_k) over learned pseudo-inputs u_k (Tomczak and Welling 2018, eq. 9).

    q is the latent's encoder before its flow. Pseudo-inputs stand for its observed parents, between the ends of
    their support (for a label: weights of its values); conditions are those of the row.

    Formula: log p(z) = logsumexp_k log q(z | u_k) - log K (Tomczak and Welling 2018, eq. 9).

    Fails: It needs an encoder with a density and observed parents to stand in for. A draw or a density costs
    K passes of the encoder. With many pseudo-inputs and few rows they come to be the rows.
    """

    pseudo_inputs: Size = Field(default=100, description="number of components")
    factorises = False
    reparameterised = False
    no_gradient = "the choice of a component has no gradient"
    numbers = 0
    sections = ("prior",)
    follows_support = True
    uses_encoder = True
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({"pseudo_inputs": 4},)

    def support(self, variable: Support | None) -> Support:
        return variable if variable is not None else REAL
