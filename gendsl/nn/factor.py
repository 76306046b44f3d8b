"""Conditional distributions: a factor, given its parents' values, becomes a Conditioned that samples and scores.

A factor is a body (network), an output layer, a family, and possibly a flow on top. `Conditioned` is p(. | parents)
for N rows. Row repetition is always whole copies one after another ("tile"): row i of copy j is j * N + i.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gendsl.nn.distributions import Drawn, Family
from gendsl.nn.mixtures import MixtureFamily
from gendsl.nn.rows import as_vectors
from gendsl.nn.starting import Starting
from gendsl.nn.stepping import Framed, walk
from gendsl.nn.transforms.stack import Stack, flat_sum, widened
from gendsl.schema.facts import NOISE

Values = Mapping[str, Tensor]


class Conditioned(ABC):
    """p(. | parents) for the parents' N rows."""

    @abstractmethod
    def draw(self, temperature: float = 1.0) -> tuple[Tensor, Tensor | None]:
        """A sample [N, *shape], with gradients where the family has them, and its log density [N] or None."""

    @abstractmethod
    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value | parents), [N]. Raises TypeError where there is no density at given points."""

    @abstractmethod
    def entries(self, value: Tensor) -> Tensor:
        """log p of each entry, [N, *shape]; only for densities that are products over entries."""

    def marginals(self, value: Tensor) -> Tensor:
        """log p of each entry by itself, [N, *shape]. Raises TypeError where that has no closed form."""
        return self.entries(value)

    def complete(self, value: Tensor, known: Tensor) -> Tensor:
        """`value` [N, *shape] with draws in place of the entries that are not `known`, each given what comes before.

        Only for densities that are products over entries, in an order or not. Raises TypeError for a flow.
        """
        return torch.where(known, value, self.draw()[0].to(value.dtype))

    @abstractmethod
    def mean(self) -> Tensor:
        """The mean, or for a flow the image of the base's mean, [N, *shape]."""

    @abstractmethod
    def repeat(self, times: int) -> Conditioned:
        """The same distribution on `times` copies of the rows, one copy after another."""


class Plain(Conditioned):
    """Raw numbers of all entries are known at once."""

    def __init__(self, family: Family, raw: Tensor, density: bool) -> None:
        self.family, self.raw, self.density = family, raw, density

    def distribution(self, temperature: float = 1.0) -> Drawn:
        drawn: Drawn = self.family(self.raw, temperature)
        return drawn

    def draw(self, temperature: float = 1.0) -> tuple[Tensor, Tensor | None]:
        drawn = self.distribution(temperature)
        value = drawn.rsample() if self.family.reparameterised else drawn.sample()
        return value, flat_sum(self.distribution().log_prob(value)) if self.density else None

    def log_prob(self, value: Tensor) -> Tensor:
        return flat_sum(self.distribution().log_prob(value.to(self.raw.dtype)))

    def entries(self, value: Tensor) -> Tensor:
        if self.family.joint:
            raise TypeError("a joint density of all entries is not a product over them")
        return self.distribution().log_prob(value.to(self.raw.dtype))

    def marginals(self, value: Tensor) -> Tensor:
        return self.family.marginal(self.raw, value.to(self.raw.dtype))

    def mean(self) -> Tensor:
        return self.family.mean(self.raw)

    def repeat(self, times: int) -> Plain:
        return Plain(self.family, tile(self.raw, times), self.density)


class Sequential(Conditioned):
    """An autoregressive density: the raw numbers of an entry depend on the entries before it."""

    def __init__(
        self, net: nn.Module, family: Family, values: Values, rows: int, turns: Tensor, like: Tensor
    ) -> None:
        self.net, self.family, self.values, self.rows = net, family, values, rows
        self.turns, self.like = turns, like

    def raw(self, value: Tensor) -> Tensor:
        """The raw numbers of every entry given the entries of `value` before it."""
        return widened(self.net(dict(self.values), value))

    def draw(
        self, temperature: float = 1.0, *, cached: bool = True, prefix: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Entry by entry; `cached=False` runs the whole network at every turn, to the same effect.

        `prefix` [N, K] are given values of the first K entries in their turn: the others are drawn given them.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.family.reparameterised):
            value = self._walk(temperature, cached, prefix)
        return value, self.log_prob(value)

    def _walk(self, temperature: float, cached: bool, prefix: Tensor | None) -> Tensor:
        stepper = walk(self.net, dict(self.values), self.rows, self.turns, self.like, cached=cached)
        found: list[Tensor] = []
        for turn, entry in enumerate(self.turns.tolist()):
            raw = widened(stepper.next(found[-1] if found else None))
            if prefix is not None and turn < prefix.shape[1]:
                found.append(prefix[:, turn].to(self.like.dtype))
                continue
            drawn = self.family.entry(entry)(raw, temperature)
            sample = drawn.rsample() if self.family.reparameterised else drawn.sample()
            found.append(sample.to(self.like.dtype))
        return torch.stack(found, 1)[:, torch.argsort(self.turns)].view(self.rows, *self.like.shape)

    def complete(self, value: Tensor, known: Tensor) -> Tensor:
        stepper = walk(self.net, dict(self.values), self.rows, self.turns, self.like)
        value, known = as_vectors(value), as_vectors(known)
        found: list[Tensor] = []
        for entry in self.turns.tolist():
            raw = widened(stepper.next(found[-1] if found else None))
            fresh = self.family.entry(entry)(raw, 1.0).sample().to(self.like.dtype)
            found.append(torch.where(known[:, entry], value[:, entry].to(self.like.dtype), fresh))
        return torch.stack(found, 1)[:, torch.argsort(self.turns)].view(self.rows, *self.like.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return flat_sum(self.entries(value))

    def entries(self, value: Tensor) -> Tensor:
        raw = self.raw(value)
        log_p: Tensor = self.family(raw).log_prob(value.to(raw.dtype))
        return log_p

    def shown(self, value: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Both [N, T, D] up to the last instant that any row has, where the network takes instants as tokens."""
        if not (isinstance(self.net, Framed) and self.net.framed) or any(
            p.dim() for p in self.family.free.values()
        ):
            return value, present
        there = present.flatten(2).any(2).any(0).nonzero()
        last = int(there.max()) + 1 if len(there) else 1
        return value[:, :last], present[:, :last]

    def mean(self) -> Tensor:
        raise TypeError(
            "an autoregressive distribution has no closed-form mean; draw samples and average them"
        )

    def repeat(self, times: int) -> Sequential:
        values = {k: tile(v, times) for k, v in self.values.items()}
        return Sequential(self.net, self.family, values, self.rows * times, self.turns, self.like)


class Flowed(Conditioned):
    """The image of a base distribution under a stack of flow layers."""

    def __init__(self, base: Conditioned, stack: Stack, context: Tensor | None) -> None:
        self.base, self.stack, self.context = base, stack, context

    def draw(self, temperature: float = 1.0) -> tuple[Tensor, Tensor | None]:
        inner, density = self.base.draw(temperature)
        value, log_det = self.stack(inner, self.context)
        return value, None if density is None else density - log_det

    def log_prob(self, value: Tensor) -> Tensor:
        inner, log_det = self.stack.inverse(value, self.context)
        return self.base.log_prob(inner) + log_det

    def complete(self, value: Tensor, known: Tensor) -> Tensor:
        raise TypeError("the density of a flow does not say what some entries imply for the others")

    def entries(self, value: Tensor) -> Tensor:
        raise TypeError("the density of a flow is not a product over entries")

    def mean(self) -> Tensor:
        value: Tensor = self.stack(self.base.mean(), self.context)[0]
        return value

    def repeat(self, times: int) -> Flowed:
        context = None if self.context is None else tile(self.context, times)
        return Flowed(self.base.repeat(times), self.stack, context)


def tile(value: Tensor, times: int) -> Tensor:
    """`times` copies of the rows, one after another."""
    return value if times == 1 else value.repeat(times, *([1] * (value.dim() - 1)))


class FactorModule(nn.Module):
    """Parents' values -> Conditioned. Subclasses say where the raw numbers come from."""

    def __init__(self, family: Family, stack: Stack | None, density: bool) -> None:
        super().__init__()
        self.family, self.stack, self.density = family, stack, density

    def condition(self, values: Values, rows: int) -> Conditioned:
        """The distribution given the parents; `rows` counts where there are none.

        Raises KeyError where a parent's value is missing.
        """
        base, context = self.parts(values, rows)
        return base if self.stack is None else Flowed(base, self.stack, context)

    def parts(self, values: Values, rows: int) -> tuple[Conditioned, Tensor | None]:
        """The distribution before the flow, and the vector that conditions the flow."""
        raise TypeError(f"{type(self).__name__} is abstract")


class Unconditional(FactorModule):
    """Without parents: raw zeros (the standard distribution), or one learned tensor."""

    raw: Tensor

    def __init__(
        self, family: Family, stack: Stack | None, density: bool, raw: tuple[int, ...], learned: bool
    ) -> None:
        super().__init__(family, stack, density)
        if learned:
            self.raw = nn.Parameter(family.start(raw))
        else:
            self.register_buffer("raw", torch.zeros(raw), persistent=False)

    def parts(self, values: Values, rows: int) -> tuple[Conditioned, Tensor | None]:
        raw = self.raw.expand(rows, *self.raw.shape)
        return Plain(self.family, raw, self.density), None


class FromRows(Starting, Unconditional):
    """A mixture without parents: the first values that are scored in training set its components around some of
    them.
    """

    def __init__(
        self, family: MixtureFamily, stack: Stack | None, density: bool, raw: tuple[int, ...]
    ) -> None:
        super().__init__(family, stack, density, raw, learned=True)
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def parts(self, values: Values, rows: int) -> tuple[Conditioned, Tensor | None]:
        found = super().parts(values, rows)
        return (Waiting(self, rows), None) if self.starts_now else found

    @torch.no_grad()
    def begin(self, value: Tensor) -> None:
        """Set the components, if the values are the ones to start from."""
        if self.starts_now:
            assert isinstance(self.family, MixtureFamily)
            self.raw.copy_(self.family.start_at(self.raw, value))
            self.started.fill_(True)


class Waiting(Plain):
    """The distribution of a factor that starts from the first values whose density it is asked for."""

    def __init__(self, module: FromRows, rows: int) -> None:
        super().__init__(module.family, module.raw.expand(rows, *module.raw.shape), module.density)
        self.module, self.rows = module, rows

    def log_prob(self, value: Tensor) -> Tensor:
        self.module.begin(value.detach())
        return super().log_prob(value)

    def repeat(self, times: int) -> Waiting:
        return Waiting(self.module, times * self.rows)


class Direct(FactorModule):
    """A body reads the parents (and noise of its own, for an implicit one); the head gives the raw numbers."""

    def __init__(
        self,
        body: nn.Module,
        head: nn.Module,
        family: Family,
        stack: Stack | None,
        density: bool,
        parents: tuple[str, ...],
        noise: int = 0,
    ) -> None:
        super().__init__(family, stack, density)
        self.body, self.head = body, head
        self.parents, self.noise = parents, noise

    def parts(self, values: Values, rows: int) -> tuple[Conditioned, Tensor | None]:
        read = {name: values[name] for name in self.parents}
        if self.noise:
            rows = next(iter(read.values())).shape[0] if read else rows
            weight = next(self.parameters())
            read[NOISE] = torch.randn(rows, self.noise, dtype=weight.dtype, device=weight.device)
        features = self.body(read)
        return Plain(self.family, widened(self.head(features)), self.density), as_vectors(features)


class SelfReading(FactorModule):
    """A network that reads the variable itself beside the parents; `like` is an empty row of the variable."""

    like: Tensor

    def __init__(
        self,
        net: nn.Module,
        family: Family,
        stack: Stack | None,
        density: bool,
        parents: tuple[str, ...],
        like: Tensor,
    ) -> None:
        super().__init__(family, stack, density)
        self.net, self.parents = net, parents
        self.register_buffer("like", like, persistent=False)

    def read(self, values: Values, rows: int) -> tuple[dict[str, Tensor], int]:
        """The parents' values, and their rows; `rows` where there are none."""
        read = {name: values[name] for name in self.parents}
        return read, next(iter(read.values())).shape[0] if read else rows


class Autoregressive(SelfReading):
    """A network that reads the variable in an order: `turns` [D] are the entries in their turn."""

    turns: Tensor

    def __init__(
        self,
        net: nn.Module,
        family: Family,
        stack: Stack | None,
        density: bool,
        parents: tuple[str, ...],
        like: Tensor,
        turns: Tensor,
    ) -> None:
        super().__init__(net, family, stack, density, parents, like)
        self.register_buffer("turns", turns, persistent=False)

    def parts(self, values: Values, rows: int) -> tuple[Conditioned, Tensor | None]:
        read, rows = self.read(values, rows)
        return Sequential(self.net, self.family, read, rows, self.turns, self.like), None


class FlowSection(nn.Module):
    """x = f(base; context), with the other parents concatenated into the context."""

    def __init__(self, stack: Stack, context: nn.Module | None, parents: tuple[str, ...]) -> None:
        super().__init__()
        self.stack, self.context, self.parents = stack, context, parents

    def read(self, values: Values) -> Tensor | None:
        """The context vector [N, C] of the parents beside the base, or None."""
        if self.context is None:
            return None
        read: Tensor = self.context({name: values[name] for name in self.parents})
        return read
