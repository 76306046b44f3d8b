"""Evaluation: one batch at one step; what several terms need is computed once, and how rows are averaged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gendsl.compiler.derive.sampling import bound_of, draws_of
from gendsl.compiler.graph import Role, Term
from gendsl.data.dataset import Batch
from gendsl.nn import chain, tilt
from gendsl.nn.adversarial import Tuples
from gendsl.nn.estimators import as_weights, leave_one_out, log_probabilities
from gendsl.nn.freezing import frozen
from gendsl.nn.inference import Trace

if TYPE_CHECKING:
    from gendsl.nn.model import Model


@dataclass(frozen=True)
class Value:
    """A term's value, and its cost where that is another number."""

    value: Tensor
    cost: Tensor


def weight_at(term: Term, step: int) -> float:
    """sign * weight, grown linearly over the warm-up."""
    grown = min(1.0, step / term.warmup) if term.warmup else 1.0
    return term.sign * term.weight * grown


class Evaluation:
    """One batch at one step; what several terms need is computed once."""

    def __init__(
        self,
        model: Model,
        batch: Batch,
        step: int,
        *,
        training: bool,
        state: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> None:
        self.model, self.graph, self.batch = model, model.graph, batch
        self.state = state
        """What is corrupted in place of the data."""
        self.step, self.training = step, training
        self.bound, self.draws = bound_of(model.graph), draws_of(model.graph)
        self.seen: dict[str, Tensor] = {}
        """Diagnostics by name, for the log; those of gradients come with the backward pass."""
        self.detached: dict[str, tuple[Tuples, Tuples]] = {}
        """Both sides of a critic's tuples, cut from their makers, once they were asked for."""

    @cached_property
    def trace(self) -> Trace:
        return Trace(
            self.model,
            self.batch,
            self.draws,
            corrupt=self.training,
            step=self.step,
            state=self.state,
        )

    def visited(self, steps: int) -> list[Evaluation]:
        """The same batch with its next corrupted states of the chain (walk-back), cut from what made them."""
        found = [self]
        for _ in range(steps):
            state = chain.onward(found[-1].trace)
            found.append(Evaluation(self.model, self.batch, self.step, training=True, state=state))
        return found[1:]

    @cached_property
    def fake(self) -> dict[str, Tensor]:
        """An ancestral sample of everything in p, given the batch's conditions."""
        return self.model.ancestral(len(self.batch), self.batch.values, relaxed_at=self.step)

    @cached_property
    def fake_given_data(self) -> dict[str, Tensor]:
        """The same with observed variables as data: the prior's sample that a code of the same row is compared with."""
        return self.model.ancestral(len(self.batch), self.batch.values, given_data=True, relaxed_at=self.step)

    # -- averages -------------------------------------------------------------------------------------------------

    def mean(self, value: Tensor, term: Term) -> Tensor:
        """Mean over rows of the expectation over enumerated states and draws of a term's [S_E, k, B] numbers."""
        if self.weighted:
            return (self.normalised * value[0]).sum(0).mean()
        return self.expectation(value, term).mean()

    def expectation(self, value: Tensor, term: Term) -> Tensor:
        """The mean over states, draws and rows of [S_E, k, B, ...], its gradient by the scores that the term takes."""
        trace = self.trace
        if trace.enumerated:
            weights = trace.log_weights.exp()
            value = weights.view(*weights.shape, *[1] * (value.dim() - 3)) * value
        score = trace.score(self.model.scored_draws[term.name])
        if score is not None:
            value = leave_one_out(value, score)
        return value.sum(0).mean((0, 1))

    @property
    def weighted(self) -> bool:
        """Whether the sampled terms are averaged under the importance weights."""
        return self.bound.weighted and self.bound.samples == self.draws and bool(self.trace.log_q)

    @cached_property
    def log_w(self) -> Tensor:
        """log w with the terms' weights, [k, B]: what the bound averages."""
        total = torch.zeros(self.draws, len(self.batch), dtype=self.model.dtype, device=self.model.device)
        for term in self.graph.terms:
            if term.family in ("likelihood", "reconstruction", "kl"):
                total = total - weight_at(term, self.step) * self.rowwise(term)[0]
        return total

    @cached_property
    def normalised(self) -> Tensor:
        """w^: the normalised w^s, [k, B]."""
        return torch.softmax(self.bound.power * self.log_w, 0)

    def rowwise(self, term: Term) -> Tensor:
        """A likelihood, reconstruction or KL term before any average, [S_E, k, B]."""
        trace, subject = self.trace, term.subject
        if term.family == "kl":
            return trace.kl(subject) + self.tilted(subject)
        if "in" in term.options:
            return self._in_features(term)
        value = -trace.contributions[subject]
        if self.graph.variables[subject].role is Role.PARTIAL and subject in trace.log_q:
            return value * trace.known[subject].to(value.dtype)
        if self.graph.variables[subject].role is Role.PARTIAL and subject in trace.enumerated:
            value = value * trace.known[subject].to(value.dtype)
            value = torch.where(trace.log_weights > -torch.inf, value, torch.zeros_like(value))
        return value

    def tilted(self, name: str) -> Tensor:
        """E of a latent at its drawn values, [S_E, k, B]; 0 where it has no energy."""
        if name not in self.graph.spec.energy:
            return torch.zeros((), dtype=self.model.dtype, device=self.model.device)
        return self.trace.grid(tilt.energy(self.model, name)(*tilt.read(self.trace, name)))[:, 0]

    def _in_features(self, term: Term) -> Tensor:
        """-log N(f(x); f(mean), 1), f an adversary's last hidden layer, which this term does not train."""
        trace, name = self.trace, term.subject
        factor = self.graph.p(name)
        assert factor is not None
        critic = self.model.critic(term.options["in"].split(".")[0])
        conditioned, variable = trace.condition(factor, trace.full), self.graph.variables[name]
        soft = name in self.graph.weighed
        mean = (
            log_probabilities(conditioned, trace.full, variable, self.model.device).exp()
            if soft
            else conditioned.mean()
        )
        seen = {n: trace.lift(trace.values[n], trace.full) for n in critic.sees}
        seen |= {
            n: as_weights(v, self.graph.variables[n], self.model.dtype)
            for n, v in seen.items()
            if n in self.graph.weighed
        }
        with frozen(critic.parameters()):
            real = critic.features(seen)
            rebuilt = critic.features({**seen, name: mean})
        distance = 0.5 * (real - rebuilt).square().sum(1) + 0.5 * real.shape[1] * math.log(2 * math.pi)
        return trace.grid(distance)[:, 0]
