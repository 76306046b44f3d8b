"""Order-agnostic densities (`ordering: any`): the mixture over all orders of the entries (Uria et al. 2014).

    p(x) = E_sigma prod_t p(x_sigma(t) | x_sigma(<t)),    sigma uniform over the D! orders

    log p(x) >= E_sigma log p_sigma(x) = E_h E_H (D / h) sum_{i in H} log p(x_i | x_not H)

with h uniform on 1 .. D and H a random set of h entries: one pass of the network for an unbiased estimate of the
bound. It may be averaged but not exponentiated; where log p stands inside an exponential (importance weights, sums over
states) one random order is walked instead, whose p_sigma(x) is an unbiased estimate of p(x).

With entries that are known, or present, the orders begin with these: any subset can be drawn given any other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gendsl.nn.distributions import Drawn, Family
from gendsl.nn.factor import Conditioned, SelfReading, Values, tile
from gendsl.nn.transforms.stack import widened


class AnyOrder(Conditioned):
    """The mixture over orders; `net` maps values, x and what is hidden to raw numbers."""

    def __init__(self, net: nn.Module, family: Family, values: Values, rows: int, like: Tensor) -> None:
        self.net, self.family, self.values, self.rows, self.like = net, family, values, rows, like

    def raw(self, value: Tensor, hidden: Tensor) -> Tensor:
        """Raw numbers [N, P, *shape] given the entries that are not hidden, [N, *shape] of booleans."""
        return widened(self.net(dict(self.values), value, hidden))

    def draw(
        self, temperature: float = 1.0, *, given: Tensor | None = None, known: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """In a random order, each row its own; the density of a draw is known along an order only: None.

        `given` [N, *shape] with `known` booleans of that shape: those entries are kept, the others drawn given them.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.family.reparameterised):
            seen = self._mask(known, False)
            ranks, order = random_orders(seen)
            value = self.like.new_zeros(seen.shape)
            if given is not None:
                value = torch.where(seen, given.reshape(seen.shape).to(value.dtype), value)
            first = int(seen.sum(1).min()) if len(seen) else 0
            for turn in range(first, seen.shape[1]):
                entry = order[:, turn]
                drawn = self._entry(value, ranks >= turn, entry, temperature)
                sample = drawn.rsample() if self.family.reparameterised else drawn.sample()
                here = (ranks == turn) & ~seen
                value = torch.where(here, sample[:, None].to(value.dtype), value)
        return value.view(self.rows, *self.like.shape), None

    def complete(self, value: Tensor, known: Tensor) -> Tensor:
        return self.draw(given=value, known=known)[0]

    def log_prob(self, value: Tensor, known: Tensor | None = None) -> Tensor:
        """log p_sigma(value) along one random order of each row, [N]: in the mean a lower bound of log p.

        `known`: only the entries that are there count. Takes as many passes as a row has entries.
        """
        seen = self._mask(known, True)
        ranks, order = random_orders(seen)
        flat = value.reshape(seen.shape)
        count = seen.sum(1)
        total = None
        for turn in range(int(count.max()) if len(seen) else 0):
            entry = order[:, turn]
            drawn = self._entry(flat, ranks >= turn, entry, 1.0)
            x = flat.gather(1, entry[:, None])[:, 0]
            log_p = drawn.log_prob(x.to(self._dtype(x)))
            log_p = torch.where(turn < count, log_p, torch.zeros_like(log_p))
            total = log_p if total is None else total + log_p
        return torch.zeros(self.rows, device=value.device) if total is None else total

    def bound(self, value: Tensor, known: Tensor | None = None) -> Tensor:
        """An unbiased estimate of E_sigma log p_sigma(value), [N], from one random set of hidden entries."""
        seen = self._mask(known, True)
        ranks, _ = random_orders(seen)
        count = seen.sum(1, keepdim=True)
        hide = 1 + (torch.rand(count.shape, device=count.device) * count).long().clamp(max=count - 1)
        hidden = ranks >= count - hide
        raw = self.raw(value, hidden.view_as(value))
        each: Tensor = self.family(raw).log_prob(value.to(raw.dtype)).reshape(seen.shape)
        asked = torch.where(hidden & seen, each, torch.zeros_like(each)).sum(1)
        return asked * (count / hide.clamp(min=1))[:, 0]

    def entries(self, value: Tensor) -> Tensor:
        raise TypeError("a mixture over orders is not a product over entries")

    def mean(self) -> Tensor:
        raise TypeError(
            "an autoregressive distribution has no closed-form mean; draw samples and average them"
        )

    def repeat(self, times: int) -> AnyOrder:
        values = {k: tile(v, times) for k, v in self.values.items()}
        return AnyOrder(self.net, self.family, values, self.rows * times, self.like)

    def _entry(self, flat: Tensor, hidden: Tensor, entry: Tensor, temperature: float) -> Drawn:
        """The distribution of one entry of each row, [N]."""
        shape = (self.rows, *self.like.shape)
        raw = self.raw(flat.view(shape), hidden.view(shape))
        raw = raw.reshape(*raw.shape[:2], -1)
        place = entry[:, None, None].expand(-1, raw.shape[1], 1)
        return self.family.entry(entry)(raw.gather(2, place)[:, :, 0], temperature)

    def _mask(self, known: Tensor | None, default: bool) -> Tensor:
        if known is None:
            size = (self.rows, self.like.numel())
            return torch.full(size, default, device=self.like.device)
        return known.reshape(self.rows, -1)

    def _dtype(self, x: Tensor) -> torch.dtype:
        return x.dtype if x.is_floating_point() else torch.get_default_dtype()


def random_orders(first: Tensor) -> tuple[Tensor, Tensor]:
    """Ranks [N, D] and entries in their turn [N, D] of a uniform order of each row's entries, `first` ones first."""
    order = (torch.rand(first.shape, device=first.device, dtype=torch.float64) - first.double()).argsort(1)
    return order.argsort(1), order


class OrderAgnostic(SelfReading):
    """A network that reads the variable's entries that are not hidden."""

    def parts(self, values: Values, rows: int) -> tuple[Conditioned, Tensor | None]:
        read, rows = self.read(values, rows)
        return AnyOrder(self.net, self.family, read, rows, self.like), None
