"""The tuples that a critic judges: R from the data and the encoder, F from the prior and the decoder.

What a critic sees goes through instance noise, then augmentation, then packing, in this order on both sides.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gendsl.compiler.graph import Critic, Role
from gendsl.nn.adversarial import Judge, Tuples
from gendsl.nn.estimators import as_weights, settled
from gendsl.nn.objective.evaluation import Evaluation
from gendsl.schema.facts import packed


def tuples(e: Evaluation, critic: Critic) -> tuple[Tuples, Tuples]:
    """(R, F): the tuples of both sides as the critic judges them, with gradients to whoever made them."""
    real: Tuples = {}
    fake: Tuples = {}
    for name in critic.spec.sees:
        role = e.graph.variables[name].role
        data = role is Role.CONDITION or role is Role.OBSERVED
        real[name] = e.batch.values[name] if data else e.trace.values[name][: len(e.batch)]
        fake[name] = (e.fake if critic.stands_in is None else e.fake_given_data).get(name, real[name])
        if name in e.graph.weighed:
            real[name], fake[name] = (
                as_weights(side[name], e.graph.variables[name], e.model.dtype) for side in (real, fake)
            )
    return presented(e, critic, real), presented(e, critic, fake)


def presented(e: Evaluation, critic: Critic, values: Tuples) -> Tuples:
    """Tuples with what the critic's options do to them: noise, augmentation, packing."""
    augment = e.model.critic(critic.name).augment
    values = noisy(e, critic, values)
    if augment is not None and e.training:
        values = augment(values)
    return {n: pack(v, critic.spec.pack, weights=n in e.graph.weighed) for n, v in values.items()}


def pack(values: Tensor, count: int, *, weights: bool = False) -> Tensor:
    """Rows side by side, [N, *shape] -> [N // count, *packed(shape)]; what does not fill a pack is left out.

    `weights`: a last dimension goes along, [N, *shape, values] -> [N // count, *packed(shape), values].

    Fewer rows than one pack are used again to fill it.
    """
    if count == 1:
        return values
    if len(values) < count:
        values = values[torch.arange(count, device=values.device) % len(values)]
    whole = len(values) // count
    kept = values.shape[-1:] if weights else ()
    shape = tuple(values.shape[1 : values.dim() - len(kept)])
    return values[: whole * count].reshape(whole, *packed(shape, count), *kept)


def noisy(e: Evaluation, critic: Critic, values: Tuples) -> Tuples:
    """Instance noise on what is real-valued, weights of discrete values included, annealed linearly."""
    noise = critic.spec.noise
    if noise is None:
        return values
    std = noise.std * (max(0.0, 1.0 - e.step / noise.anneal) if noise.anneal else 1.0)
    if std == 0.0:
        return values
    return {k: v + std * torch.randn_like(v) if v.is_floating_point() else v for k, v in values.items()}


def labels(e: Evaluation, critic: Critic) -> tuple[Tensor, Tensor]:
    """The labels of R and of F from 0, packed like them."""
    name = critic.spec.classify
    assert name is not None
    support = e.graph.variables[name].support
    assert support is not None
    real = e.batch.values[name]
    sides = (real, settled(e.fake.get(name, real), e.graph.variables[name]))
    known, made = (pack(side.long() - int(support.low), critic.spec.pack) for side in sides)
    return known, made


def told(judge: Judge, values: Tuples, label: Tensor) -> Tensor:
    """-log C(label | tuple), a mean over tuples; a pack has a label for each of its tuples."""
    logits = judge(values, "labels")
    return F.cross_entropy(logits.reshape(label.numel(), -1), label.reshape(-1))


def detached_tuples(e: Evaluation, critic: Critic) -> tuple[Tuples, Tuples]:
    """Both sides for the critic's own step, made once and cut from their makers."""
    if critic.name not in e.detached:
        with torch.no_grad():
            e.detached[critic.name] = tuples(e, critic)
    return e.detached[critic.name]
