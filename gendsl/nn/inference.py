"""Trace: the values of one batch, and log-probabilities of everything that is scored, on the same grid of rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property

import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from gendsl.compiler.derive.discrete import score_functions
from gendsl.compiler.graph import Factor, How, Role
from gendsl.compiler.paths import chain
from gendsl.nn.any_order import AnyOrder
from gendsl.nn.estimators import expected, log_probabilities
from gendsl.nn.factor import Plain, Sequential
from gendsl.nn.latents import Latents
from gendsl.nn.transforms.stack import flat_sum


class Trace(Latents):
    """One pass of inference, scored."""

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
            return self.lift(inner, most) + self.lift(log_det, most)
        return self._score(factor, self._read(name, cut=True))

    def _score(self, factor: Factor, value: Tensor) -> Tensor:
        conditioned = self.condition(factor, value.shape[0])
        rows = max(value.shape[0], self.rows_of(factor))
        if factor.head in self.relaxed:
            table = log_probabilities(conditioned, rows, self.graph.variables[factor.head], self.model.device)
            return expected(table, self.lift(value, rows))
        missing = factor.head in self.batch.known and self.graph.variables[factor.head].role is Role.OBSERVED
        present = self.lift(self.batch.known[factor.head], rows) if missing else None
        if isinstance(conditioned, AnyOrder):
            score = conditioned.bound if self.linear else conditioned.log_prob
            return score(self.lift(value, rows), present)
        if present is not None:
            value = self.lift(value, rows)
            if isinstance(conditioned, Sequential):
                value, present = conditioned.shown(value, present)
            entries = conditioned.entries(value)
            return flat_sum(torch.where(present, entries, torch.zeros_like(entries)))
        return conditioned.log_prob(self.lift(value, rows))

    @property
    def linear(self) -> bool:
        """Whether log p is only ever averaged: not under a sum over states, nor in importance weights."""
        return not (self.marginal or self.summed or self.model.weighted)

    def _certain(self, name: str, dtype: torch.dtype) -> Tensor:
        """0 where a row carries the true value of a partly observed variable, else -inf: [S_E, S_M, k, B]."""
        carried = self.grid(self.lift(self.batch.values[name], self.full) == self.values[name])
        return torch.where(carried, 0.0, -torch.inf).to(dtype)

    def _only_true(self, name: str, log: Tensor) -> Tensor:
        """`log` of each state, -inf at those of a summed variable that are not what is known of it."""
        if name not in self.summed or name not in self.known:
            return log
        certain = self._certain(name, log.dtype)
        return log + torch.where(self.known[name], certain, torch.zeros_like(certain))

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
        return torch.where(self.known[name], self._certain(name, log_q.dtype), log_q)

    @cached_property
    def scores(self) -> dict[str, Tensor]:
        """log q of each latent's draws whose gradient is taken by score function, [S_E, k, B]."""
        grids = {n: self.grid(self.log_q[n]) for n in score_functions(self.graph) if n in self.log_q}
        return {n: g.sum(1) if n in self.inner else g[:, 0] for n, g in grids.items()}

    def score(self, names: Iterable[str]) -> Tensor | None:
        """The sum of these latents' scores, [S_E, k, B]; None without any."""
        each = [self.scores[n] for n in names if n in self.scores]
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
        for name in filter(self._counts, chain(self.graph)):
            log_p = self.grid(self.log_p(name))
            if name in self.log_q and (self.marginal or name in self.inner):
                log_p = log_p - self.grid(self.log_q[name])
            if not self._summed_within(name):
                found[name] = log_p[:, 0]
                continue
            joint = joint + log_p + (math.log(self._count([name])) if name in self.summed else 0.0)
            joint = self._only_true(name, joint)
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
        if self.graph.p(name) is None or name in self.proposed:
            return False
        if self.only is not None and name not in self.only:
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
        drawn = self.rows_of(encoder)
        rows = max(self.rows_of(prior), drawn)
        p, q = self.condition(prior, rows), self.posterior[name].repeat(rows // drawn)
        assert isinstance(p, Plain)
        assert isinstance(q, Plain)
        own, other = q.distribution(), p.distribution()
        assert isinstance(own, Distribution)
        assert isinstance(other, Distribution)
        return kl_divergence(own, other)

    def log_states(self) -> Tensor:
        """log w of every joint state of what is summed out, [S_M, k, B]; needs a marginal trace."""
        total = torch.zeros(self.shape, dtype=self.model.dtype, device=self.model.device)
        for name in filter(self._counts, chain(self.graph)):
            total = total + self.grid(self.log_p(name))
            if name in self.log_q:
                total = total - self.grid(self.log_q[name])
            total = self._only_true(name, total)
        return total[0]

    def log_joint(self) -> Tensor:
        """log w = log p(observed, latents) - log q(latents), [k, B]; needs a marginal trace."""
        total = torch.zeros(self.samples, self.rows, dtype=self.model.dtype, device=self.model.device)
        for value in self.contributions.values():
            total = total + value[0]
        return total
