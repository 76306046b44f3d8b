"""log p of given rows: exact, or lower bounds by importance weights.

weighted    log (1/k) sum_j w_j,    w = p(x, z) / q(z)      (Burda et al. 2016, eq. 8)
plain       E_q[log w], the ELBO
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gendsl.compiler.plans.log_prob import averaged
from gendsl.data.batch import Batch
from gendsl.nn import tilt
from gendsl.nn.inference import Trace

if TYPE_CHECKING:
    from gendsl.nn.model import Model


def weighted_bound(model: Model, batch: Batch, samples: int) -> Tensor:
    """The weighted bound of each row by `samples` draws, [B]; by one pass where no latent is drawn."""
    samples = samples if averaged(model.graph) else 1
    chunk = max(1, min(samples, model.rows_at_once // max(len(batch), 1)))
    total = torch.full((len(batch),), -torch.inf, dtype=model.dtype, device=model.device)
    done = 0
    while done < samples:
        count = min(chunk, samples - done)
        log_w = tilt.log_joint(model, Trace(model, batch, count, marginal=True, corrupt=False))
        total = torch.logaddexp(total, torch.logsumexp(log_w, 0))
        done += count
    return total - math.log(samples)


def plain_bound(model: Model, batch: Batch, samples: int) -> Tensor:
    """The ELBO of each row by `samples` draws, [B]."""
    total = torch.zeros(len(batch), dtype=model.dtype, device=model.device)
    for _ in range(samples):
        total += tilt.log_joint(model, Trace(model, batch, 1, marginal=True, corrupt=False))[0]
    return total / samples
