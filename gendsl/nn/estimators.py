"""Estimators of discrete latents: relaxed values, and gradients by score functions.

    Gumbel-softmax:      y = softmax((log q + g) / t),  g = -log(-log u)           (Jang et al. 2017, eq. 2)
    leave-one-out:       sum_k (f_k - mean_{j != k} f_j) grad log q_k               (Kool et al. 2019)
    VIMCO:               sum_k (L - L_{-k}) grad log q_k                            (Mnih and Rezende 2016, eq. 9)

L = (1/s) log mean_k w_k^s, and L_{-k} is L with log w_k replaced by the mean of the other log w_j.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from gendsl.compiler.graph import Variable
from gendsl.nn.factor import Conditioned
from gendsl.nn.transforms.stack import flat_sum
from gendsl.schema.components.estimator import Enumerate, Gumbel, Relaxed, ScoreFunction, StraightThrough


def log_probabilities(
    conditioned: Conditioned, rows: int, variable: Variable, device: torch.device
) -> Tensor:
    """log p of each value of each entry of a finite variable, [rows, *shape, values]."""
    assert variable.support is not None
    assert variable.support.count is not None
    assert variable.shape is not None
    low = int(variable.support.low)
    values = range(low, low + variable.support.count)
    tables = [conditioned.entries(torch.full((rows, *variable.shape), v, device=device)) for v in values]
    return torch.stack(tables, -1)


def relax(log_q: Tensor, spec: Relaxed, step: int) -> Tensor:
    """Weights of the values, [N, *shape, values]: soft, or one at the drawn value with the soft ones' gradient."""
    tiny = torch.finfo(log_q.dtype).tiny
    uniform = torch.rand_like(log_q).clamp(min=tiny, max=1 - torch.finfo(log_q.dtype).eps / 2)
    noisy = log_q - torch.log(-torch.log(uniform))
    soft = torch.softmax(noisy / spec.temperature_at(step), -1)
    if isinstance(spec, Gumbel):
        return soft
    hard = F.one_hot(noisy.argmax(-1), log_q.shape[-1]).to(soft.dtype)
    return hard + soft - soft.detach()


def as_weights(value: Tensor, variable: Variable, dtype: torch.dtype) -> Tensor:
    """Values [N, *shape] as weights that are one at the value, [N, *shape, values]; weights as they are."""
    assert variable.support is not None
    assert variable.support.count is not None
    assert variable.shape is not None
    if value.dim() == len(variable.shape) + 2:
        return value
    return F.one_hot(value.long() - int(variable.support.low), variable.support.count).to(dtype)


def settled(value: Tensor, variable: Variable) -> Tensor:
    """Values [N, *shape] of weights, the heaviest; values as they are.

    The heaviest of Gumbel-softmax weights is a draw from the law that was relaxed (Maddison et al. 2017, section 3.1).
    """
    assert variable.support is not None
    assert variable.shape is not None
    if value.dim() == len(variable.shape) + 1:
        return value
    return value.argmax(-1) + int(variable.support.low)


def expected(table: Tensor, weights: Tensor) -> Tensor:
    """log p of relaxed values, linear in the weights: the log p of a value where they are one at it, [N]."""
    return flat_sum((table * weights).sum(-1))


def leave_one_out(value: Tensor, log_q: Tensor) -> Tensor:
    """The value [S, k, B, ...] with the gradient of its expectation over the k draws: log_q [S, k, B].

    The gradient of draw k is grad value_k + (value_k - mean of the others) grad log q_k.
    """
    draws = value.shape[1]
    others = (value.sum(1, keepdim=True) - value) / (draws - 1)
    score = log_q.view(*log_q.shape, *[1] * (value.dim() - log_q.dim()))
    return value + (score - score.detach()) * (value - others).detach()


def vimco(log_w: Tensor, log_q: Tensor, power: float) -> Tensor:
    """A zero [B] whose gradient is the score-function part of the gradient of the bound; log_w, log_q [k, B]."""
    draws = log_w.shape[0]
    log_w = log_w.detach()
    mean = (log_w.sum(0, keepdim=True) - log_w) / (draws - 1)  # [k, B]
    replaced = log_w[None].expand(draws, *log_w.shape).clone()  # [k left out, k, B]
    index = torch.arange(draws, device=log_w.device)
    replaced[index, index] = mean
    constant = math.log(draws)
    whole = (torch.logsumexp(power * log_w, 0) - constant) / power
    without = (torch.logsumexp(power * replaced, 1) - constant) / power
    return ((log_q - log_q.detach()) * (whole - without)).sum(0)


def exact(spec: Enumerate) -> Enumerate:
    """Enumeration is its own facts."""
    return spec


def score_function(spec: ScoreFunction) -> ScoreFunction:
    """See `leave_one_out` and `vimco`."""
    return spec


def gumbel(spec: Gumbel) -> Gumbel:
    """See `relax`."""
    return spec


def straight_through(spec: StraightThrough) -> StraightThrough:
    """See `relax`."""
    return spec
