"""The terms of adversaries: what the makers of both sides minimise, what the critic minimises, its penalties."""

from __future__ import annotations

import torch

from gendsl.compiler.derive.adversaries import logit
from gendsl.compiler.graph import Critic, Role, Term
from gendsl.nn.adversarial import Tuples
from gendsl.nn.objective.evaluation import Evaluation, Value, frozen


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


def adversary(e: Evaluation, term: Term) -> Value:
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


def critic(e: Evaluation, term: Term) -> Value:
    critic = e.graph.critics[term.subject]
    real, fake = detached_tuples(e, critic)
    module = e.model.critic(critic.name)
    value = e.model.adversarial_loss(critic.name).critic(module(real), module(fake), critic.spec.smoothing)
    return Value(value, value)


def penalty(e: Evaluation, term: Term) -> Value:
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
