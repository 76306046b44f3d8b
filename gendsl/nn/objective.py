"""The objective's terms, evaluated: each derived Term becomes numbers, and a player's loss is their weighted sum.

A term's `value` is the quantity it is named after; its `cost` is what enters the loss, which differs only where free
bits or a capacity change how a KL counts. Both are means over the batch's rows.

Importance-weighted bounds: with log w of each draw and w^ the normalised w^s,
    (1/s) log mean w^s = sum_j w^_j log w_j - KL(w^ || uniform) / s,
so the weighted terms and `bound.*` add up to minus the bound exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gendsl.compiler.graph import Critic, How, Role, Term
from gendsl.compiler.passes.adversaries import logit
from gendsl.compiler.passes.objective import bound_of
from gendsl.data.dataset import Batch
from gendsl.nn import chain
from gendsl.nn.adversarial import Tuples
from gendsl.nn.inference import Trace
from gendsl.schema.components.bound import Bound

if TYPE_CHECKING:
    from gendsl.nn.model import Model


@dataclass(frozen=True)
class Value:
    """A term's value, and its cost where that is another number."""

    value: Tensor
    cost: Tensor


@dataclass(frozen=True)
class Loss:
    """What one player minimises on one batch: `total` = sum over terms of sign * weight * cost."""

    total: Tensor
    terms: dict[str, Tensor]


def bound(spec: Bound) -> Bound:
    """A bound is its own facts: number of samples and power of the weights."""
    return spec


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
        state: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.model, self.graph, self.batch = model, model.graph, batch
        self.state = state
        """What is corrupted in place of the data."""
        self.step, self.training = step, training
        self.bound = bound_of(model.graph)

    @cached_property
    def trace(self) -> Trace:
        return Trace(
            self.model, self.batch, self.bound.samples, corrupt=self.training, state=self.state or {}
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
        return self.model.ancestral(len(self.batch), self.batch.values)

    @cached_property
    def fake_given_data(self) -> dict[str, Tensor]:
        """The same with observed variables as data: the prior's sample that a code of the same row is compared with."""
        return self.model.ancestral(len(self.batch), self.batch.values, given_data=True)

    def loss(self, terms: Iterable[Term]) -> Loss:
        """The weighted sum of the terms."""
        total = torch.zeros((), dtype=self.model.dtype, device=self.model.device)
        values: dict[str, Tensor] = {}
        for term in terms:
            found = EVALUATORS[term.family if term.family in EVALUATORS else "penalty"](self, term)
            values[term.name] = found.value.detach()
            weight = weight_at(term, self.step)
            if term.family == "adversary" and self.step < self.graph.critics[term.subject].spec.start:
                weight = 0.0
            if weight:
                total = total + weight * found.cost
        return Loss(total, values)

    # -- averages -------------------------------------------------------------------------------------------------

    def mean(self, value: Tensor) -> Tensor:
        """Mean over rows of the expectation over enumerated states and draws of [S_E, k, B] numbers."""
        if self.weighted:
            weights = self.normalised.detach() if not self.normalised.requires_grad else self.normalised
            return (weights * value[0]).sum(0).mean()
        trace = self.trace
        if not trace.enumerated:
            return value.mean()
        return (trace.log_weights.exp() * value).sum(0).mean()

    @property
    def weighted(self) -> bool:
        """Whether the sampled terms are averaged under the importance weights."""
        return self.bound.weighted and bool(self.trace.log_q)

    @cached_property
    def log_w(self) -> Tensor:
        """log w with the terms' weights, [k, B]: what the bound averages."""
        total = torch.zeros(
            self.bound.samples, len(self.batch), dtype=self.model.dtype, device=self.model.device
        )
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
            return trace.kl(subject)
        if "in" in term.options:
            return self._in_features(term)
        value = -trace.contributions[subject]
        if self.graph.variables[subject].role is Role.PARTIAL and subject in trace.enumerated:
            value = value * trace.known[subject].to(value.dtype)
            value = torch.where(trace.log_weights > -torch.inf, value, torch.zeros_like(value))
        return value

    def _in_features(self, term: Term) -> Tensor:
        """-log N(f(x); f(mean), 1), f an adversary's last hidden layer, which this term does not train."""
        trace, name = self.trace, term.subject
        factor = self.graph.p(name)
        assert factor is not None
        critic = self.model.critic(term.options["in"].split(".")[0])
        mean = trace.condition(factor, trace.full).mean()
        others = {n: trace._lift(trace.values[n], trace.full) for n in critic.sees if n != name}
        with frozen(critic):
            real = critic.features({**others, name: trace._lift(trace.values[name], trace.full)})
            rebuilt = critic.features({**others, name: mean})
        distance = 0.5 * (real - rebuilt).square().sum(1) + 0.5 * real.shape[1] * math.log(2 * math.pi)
        return trace.grid(distance)[:, 0]


class frozen:
    """A module whose parameters take no gradient inside the block, while gradients still pass through it."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.parameters = [p for p in module.parameters() if p.requires_grad]

    def __enter__(self) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_(False)

    def __exit__(self, *exc: object) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_(True)


def _score(e: Evaluation, term: Term) -> Value:
    value = e.mean(e.rowwise(term))
    if e.training and "walkback" in term.options:
        states = e.visited(term.options["walkback"])
        value = torch.stack([value, *(s.mean(s.rowwise(term)) for s in states)]).mean()
    return Value(value, value)


def _kl(e: Evaluation, term: Term) -> Value:
    value = e.mean(e.rowwise(term))
    free, capacity = term.options.get("free_bits", 0.0), term.options.get("capacity")
    cost = value
    if free:
        if e.graph.routes[term.subject].how is How.CLOSED and not e.bound.weighted:
            cost = e.trace.closed_kl(term.subject).mean(0).clamp(min=free).sum()
        else:
            shape = e.graph.variables[term.subject].shape
            assert shape is not None
            cost = value.clamp(min=free * math.prod(shape))
    if capacity is not None:
        cost = (cost - capacity).abs()
    return Value(value, cost)


def _bound(e: Evaluation, term: Term) -> Value:
    """KL(w^ || uniform) / s."""
    weights = e.normalised
    value = (
        (weights * (torch.log_softmax(e.bound.power * e.log_w, 0) + math.log(e.bound.samples))).sum(0).mean()
    )
    value = value / e.bound.power
    return Value(value, value)


def _prior(e: Evaluation, term: Term) -> Value:
    """-log p(z) at the codes, cut."""
    value = -e.mean(e.trace.contributions[term.subject])
    return Value(value, value)


def _information(e: Evaluation, term: Term) -> Value:
    """E[log q(c | x)], c and x from prior and decoder; what p does not make comes with the row."""
    encoder = e.graph.q(term.subject)
    assert encoder is not None
    values = {**e.batch.values, **e.fake}
    for channel in e.graph.side("c"):
        if channel.parents[0] in values:
            values[channel.head] = e.model.channel(channel.head)(values[channel.parents[0]])
    conditioned = e.model.distribution(encoder.name, values, len(e.batch))
    value = conditioned.log_prob(e.fake[term.subject]).mean()
    return Value(value, value)


def _classification(e: Evaluation, term: Term) -> Value:
    """-log q(y | x) on known rows, a mean over all rows of the batch."""
    encoder, trace = e.graph.q(term.subject), e.trace
    assert encoder is not None
    conditioned = trace.condition(encoder, trace.full)
    log_q = trace.grid(conditioned.log_prob(trace._lift(e.batch.values[term.subject], trace.full)))[:, 0]
    value = -(trace.log_weights.exp() * log_q).sum(0) if trace.enumerated else -log_q[0]
    if term.subject in trace.known:
        value = torch.where(trace.known[term.subject], value, torch.zeros_like(value))
    return Value(value.mean(), value.mean())


def _mmd(e: Evaluation, term: Term) -> Value:
    """Unbiased squared MMD with k(a, b) = C / (C + |a - b|^2), C = 2 D scale^2 (Tolstikhin et al. 2018)."""
    codes = e.trace.values[term.subject].flatten(1)
    prior = e.fake[term.subject].flatten(1).to(codes.dtype)
    codes = codes[: len(e.batch)]
    scale = term.options.get("scale", 1.0)
    c = 2.0 * codes.shape[1] * scale**2

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        distance: Tensor = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
        ratio: Tensor = c / (c + distance.square())
        return ratio

    n = codes.shape[0]
    off = 1.0 - torch.eye(n, dtype=codes.dtype, device=codes.device)
    within = ((kernel(codes, codes) + kernel(prior, prior)) * off).sum() / (n * (n - 1))
    value = within - 2 * kernel(codes, prior).mean()
    return Value(value, value)


# -- adversaries ------------------------------------------------------------------------------------------------------


def tuples(e: Evaluation, critic: Critic) -> tuple[Tuples, Tuples]:
    """(R, F): the tuples of both sides, with gradients to whoever made them."""
    real: Tuples = {}
    fake: Tuples = {}
    for name in critic.spec.sees:
        role = e.graph.variables[name].role
        data = role is Role.CONDITION or role is Role.OBSERVED
        real[name] = e.batch.values[name] if data else e.trace.values[name][: len(e.batch)]
        fake[name] = (e.fake if critic.stands_in is None else e.fake_given_data).get(name, real[name])
    return noisy(e, critic, real), noisy(e, critic, fake)


def noisy(e: Evaluation, critic: Critic, values: Tuples) -> Tuples:
    """Instance noise on what is real-valued, annealed linearly."""
    noise = critic.spec.noise
    if noise is None:
        return values
    std = noise.std * (max(0.0, 1.0 - e.step / noise.anneal) if noise.anneal else 1.0)
    if std == 0.0:
        return values
    return {k: v + std * torch.randn_like(v) if v.is_floating_point() else v for k, v in values.items()}


def _adversary(e: Evaluation, term: Term) -> Value:
    """What the makers of F and R minimise; the critic itself is not moved."""
    critic = e.graph.critics[term.subject]
    module, loss = e.model.critic(critic.name), e.model.adversarial_loss(critic.name)
    real, fake = tuples(e, critic)
    value = torch.zeros((), dtype=e.model.dtype, device=e.model.device)
    with frozen(module):
        if critic.real_makers:
            numbers = module(real)
            value = value + (numbers.mean() if logit(e.graph, critic) else loss.real(numbers))
        if critic.fake_makers:
            value = value + loss.fake(module(fake))
    return Value(value, value)


def _critic(e: Evaluation, term: Term) -> Value:
    critic = e.graph.critics[term.subject]
    real, fake = detached_tuples(e, critic)
    module = e.model.critic(critic.name)
    value = e.model.adversarial_loss(critic.name).critic(module(real), module(fake), critic.spec.smoothing)
    return Value(value, value)


def _penalty(e: Evaluation, term: Term) -> Value:
    critic = e.graph.critics[term.subject]
    real, fake = detached_tuples(e, critic)
    function = e.model.penalty(critic.name, int(term.options["index"]))
    value = function(e.model.critic(critic.name), real, fake, e.step)
    if value is None:
        value = torch.zeros((), dtype=e.model.dtype, device=e.model.device)
    return Value(value, value)


def detached_tuples(e: Evaluation, critic: Critic) -> tuple[Tuples, Tuples]:
    """Both sides for the critic's own step, made once and cut from their makers."""
    found = e.__dict__.setdefault("_tuples", {})
    if critic.name not in found:
        with torch.no_grad():
            found[critic.name] = tuples(e, critic)
    return found[critic.name]  # type: ignore[no-any-return]


EVALUATORS: dict[str, Callable[[Evaluation, Term], Value]] = {
    "likelihood": _score,
    "reconstruction": _score,
    "kl": _kl,
    "bound": _bound,
    "prior": _prior,
    "mutual_information": _information,
    "classification": _classification,
    "mmd": _mmd,
    "adversary": _adversary,
    "critic": _critic,
    "penalty": _penalty,
}
"""Family of terms -> its value."""
