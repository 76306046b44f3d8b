"""Trace: values of every latent for one batch, and log-probabilities of everything that is scored.

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
from torch.distributions import kl_divergence
from torch.nn.functional import one_hot

from gendsl.compiler.derive.discrete import relaxed, score_functions
from gendsl.compiler.graph import Factor, How, Role, Variable
from gendsl.compiler.paths import DRAWN, chain
from gendsl.compiler.plans.log_prob import proposals
from gendsl.data.dataset import Batch
from gendsl.nn.any_order import AnyOrder
from gendsl.nn.estimators import expected, log_probabilities, relax
from gendsl.nn.factor import Conditioned, FactorModule, FlowSection, Plain, tile
from gendsl.nn.transforms.stack import flat_sum
from gendsl.schema.components.estimator import Relaxed
from gendsl.schema.facts import code_name, mask_name, numel

if TYPE_CHECKING:
    from gendsl.nn.model import Model

POINTS = (How.CODE, How.FITTED, How.ADVERSARIAL, How.MMD, How.SAMPLED_ONLY, How.INFORMATION, How.CHAIN)
"""Routes of encoders whose log q is not part of any number."""


class Trace:
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
        most = max([self.rows, *(self.values[n].shape[0] for n in names)])
        cut = factor.section in ("encoder", "prior")
        read = {n: self._lift(self._read(n, cut), most) for n in names}
        conditioned = module.condition(read, most)
        return conditioned if rows is None or rows <= most else conditioned.repeat(rows // most)

    def _read(self, name: str, cut: bool) -> Tensor:
        """A value; `cut`: codes to which a prior is fitted take no gradient from it."""
        route = self.graph.routes.get(name)
        fitted = cut and route is not None and route.how is How.FITTED
        return self.values[name].detach() if fitted else self.values[name]

    def _lift(self, value: Tensor, rows: int) -> Tensor:
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
                posterior, rows = self.condition(encoder), _rows_of(self, encoder)
                self.posterior[name] = posterior
                times = max(least // rows, 1)
                drawn = self._draw(name, posterior.repeat(times), rows * times)
                self.values[name], self.log_q[name] = drawn
            elif self.graph.codewords(name) is not None:
                self._quantise(name, self.condition(encoder))
            elif name in self.relaxed:
                self.values[name], _ = self._draw(name, self.condition(encoder), _rows_of(self, encoder))
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
        true = self._lift(self.batch.values[name], len(log_q))
        if name in self.relaxed:
            assert variable.support is not None
            true = one_hot(true.long() - int(variable.support.low), value.shape[-1])
        known = self._lift(self.known[name], len(log_q))
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
            read = {n: self._lift(self.values[n], most) for n in read_by}
            inner, log_det = module.stack.inverse(read[factor.head], module.read(read))
            shape = self.graph.variables[base].shape
            assert shape is not None
            self.values[base] = inner.reshape(most, *shape)
            self.log_det[factor.head] = log_det

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
        value, known = (self._lift(t, self.full) for t in (self.values[name], self.batch.known[name]))
        completed = self.condition(factor, self.full).complete(value, known)
        if not self.graph.variables[name].missing:
            self.values[name] = completed
            self._invert()
        return completed

    # -- log-probabilities ----------------------------------------------------------------------------------------

    def log_p(self, name: str) -> Tensor:
        """log p(name | parents) of each row; of the entries that are present, where some are missing."""
        factor = self.graph.p(name)
        assert factor is not None
        if factor.base is not None:
            base = self.graph.p(factor.base)
            assert base is not None
            inner = self._score(base, self.values[factor.base])
            log_det = self.log_det[name]
            most = max(inner.shape[0], log_det.shape[0])
            return self._lift(inner, most) + self._lift(log_det, most)
        return self._score(factor, self._read(name, cut=True))

    def _score(self, factor: Factor, value: Tensor) -> Tensor:
        conditioned = self.condition(factor, value.shape[0])
        rows = max(value.shape[0], _rows_of(self, factor))
        if factor.head in self.relaxed:
            table = log_probabilities(conditioned, rows, self.graph.variables[factor.head], self.model.device)
            return expected(table, self._lift(value, rows))
        if isinstance(conditioned, AnyOrder):
            missing = (
                factor.head in self.batch.known and self.graph.variables[factor.head].role is Role.OBSERVED
            )
            known = self._lift(self.batch.known[factor.head], rows) if missing else None
            score = conditioned.bound if self.linear else conditioned.log_prob
            return score(self._lift(value, rows), known)
        if factor.head in self.batch.known and self.graph.variables[factor.head].role is Role.OBSERVED:
            entries = conditioned.entries(self._lift(value, rows))
            known = self._lift(self.batch.known[factor.head], rows)
            return flat_sum(torch.where(known, entries, torch.zeros_like(entries)))
        return conditioned.log_prob(self._lift(value, rows))

    @property
    def linear(self) -> bool:
        """Whether log p is only ever averaged: not under a sum over states, nor in importance weights."""
        return not (self.marginal or self.summed or self.model.weighted)

    @cached_property
    def known(self) -> dict[str, Tensor]:
        """Which rows of each partly observed variable are known, [B] of booleans."""
        return {n: self.batch.known[n] for n, v in self.graph.variables.items() if v.role is Role.PARTIAL}

    def is_state(self, name: str) -> Tensor:
        """Whether a row of the grid carries the known value of a partly observed variable, [S_E, S_M, k, B]."""
        true = self.batch.values[name]
        return self.grid(self._lift(true, self.full) == self.values[name])

    @cached_property
    def log_weights(self) -> Tensor:
        """log q of the enumerated states, with known values certain: [S_E, k, B]."""
        total = torch.zeros(self.shape, dtype=self.model.dtype, device=self.model.device)
        for name in self.enumerated:
            total = total + self.log_state(name)
        return total[:, 0]

    def log_state(self, name: str) -> Tensor:
        """log q(state | parents), or 0 / -inf where the value is known: [S_E, S_M, k, B]."""
        encoder = self.graph.q(name)
        assert encoder is not None
        log_q = self.grid(self.condition(encoder, self.full).log_prob(self.values[name]))
        if name not in self.known:
            return log_q
        certain = torch.where(self.is_state(name), 0.0, -torch.inf).to(log_q.dtype)
        return torch.where(self.known[name], certain, log_q)

    @cached_property
    def score(self) -> Tensor | None:
        """log q of all draws whose gradient is taken by score function, [S_E, k, B]; None without any."""
        names = [n for n in score_functions(self.graph) if n in self.log_q]
        grids = {n: self.grid(self.log_q[n]) for n in names}
        each = [g.sum(1) if n in self.inner else g[:, 0] for n, g in grids.items()]
        return torch.stack(each).sum(0) if each else None

    @cached_property
    def contributions(self) -> dict[str, Tensor]:
        """log p of each scored variable and each latent in the order of `chain`, summed variables out: [S_E, k, B].

        Where latents are summed out, each is a step of the chain rule: the log of the sum after the variable's factor
        minus the log of the sum before it. In a marginal trace, and where a drawn value differs between the states, a
        drawn latent's is log p - log q.
        """
        found: dict[str, Tensor] = {}
        joint = torch.zeros(self.shape, dtype=self.model.dtype, device=self.model.device)
        joint = joint - math.log(self._count(self.summed))  # what has no factor yet is averaged over
        before = torch.zeros(self.shape[0], *self.shape[2:], dtype=self.model.dtype, device=self.model.device)
        for name in chain(self.graph):
            if not self._counts(name):
                continue
            log_p = self.grid(self.log_p(name))
            if name in self.log_q and (self.marginal or name in self.inner):
                log_p = log_p - self.grid(self.log_q[name])
            if not self._summed_within(name):
                found[name] = log_p[:, 0]
                continue
            joint = joint + log_p + (math.log(self._count([name])) if name in self.summed else 0.0)
            if name in self.summed and name in self.known:
                certain = torch.where(self.is_state(name), 0.0, -torch.inf).to(joint.dtype)
                joint = joint + torch.where(self.known[name], certain, torch.zeros_like(certain))
            after = torch.logsumexp(joint, 1)
            found[name] = after - before
            before = after
        return found

    def _summed_within(self, name: str) -> bool:
        """Whether log p(name | parents) differs between the states of what is summed out."""
        factor = self.graph.p(name)
        assert factor is not None
        base = self.graph.p(factor.base) if factor.base is not None else None
        return bool(self.inner & {name, *factor.parents, *(base.parents if base is not None else ())})

    def _counts(self, name: str) -> bool:
        """Whether log p(name) is part of what is computed."""
        if self.graph.p(name) is None or name in self.proposed or (self.only and name not in self.only):
            return False
        route = self.graph.routes.get(name)
        if name in self.graph.scored:
            return True
        if route is None:
            return False
        if route.how is How.CLOSED:
            return self.marginal or self.model.weighted
        if route.how is How.FITTED:
            return not self.marginal
        return route.how in (How.SAMPLED, How.ENUMERATED, How.SUMMED, How.QUANTISED, How.CHAIN)

    def kl(self, name: str) -> Tensor:
        """log q - log p of a sampled or enumerated latent at its values, or the closed form: [S_E, k, B]."""
        how = self.graph.routes[name].how
        if how is How.CLOSED and not self.model.weighted:
            return self.closed_entries(name).sum(-1)
        if how is How.ENUMERATED:
            log_q = self.log_state(name)[:, 0]
            difference = torch.where(torch.isfinite(log_q), log_q - self.contributions[name], 0.0)
            return difference * (~self.known[name]).to(difference.dtype) if name in self.known else difference
        if self.graph.p(name) is None:  # against a fixed energy: the flat measure
            return self.grid(self.log_q[name])[:, 0]
        if name in self.inner:
            return -self.contributions[name]
        difference = self.grid(self.log_q[name])[:, 0] - self.contributions[name]
        return difference * (~self.known[name]).to(difference.dtype) if name in self.known else difference

    def closed_entries(self, name: str) -> Tensor:
        """The KL by formula of each entry, 0 where the value is known: [S_E, k, B, D]."""
        entries = self.closed_kl(name)
        entries = self.grid(entries.reshape(entries.shape[0], -1))[:, 0]
        return entries * (~self.known[name]).to(entries.dtype)[:, None] if name in self.known else entries

    def closed_kl(self, name: str) -> Tensor:
        """KL(q || p) of each entry by formula, [rows, *shape]."""
        prior, encoder = self.graph.p(name), self.graph.q(name)
        assert prior is not None
        assert encoder is not None
        own = _rows_of(self, encoder)
        rows = max(_rows_of(self, prior), own)
        p, q = self.condition(prior, rows), self.posterior[name].repeat(rows // own)
        assert isinstance(p, Plain)
        assert isinstance(q, Plain)
        return kl_divergence(q.distribution(), p.distribution())  # type: ignore[arg-type]

    def log_states(self) -> Tensor:
        """log w of every joint state of what is summed out, [S_M, k, B]; needs a marginal trace."""
        total = torch.zeros(self.shape, dtype=self.model.dtype, device=self.model.device)
        for name in chain(self.graph):
            if not self._counts(name):
                continue
            total = total + self.grid(self.log_p(name))
            if name in self.log_q:
                total = total - self.grid(self.log_q[name])
            if name in self.summed and name in self.known:
                certain = torch.where(self.is_state(name), 0.0, -torch.inf).to(total.dtype)
                total = total + torch.where(self.known[name], certain, torch.zeros_like(certain))
        return total[0]

    def log_joint(self) -> Tensor:
        """log w = log p(observed, latents) - log q(latents), [k, B]; needs a marginal trace."""
        total = torch.zeros(self.samples, self.rows, dtype=self.model.dtype, device=self.model.device)
        for value in self.contributions.values():
            total = total + value[0]
        return total


def _rows_of(trace: Trace, factor: Factor) -> int:
    names = [n for n in trace.model.reads(factor.name) if n in trace.values]
    return max([trace.rows, *(trace.values[n].shape[0] for n in names)])


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
