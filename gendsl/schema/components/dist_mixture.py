"""Mixtures of distributions: of copies of one, or of a list, over the whole vector or for each entry."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from gendsl.schema.components.dist import Dist
from gendsl.schema.facts import Density, Offers, Shape, Support, numel
from gendsl.schema.fields import Count
from gendsl.schema.registry import Slot, component
from gendsl.schema.shorthand import listed

COMPONENTS = 10


@component("dist", "mixture", build="gendsl.nn.mixtures:build_mixture")
class Mixture(Dist):
    """Mixture p(x) = sum_k w_k p_k(x) of copies of one distribution, or of a list with the same support.

    One component is drawn for the whole vector, or (`over: entry`) one for each entry. Weights and components
    come from the net; without one they are learned, also in a prior, and begin apart, at standard normal raw
    numbers (full covariances at identities). Samples have no gradient: the choice of the component has none.

    Formula: log p(x) = logsumexp_k (log w_k + log p_k(x)) (Bishop 2006, eq. 2.188); over entries: that sum
    for each entry.

    Fails: Components must have one support and a density at any point. A KL with it is sampled. Components of
    normals may shrink onto single rows, down to the floor of the scale. Samples have no gradient: in an
    encoder it needs score_function.
    """

    of: Annotated[tuple[Annotated[Dist, Slot("dist")], ...], Field(strict=False, min_length=1)]
    components: Count | None = Field(
        default=None, description=f"copies of one distribution; {COMPONENTS} if not written"
    )
    over: Literal["vector", "entry"] = Field(
        default="vector", description="one component for the whole vector, or one for each entry"
    )
    reparameterised = False
    learned = True
    no_gradient = "the choice of a component has no gradient"
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"of": "normal", "components": 3},
        {"of": "bernoulli", "components": 4},
        {
            "of": [
                "laplace",
                {"type": "normal", "scale": "per_dimension"},
                {"type": "normal", "scale": "full"},
            ]
        },
        {"of": {"type": "categorical", "classes": 3}, "components": 2},
        {"of": "normal", "components": 3, "over": "entry"},
    )

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """`of` takes one or a list."""
        return listed(value, "of")

    def parts(self) -> tuple[tuple[Dist, int], ...]:
        """Every distribution that is written, with how many components it is."""
        if len(self.of) == 1:
            return ((self.of[0], COMPONENTS if self.components is None else self.components),)
        return tuple((dist, 1) for dist in self.of)

    @property
    def factorises(self) -> bool:  # type: ignore[override]
        """Over entries only."""
        return self.over == "entry"

    @property
    def marginals(self) -> bool:  # type: ignore[override]
        """If every component's are."""
        return all(dist.marginals for dist in self.of)

    @property
    def default_shape(self) -> Shape | None:  # type: ignore[override]
        """The first component's."""
        return self.of[0].default_shape

    def support(self, variable: Support | None) -> Support:
        return self.of[0].support(variable)

    def raw(self, shape: Shape, support: Support) -> Shape:
        """A weight for each component, then the components' own numbers; of the whole vector in one row."""
        if self.over == "entry":
            return (sum(count * (1 + dist.raw(shape, support)[0]) for dist, count in self.parts()), *shape)
        return (sum(count * (1 + numel(dist.raw(shape, support))) for dist, count in self.parts()),)

    def free(self, shape: Shape) -> dict[str, Shape]:
        """The components'; copies of one distribution share them."""
        return {f"{i}.{k}": s for i, dist in enumerate(self.of) for k, s in dist.free(shape).items()}

    def offers(self, support: Support) -> Offers:
        return Offers(density=Density.ANY, enumerate=all(d.offers(support).enumerate for d in self.of))

    def problem(self, shape: Shape, support: Support | None) -> str | None:
        if len(self.of) > 1 and self.components is not None:
            return "`components` counts copies where one is written; a list has its own length"
        own = self.support(support)
        for dist in self.of:
            if dist.density is not Density.ANY:
                return f"`of` names {dist.tag}, which has no density"
            if dist.support(support) != own:
                return (
                    f"`of` mixes {self.of[0].tag} on {own} and {dist.tag} on {dist.support(support)}: their "
                    "supports differ"
                )
            if self.over == "entry" and not dist.factorises:
                return f"`over` entry needs a product over the entries, and {dist.tag} here is one density of all"
            why = dist.problem(shape, support)
            if why is not None:
                return f"`of` {dist.tag}: {why}"
        return None
