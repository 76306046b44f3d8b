"""The VampPrior (Tomczak and Welling 2018, eq. 9): p(z | y) = (1 / K) sum_k q(z | u_k, y).

q is the encoder before its flow, u_k are learned pseudo-inputs in place of its observed parents, y its conditions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gendsl.nn.distributions import Family, onto
from gendsl.nn.factor import Conditioned, FactorModule, Values, tile
from gendsl.nn.transforms.stack import Stack
from gendsl.schema.components.dist_vamp import Vamp
from gendsl.schema.facts import Input, Inputs, mask_name


class Pseudo(nn.Module):
    """K learned values of one parent, between the ends of its support; of a label K rows of weights."""

    def __init__(self, item: Input, count: int) -> None:
        super().__init__()
        self.labels, self.support = item.labels, item.support
        self.raw = nn.Parameter(torch.randn(count, *item.shape, *([item.classes] if item.labels else [])))

    def forward(self) -> Tensor:
        return torch.softmax(self.raw, -1) if self.labels else onto(self.support, self.raw)


class VampPrior(FactorModule):
    """Conditions -> the mixture. The encoder is not its own: it is trained as the encoder and as this."""

    def __init__(
        self, encoder: FactorModule, pseudo: Inputs, masked: tuple[str, ...], count: int, stack: Stack | None
    ) -> None:
        super().__init__(Family(), stack, True)
        self._encoder, self.masked, self.count = (encoder,), masked, count
        self.pseudo = nn.ModuleDict({i.name: Pseudo(i, count) for i in pseudo})

    def parts(self, values: Values, rows: int) -> tuple[Conditioned, Tensor | None]:
        given = {n: v for n, v in values.items() if n not in self.pseudo}
        return PseudoMixture(self, given, rows), None

    def components(self, given: Values, rows: int, index: Tensor) -> Conditioned:
        """q(. | u_k, conditions of the row), for each row's k."""
        read = {name: module()[index] for name, module in self.pseudo.items()}
        read |= {mask_name(n): torch.ones_like(read[n]) for n in self.masked}
        return self._encoder[0].parts({**given, **read}, rows)[0]


class PseudoMixture(Conditioned):
    """The mixture for N rows; row n of component k is row n * K + k of the encoder's."""

    def __init__(self, module: VampPrior, given: Values, rows: int) -> None:
        self.module, self.given, self.rows = module, given, rows

    def _all(self) -> Conditioned:
        """Every component of every row, [N * K, ...]; computed once for all rows where nothing is given."""
        count = self.module.count
        index = torch.arange(count, device=next(self.module.parameters()).device)
        if not self.given:
            return self.module.components({}, count, index).repeat(self.rows)
        given = {n: v.repeat_interleave(count, 0) for n, v in self.given.items()}
        return self.module.components(given, self.rows * count, tile(index, self.rows))

    def draw(self, temperature: float = 1.0) -> tuple[Tensor, Tensor | None]:
        device = next(self.module.parameters()).device
        index = torch.randint(self.module.count, (self.rows,), device=device)
        value = self.module.components(self.given, self.rows, index).draw(temperature)[0]
        return value, self.log_prob(value)

    def log_prob(self, value: Tensor) -> Tensor:
        count = self.module.count
        each = self._all().log_prob(value.repeat_interleave(count, 0)).view(self.rows, count)
        return torch.logsumexp(each, 1) - math.log(count)

    def entries(self, value: Tensor) -> Tensor:
        raise TypeError("the density of a mixture is not a product over entries")

    def mean(self) -> Tensor:
        means = self._all().mean()
        return means.view(self.rows, self.module.count, *means.shape[1:]).mean(1)

    def repeat(self, times: int) -> PseudoMixture:
        given = {n: tile(v, times) for n, v in self.given.items()}
        return PseudoMixture(self.module, given, self.rows * times)


def build_vamp(
    spec: Vamp, encoder: FactorModule, pseudo: Inputs, masked: tuple[str, ...], stack: Stack | None
) -> VampPrior:
    """The prior over an encoder that is built already; `masked`: parents whose missing entries it is told of."""
    return VampPrior(encoder, pseudo, masked, spec.pseudo_inputs, stack)
