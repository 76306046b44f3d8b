"""An encoder without parameters: Langevin steps on U(z) = -log p(x, z), the energy of a tilted prior included.

    z <- z - (eps/2) grad U(z) + sqrt(eps T) noise,    from a draw of the prior (Pang et al. 2020, eq. 9)

Finite latents beside z are summed out of p(x, z). What the chain ends at takes no gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gendsl.compiler.derive.posterior_chains import blanket
from gendsl.data.batch import Batch
from gendsl.nn import tilt
from gendsl.nn.distributions import DiracFamily
from gendsl.nn.factor import Conditioned, FactorModule, Values, tile
from gendsl.nn.inference import Trace
from gendsl.nn.langevin import Potential, langevin
from gendsl.schema.components.dist_langevin import LangevinPosterior
from gendsl.schema.facts import Support, mask_name

if TYPE_CHECKING:
    from gendsl.nn.model import Model


class PosteriorChain(FactorModule):
    """The chain of one latent on the rest of the model, which it does not own."""

    def __init__(self, spec: LangevinPosterior, name: str, support: Support) -> None:
        super().__init__(DiracFamily(support), None, density=False)
        self.spec, self.name, self.support = spec, name, support
        self._not_owned: tuple[Model, ...] = ()

    def bind(self, model: Model) -> None:
        """The model that the chain moves in."""
        self._not_owned = (model,)

    def condition(self, values: Values, rows: int) -> Chained:
        """The chain given data; raises KeyError where some of it is missing."""
        (model,) = self._not_owned
        _, data = blanket(model.graph, self.name)
        given = {n: values[n] for n in data}
        known = {n: values[mask_name(n)] > 0 for n in data if mask_name(n) in values}
        zeros = {n: torch.zeros(rows, dtype=model.dtype, device=model.device) for n in given}
        return Chained(self, Batch(given, zeros, known, {}, torch.arange(rows)))

    def potential(self, batch: Batch) -> Potential:
        """-log p(x, z) of each row, up to log Z of an energy."""
        (model,) = self._not_owned
        latents, data = blanket(model.graph, self.name)
        tilted = self.name in model.graph.spec.energy

        def of(value: Tensor) -> Tensor:
            trace = Trace(model, batch, corrupt=False, given={self.name: value}, only=latents | data)
            log_p = torch.stack(list(trace.contributions.values())).sum((0, 1, 2))
            return -log_p + tilt.energy(model, self.name)(*tilt.read(trace, self.name)) if tilted else -log_p

        return of

    @torch.no_grad()
    def start(self, batch: Batch) -> Tensor:
        """A draw of the prior (of a tilted one, of the density beneath) for each row, [B, *shape]."""
        (model,) = self._not_owned
        rows = len(batch)
        if self.name in model.graph.spec.energy:
            return tilt.proposal(model, self.name, rows, tilt.given_of(model, self.name, batch.values))
        return model.ancestral(rows, batch.values, [self.name], given_data=True)[self.name]


class Chained(Conditioned):
    """The chain's end given the data of a batch; every draw runs it anew."""

    def __init__(self, chain: PosteriorChain, batch: Batch) -> None:
        self.chain, self.batch = chain, batch

    def draw(self, temperature: float = 1.0) -> tuple[Tensor, Tensor | None]:
        spec = self.chain.spec.model_copy(update={"temperature": temperature * self.chain.spec.temperature})
        potential = self.chain.potential(self.batch)
        return langevin(potential, self.chain.start(self.batch), spec, self.chain.support), None

    def log_prob(self, value: Tensor) -> Tensor:
        raise TypeError("the end of a chain has no density that is known")

    def entries(self, value: Tensor) -> Tensor:
        return self.log_prob(value)

    def mean(self) -> Tensor:
        """The chain's end: its mean is not known."""
        return self.draw()[0]

    def repeat(self, times: int) -> Chained:
        return Chained(self.chain, self.batch.each(lambda tensor: tile(tensor, times)))


def build_langevin(spec: LangevinPosterior, name: str, support: Support) -> PosteriorChain:
    return PosteriorChain(spec, name, support)
