"""Vector quantisation: an encoder whose value is the nearest of finitely many learned vectors."""

from typing import Any, ClassVar

from pydantic import Field

from gendsl.schema.components.dist import Dist
from gendsl.schema.facts import Density, Offers, Shape, Support, categories
from gendsl.schema.fields import NonNegative, Size
from gendsl.schema.registry import component


@component("dist", "vq", build="gendsl.nn.quantised:build_vq")
class Vq(Dist):
    """Index of the codeword nearest to the net's vector, for every entry (van den Oord et al. 2017, eq. 1 to 3).

    A point mass: log q = 0. Networks of encoders and decoders read the codewords, `dim` channels; the prior reads
    the indices. The first batch of training sets the codewords to vectors of its own.

    Formula: c = argmin_k |e(x) - v_k|^2, codebook term |sg(e) - v_c|^2 + `commitment` |e - sg(v_c)|^2 (van
    den Oord et al. 2017, eq. 1 to 3).

    Fails: Codewords that no row is near to are never moved. Without a fitted prior the codes cannot be
    sampled. log p(x) is bounded by the one code alone, log p(c) + log p(x | c).
    """

    codes: Size = Field(default=64, description="number of codewords")
    dim: Size = Field(default=16, description="length of a codeword")
    commitment: NonNegative = Field(
        default=0.25, description="weight of the distance that draws the encoder to its codewords"
    )
    density = Density.NONE
    reparameterised = False
    factorises = False
    sections = ("encoder",)
    fixes_support = True
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({"codes": 5, "dim": 3},)

    def support(self, variable: Support | None) -> Support:
        return categories(self.codes)

    def raw(self, shape: Shape, support: Support) -> Shape:
        return (self.dim, *shape)

    def free(self, shape: Shape) -> dict[str, Shape]:
        return {"codebook": (self.codes, self.dim)}

    def offers(self, support: Support) -> Offers:
        return Offers(sample=True, rsample=False, density=Density.NONE)

    def problem(self, shape: Shape, support: Support | None) -> str | None:
        return None if self.codes >= 2 else "codes must be 2 or more"
