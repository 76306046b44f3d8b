"""The terms of adversaries: what the makers of both sides minimise, what the critic minimises, its penalties."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from gendsl.compiler.derive.adversaries import logit
from gendsl.compiler.graph import Critic, Term
from gendsl.nn.adversarial import Tuples
from gendsl.nn.freezing import frozen
from gendsl.nn.objective.evaluation import Evaluation, Value
from gendsl.nn.objective.tuples import detached_tuples, labels, told, tuples
from gendsl.nn.objective.unrolled import unrolled
from gendsl.nn.rows import as_vectors


def adversary(e: Evaluation, term: Term) -> Value:
    """What the makers of F and R minimise; the critic itself is not moved."""
    critic = e.graph.critics[term.subject]
    module, loss = e.model.critic(critic.name), e.model.adversarial_loss(critic.name)
    real, fake = tuples(e, critic)
    fake = watched(e, critic, fake)
    value = torch.zeros((), dtype=e.model.dtype, device=e.model.device)
    with frozen(module.parameters()):
        judge = module if critic.spec.unroll is None else unrolled(e, critic, real, fake)
        if critic.real_makers:
            numbers = judge(real)
            value = value + (numbers.mean() if logit(e.graph, critic) else loss.real(numbers))
        if critic.fake_makers:
            value = value + loss.fake(judge(fake))
    return Value(value, value)


def watched(e: Evaluation, critic: Critic, fake: Tuples) -> Tuples:
    """F, with the length of the gradient that reaches each tuple noted in the backward pass: `NAME.gradient`."""
    points = {n: v.view_as(v) for n, v in fake.items() if v.requires_grad}
    squared: dict[str, Tensor] = {}

    def note(name: str, gradient: Tensor) -> None:
        squared[name] = as_vectors(gradient.detach()).square().sum(1)
        if len(squared) == len(points):
            total = torch.stack(list(squared.values())).sum(0)
            e.seen[f"{critic.name}.gradient"] = total.sqrt().mean() * len(gradient)

    for name, value in points.items():
        value.register_hook(partial(note, name))  # type: ignore[no-untyped-call]  # torch gives it no types
    return fake | points


def critic(e: Evaluation, term: Term) -> Value:
    """What the critic minimises, and how well it tells the sides apart: `NAME.accuracy`, `NAME.gap`."""
    critic = e.graph.critics[term.subject]
    loss = e.model.adversarial_loss(critic.name)
    real, fake = detached_tuples(e, critic)
    module = e.model.critic(critic.name)
    of_real, of_fake = module(real), module(fake)
    value = loss.critic(of_real, of_fake, critic.spec.smoothing)
    with torch.no_grad():
        e.seen[f"{critic.name}.gap"] = of_real.mean() - of_fake.mean()
        threshold = critic.spec.loss.threshold
        if threshold is not None:
            right = (of_real > threshold).to(value.dtype).mean() + (of_fake < threshold).to(
                value.dtype
            ).mean()
            e.seen[f"{critic.name}.accuracy"] = right / 2
        if module.augment is not None and module.augment.adaptive is not None:
            e.seen[f"{critic.name}.augment"] = module.augment.p.clone()
            e.seen[f"{critic.name}.sign"] = of_real.sign().mean()
    return Value(value, value)


def diagnostics(critic: Critic) -> tuple[str, ...]:
    """The names under which the terms of a critic note what they see."""
    names = ["gradient"] if critic.fake_makers else []
    names += ["gap"] + (["accuracy"] if critic.spec.loss.threshold is not None else [])
    if critic.spec.augment is not None and critic.spec.augment.adapts:
        names += ["augment", "sign"]
    return tuple(f"{critic.name}.{name}" for name in names)


def penalty(e: Evaluation, term: Term) -> Value:
    critic = e.graph.critics[term.subject]
    real, fake = detached_tuples(e, critic)
    function = e.model.penalty(critic.name, int(term.options["index"]))
    value = function(e.model.critic(critic.name), real, fake, e.step)
    if value is None:
        value = torch.zeros((), dtype=e.model.dtype, device=e.model.device)
    return Value(value, value)


def classify(e: Evaluation, term: Term) -> Value:
    """-log C(y | R) - log C(y | F), for the critic."""
    critic = e.graph.critics[term.subject]
    real, fake = detached_tuples(e, critic)
    module = e.model.critic(critic.name)
    known, made = labels(e, critic)
    value = told(module, real, known) + told(module, fake, made)
    return Value(value, value)


def classified(e: Evaluation, term: Term) -> Value:
    """-log C(y | F), for the makers of F."""
    critic = e.graph.critics[term.subject]
    _, fake = tuples(e, critic)
    module = e.model.critic(critic.name)
    with frozen(module.parameters()):
        value = told(module, fake, labels(e, critic)[1])
    return Value(value, value)
