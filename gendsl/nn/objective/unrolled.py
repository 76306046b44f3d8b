"""Unrolled adversaries: the model answers the critic that there will be after K steps (Metz et al. 2017, eq. 4-6).

    w_0 = w,   w_{k+1} = w_k - lr grad_w L_critic(w_k; R, F),   loss of the makers = L(w_K; R, F)

The inner optimiser is plain gradient descent on this step's tuples. The makers' gradient goes through every inner
step, so it also counts how the critic would answer to them; the critic's own weights do not change.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call

from gendsl.compiler.graph import Critic
from gendsl.nn.adversarial import Judge, Tuples
from gendsl.nn.objective.evaluation import Evaluation, weight_at
from gendsl.nn.objective.tuples import labels, told
from gendsl.schema.components.adversary import Clip


def unrolled(e: Evaluation, critic: Critic, real: Tuples, fake: Tuples) -> Judge:
    """The critic after its inner steps on these tuples."""
    assert critic.spec.unrolled is not None
    module = e.model.critic(critic.name)
    buffers = {n: b.clone() for n, b in module.named_buffers()}
    weights = {n: p.detach().requires_grad_() for n, p in module.named_parameters()}
    limits = [p.limit for p in critic.spec.penalty if isinstance(p, Clip)]
    with torch.enable_grad():
        for _ in range(critic.spec.unrolled.steps):
            value = _minimised(e, critic, _with(module, weights | buffers), real, fake)
            gradients = torch.autograd.grad(
                value, list(weights.values()), create_graph=True, allow_unused=True
            )
            weights = {
                name: weight if g is None else weight - critic.spec.unrolled.lr * g
                for (name, weight), g in zip(weights.items(), gradients, strict=True)
            }
            for limit in limits:
                weights = {n: w.clamp(-limit, limit) for n, w in weights.items()}
    return _with(module, weights | buffers)


def _with(module: torch.nn.Module, state: dict[str, Tensor]) -> Judge:
    def judge(values: Tuples, head: str = "number") -> Tensor:
        number: Tensor = functional_call(module, state, (values, head))
        return number

    return judge


def _minimised(e: Evaluation, critic: Critic, judge: Judge, real: Tuples, fake: Tuples) -> Tensor:
    """The critic's own loss and penalties as functions of its weights."""
    loss = e.model.adversarial_loss(critic.name)
    total = loss.critic(judge(real), judge(fake), critic.spec.smoothing)
    for term in e.graph.terms:
        if term.player == critic.player and "index" in term.options:
            penalty = e.model.penalty(critic.name, int(term.options["index"]))
            value = penalty(judge, real, fake, e.step)
            if value is not None:
                total = total + weight_at(term, e.step) * value
    if critic.spec.classify is not None:
        known, made = labels(e, critic)
        total = total + told(judge, real, known) + told(judge, fake, made)
    return total
