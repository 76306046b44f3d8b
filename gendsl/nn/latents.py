"""Latents: values of every latent for one batch, by the routes that the graph says.

Rows are tiled copies of the batch's B rows. The full number is S_E * S_M * k * B: joint states of the latents
enumerated under an encoder, of those summed out, draws of the sampled ones, rows of the batch, in this order. A tensor
may have fewer rows (B, k * B, ...) as long as it can be tiled up to more: a factor is evaluated on the fewest rows that
its parents need.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from gendsl.compiler.derive.discrete import relaxed
from gendsl.compiler.graph import Factor, How, Role, Variable
from gendsl.compiler.paths import DRAWN
from gendsl.compiler.plans.log_prob import proposals
from gendsl.data.dataset import Batch
from gendsl.nn.estimators import expected, log_probabilities, relax
from gendsl.nn.factor import Conditioned, FactorModule, FlowSection, Plain, tile
from gendsl.nn.starting import starting
from gendsl.schema.components.estimator import Relaxed
from gendsl.schema.facts import code_name, mask_name, numel

if TYPE_CHECKING:
    from gendsl.nn.model import Model

POINTS = (How.CODE, How.FITTED, How.ADVERSARIAL, How.MMD, How.SAMPLED_ONLY, How.INFORMATION, How.CHAIN)
"""Routes of encoders whose log q is not part of any number."""


class Latents:
    """One pass of inference. `marginal`: finite latents are summed, and codes come from the prior (for log_prob).

    `state`: values that are corrupted in place of the batch's. `hard`: latents that training relaxes are drawn
    as values. `given`: values of latents in place of what q says, where log p of these, and of all that stands beside
    them in p (`only`), is all that is wanted.
    """

    def __init__(
        self,
        model: Model,
        batch: Batch,
        samples: int = 1,
        *,
        marginal: bool = False,
        corrupt: bool,
        step: int = 0,
        state: Mapping[str, Tensor] = MappingProxyType({}),
        hard: bool = False,
        given: Mapping[str, Tensor] = MappingProxyType({}),
        only: Collection[str] | None = None,
    ) -> None:
        self.state, self.only = state, only
        self.model, self.graph, self.batch = model, model.graph, batch
        self.rows, self.samples = len(batch), samples
        self.marginal, self.corrupt = marginal, corrupt
        finite = [n for n, r in self.graph.routes.items() if r.how in (How.ENUMERATED, How.SUMMED)]
        finite = [n for n in finite if only is None or n in only]
        self.enumerated = [n for n in finite if self.graph.routes[n].how is How.ENUMERATED and not marginal]
        self.summed = [n for n in finite if n not in self.enumerated]
        self.proposed = set(proposals(self.graph)["prior"]) if marginal else set()
        self.step = step
        self.relaxed = set() if marginal or hard else set(relaxed(self.graph))
        """Latents whose values here are weights of their values."""
        self.inner = set(self.summed)
        """The variables whose values differ between the states of what is summed out."""
        self.values: dict[str, Tensor] = {**batch.values, **given}
        self.log_q: dict[str, Tensor] = {}
        self.posterior: dict[str, Conditioned] = {}
        self.log_det: dict[str, Tensor] = {}
        self.distance: dict[str, Tensor] = {}
        """Of quantised latents: the loss that draws vectors and codewords together, for each row."""
        self._masks()
        self._states()
        if only is None:
            self._encode()
        self._invert()
        if marginal:
            self._propose()

    # -- sizes ----------------------------------------------------------------------------------------------------

    @cached_property
    def shape(self) -> tuple[int, int, int, int]:
        """(S_E, S_M, k, B)."""
        return (self._count(self.enumerated), self._count(self.summed), self.samples, self.rows)

    @property
    def full(self) -> int:
        return math.prod(self.shape)

    def _count(self, names: Iterable[str]) -> int:
        return math.prod(states_of(self.graph.variables[n]) for n in names)

    def rows_of(self, factor: Factor) -> int:
        """The fewest rows that a factor's parents need."""
        read = [self.values[n] for n in self.model.reads(factor.name) if n in self.values]
        return max([self.rows, *(value.shape[0] for value in read)])

    def grid(self, value: Tensor) -> Tensor:
        """Numbers of any row count as [S_E, S_M, k, B, ...]."""
        return tile(value, self.full // value.shape[0]).view(*self.shape, *value.shape[1:])

    # -- values ---------------------------------------------------------------------------------------------------

    def _masks(self) -> None:
        for name, known in self.batch.known.items():
            if self.graph.variables[name].missing:
                self.values[mask_name(name)] = known.to(self.model.dtype)

    def _states(self) -> None:
        """Every joint state of the finite latents, on the full number of rows."""
        names = [*self.enumerated, *self.summed]
        if not names:
            return
        counts = [states_of(self.graph.variables[n]) for n in names]
        index = torch.arange(math.prod(counts), device=self.model.device)
        for name, count in zip(reversed(names), reversed(counts), strict=True):
            state = _decode(self.graph.variables[name], index % count)
            index = index // count
            repeats = self.samples * self.rows
            self.values[name] = state.repeat_interleave(repeats, 0)

    def condition(self, factor: Factor, rows: int | None = None) -> Conditioned:
        """The factor's distribution on the fewest rows that its parents need, and at least `rows`."""
        module = self.model.factor(factor.name)
        assert isinstance(module, FactorModule)
        names = [n for n in self.model.reads(factor.name) if n in self.values]
        most = self.rows_of(factor)
        cut = factor.section in ("encoder", "prior")
        read = {n: self.lift(self._read(n, cut), most) for n in names}
        conditioned = module.condition(read, most)
        return conditioned if rows is None or rows <= most else conditioned.repeat(rows // most)

    def _read(self, name: str, cut: bool) -> Tensor:
        """A value; `cut`: codes to which a prior is fitted take no gradient from it."""
        route = self.graph.routes.get(name)
        fitted = cut and route is not None and route.how is How.FITTED
        return self.values[name].detach() if fitted else self.values[name]

    def lift(self, value: Tensor, rows: int) -> Tensor:
        """As many copies of the rows as make that number."""
        return tile(value, rows // value.shape[0])

    def _encode(self) -> None:
        """Corruptions and encoders, in the order of q."""
        least = self.samples * self.rows
        for name in self.graph.order("q"):
            if self.graph.variables[name].role is Role.CORRUPTED:
                source = self.graph.factors[f"corruption.{name}"].parents[0]
                clean = self.state.get(source, self.values[source])
                self.values[name] = self.model.channel(name)(clean) if self.corrupt else clean
                continue
            route = self.graph.routes.get(name)
            encoder = self.graph.q(name)
            if route is None or encoder is None or name in self.proposed:
                continue
            if self.inner & set(encoder.parents):
                self.inner.add(name)
            if route.how in DRAWN:
                posterior, rows = self.condition(encoder), self.rows_of(encoder)
                self.posterior[name] = posterior
                times = max(least // rows, 1)
                drawn = self._draw(name, posterior.repeat(times), rows * times)
                self.values[name], self.log_q[name] = drawn
            elif self.graph.codewords(name) is not None:
                self._quantise(name, self.condition(encoder))
            elif name in self.relaxed:
                self.values[name], _ = self._draw(name, self.condition(encoder), self.rows_of(encoder))
            elif route.how in POINTS:
                self.values[name], _ = self.condition(encoder).draw()

    def _draw(self, name: str, posterior: Conditioned, rows: int) -> tuple[Tensor, Tensor]:
        """A draw of q, or relaxed weights of its values, with log q; the known values of a label are certain."""
        variable = self.graph.variables[name]
        if name in self.relaxed:
            spec = self.graph.routes[name].estimator
            assert isinstance(spec, Relaxed)
            table = log_probabilities(posterior, rows, variable, self.model.device)
            value = relax(table, spec, self.step)
            log_q = expected(table, value)
        else:
            value, density = posterior.draw()
            assert density is not None
            log_q = density
        if name not in self.known:
            return value, log_q
        true = self.lift(self.batch.values[name], len(log_q))
        if name in self.relaxed:
            assert variable.support is not None
            true = one_hot(true.long() - int(variable.support.low), value.shape[-1])
        known = self.lift(self.known[name], len(log_q))
        wide = known.view(-1, *[1] * (value.dim() - 1))
        return torch.where(wide, true.to(value.dtype), value), torch.where(known, 0.0, log_q)

    def _quantise(self, name: str, vectors: Conditioned) -> None:
        """Indices, and beside them the codewords that networks read, with the gradient of the encoder's vectors."""
        assert isinstance(vectors, Plain)
        found = self.model.codebook(name).quantise(vectors.raw)
        self.values[name], self.values[code_name(name)] = found.codes, found.words
        self.distance[name] = found.loss

    def _invert(self, names: Iterable[str] | None = None) -> None:
        """Bases of flows (those named, or all), by inverting the flow of the observed variable."""
        bases = self.graph.bases()
        for base in bases if names is None else names:
            factor = bases[base]
            if any(p not in self.values for p in (factor.head, *factor.parents[1:])):
                continue
            module = self.model.factor(factor.name)
            assert isinstance(module, FlowSection)
            read_by = [factor.head, *self.model.reads(factor.name)]
            if self.inner & {factor.head, *factor.parents[1:]}:
                self.inner.add(base)
            most = max(self.values[n].shape[0] for n in read_by)
            read = {n: self.lift(self.values[n], most) for n in read_by}
            context = module.read(read)
            if self.known.keys() & read.keys() and starting(module):
                self._start(module, read[factor.head], read, context)
            inner, log_det = module.stack.inverse(read[factor.head], context)
            shape = self.graph.variables[base].shape
            assert shape is not None
            self.values[base] = inner.reshape(most, *shape)
            self.log_det[factor.head] = log_det

    @torch.no_grad()
    def _start(
        self, module: FlowSection, value: Tensor, read: Mapping[str, Tensor], context: Tensor | None
    ) -> None:
        """A flow starts from the states that can be: of a row whose label is known, from that one."""
        possible = torch.ones(len(value), dtype=torch.bool, device=value.device)
        for name in self.known.keys() & read.keys():
            true = self.lift(self.batch.values[name], len(value))
            same = (read[name] == true).reshape(len(value), -1).all(1)
            possible &= same | ~self.lift(self.known[name], len(value))
        module.stack.inverse(value[possible], None if context is None else context[possible])

    def _propose(self) -> None:
        """Latents whose encoder has no density that can be used are drawn from the prior.

        A flow that is given one of them is inverted once it is there, and what hangs from its base comes after that.
        """
        bases = self.graph.bases()
        while True:
            for name in self.graph.order("p"):
                if name not in bases:
                    self._from_prior(name)
            waiting = [n for n in bases if n not in self.values]
            self._invert(waiting)
            if all(n not in self.values for n in waiting):
                return

    def _from_prior(self, name: str) -> None:
        """A latent without a value, from its prior if all that this is given is there."""
        prior = self.graph.p(name)
        if name in self.values or prior is None or self.graph.variables[name].role is not Role.LATENT:
            return
        if any(n not in self.values for n in prior.parents):
            return
        if self.inner & set(prior.parents):
            self.inner.add(name)
        self.values[name], _ = self.condition(prior, self.samples * self.rows).draw()
        if self.graph.codewords(name) is not None:
            self.values[code_name(name)] = self.model.codebook(name).embed(self.values[name])

    def fill(self, name: str) -> Tensor:
        """Draws of an observed variable's missing entries given their parents, one for each row of the grid.

        What is below reads them, unless networks were trained to read zeros and the mask. Returns [full, *shape].
        """
        factor = self.graph.p(name)
        assert factor is not None
        value, known = (self.lift(t, self.full) for t in (self.values[name], self.batch.known[name]))
        completed = self.condition(factor, self.full).complete(value, known)
        if not self.graph.variables[name].missing:
            self.values[name] = completed
            self._invert()
        return completed

    @cached_property
    def known(self) -> dict[str, Tensor]:
        """Which rows of each partly observed variable are known, [B] of booleans."""
        return {n: self.batch.known[n] for n, v in self.graph.variables.items() if v.role is Role.PARTIAL}


def states_of(variable: Variable) -> int:
    """How many values a finite variable has, all its entries together."""
    assert variable.support is not None
    assert variable.support.count is not None
    assert variable.shape is not None
    return int(variable.support.count ** numel(variable.shape))


def _decode(variable: Variable, index: Tensor) -> Tensor:
    """State numbers [S] -> values [S, *shape]."""
    assert variable.support is not None
    assert variable.support.count is not None
    assert variable.shape is not None
    digits = []
    for _ in range(numel(variable.shape)):
        digits.append(index % variable.support.count)
        index = index // variable.support.count
    values = torch.stack(digits, 1) + int(variable.support.low)
    return values.view(-1, *variable.shape)
