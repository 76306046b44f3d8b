"""Vector quantisation (van den Oord et al. 2017).

    c = argmin_j |e - b_j|^2,   loss = |sg(e) - b_c|^2 + beta |e - sg(b_c)|^2       (eq. 2 and 3)

e is the net's vector at one entry and b the codebook; what follows reads e + sg(b_c - e): the codeword forwards,
the identity backwards. Both parts of the loss are sums over entries and dimensions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gendsl.nn.distributions import Dirac, Family
from gendsl.nn.starting import Starting
from gendsl.schema.components.dist_quantised import Vq
from gendsl.schema.facts import Shape, Support


class Quantised(NamedTuple):
    """Indices [N, *shape], codewords with the encoder's gradient [N, dim, *shape], and the loss of each row [N]."""

    codes: Tensor
    words: Tensor
    loss: Tensor


class VqFamily(Starting, Family):
    """raw [N, dim, *shape] -> the nearest codewords; zeros have no meaning of their own here.

    The first batch in training sets the codewords to some of its vectors.
    """

    reparameterised = False

    def __init__(self, spec: Vq, shape: Shape) -> None:
        super().__init__(spec.free(shape))
        self.commitment = spec.commitment
        torch.nn.init.normal_(self.codebook)
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    @property
    def codebook(self) -> Tensor:
        """The codewords, [codes, dim]."""
        codebook: Tensor = self.free["codebook"]
        return codebook

    def forward(self, raw: Tensor, temperature: float = 1.0) -> Dirac:
        return Dirac(self.nearest(raw))

    def mean(self, raw: Tensor) -> Tensor:
        return self.nearest(raw)

    @torch.no_grad()
    def nearest(self, raw: Tensor) -> Tensor:
        """The index of the nearest codeword of each entry, [N, *shape] of integers."""
        vectors = raw.movedim(1, -1)  # [N, *shape, dim]
        flat = vectors.reshape(-1, vectors.shape[-1])
        if self.starts_now:
            self._start(flat)
        nearest: Tensor = torch.cdist(flat, self.codebook).argmin(1)
        return nearest.view(vectors.shape[:-1])

    def embed(self, index: Tensor) -> Tensor:
        """Indices [N, *shape] -> codewords [N, dim, *shape]."""
        return self.codebook[index].movedim(-1, 1)

    def quantise(self, raw: Tensor) -> Quantised:
        index = self.nearest(raw)
        words = self.embed(index)
        apart = (raw.detach() - words).square() + self.commitment * (raw - words.detach()).square()
        return Quantised(index, raw + (words - raw).detach(), apart.flatten(1).sum(1))

    def _start(self, vectors: Tensor) -> None:
        codes = self.codebook.shape[0]
        order = torch.randperm(len(vectors), device=vectors.device)
        chosen = vectors[order[torch.arange(codes, device=vectors.device) % len(vectors)]]
        spread = vectors.std(0, correction=0) if len(vectors) > 1 else torch.ones_like(vectors[0])
        self.codebook.copy_(chosen + 0.01 * spread * torch.randn_like(chosen))
        self.started.fill_(True)


def build_vq(spec: Vq, shape: Shape, support: Support) -> Family:
    return VqFamily(spec, shape)
