"""Path-length regularisation of a decoder (Karras et al. 2020, eq. 4).

    E_{w, y} (|J_w^T y| - a)^2,    J_w = dx / dw,    y ~ N(0, I / (H W)),    a <- a + (|J_w^T y| - a) / 100

w is what a mapping network makes of the parents where the decoder has one, else the real-valued latent parents.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gendsl.compiler.derive.path_lengths import movable
from gendsl.compiler.graph import Term
from gendsl.nn.factor import Direct
from gendsl.nn.objective.evaluation import Evaluation, Value
from gendsl.nn.rows import as_vectors

PATH_DECAY = 0.01
"""How far the running mean moves in one step."""


def path_length(e: Evaluation, term: Term) -> Value:
    """The term on steps that have it, times `every`; 0 on others."""
    every = int(term.options["every"])
    if e.step % every:
        nothing = torch.zeros((), dtype=e.model.dtype, device=e.model.device)
        return Value(nothing, nothing)
    with torch.enable_grad():
        lengths = lengths_of(e, term.subject)
    seen = lengths.detach().mean()
    e.seen[f"{term.subject}.path"] = seen
    target = torch.lerp(e.model.length(term.subject).to(seen), seen, PATH_DECAY)
    value = every * (lengths - target).square().mean()
    return Value(value, value)


def lengths_of(e: Evaluation, name: str) -> Tensor:
    """|J^T y| of each row, [B]."""
    factor = e.graph.p(name)
    assert factor is not None
    module = e.model.factor(factor.name)
    assert isinstance(module, Direct)
    points = list(movable(e.graph, name))
    values = {n: v.detach() for n, v in e.fake.items()} | {
        n: e.batch.values[n] for n in factor.parents if n not in e.fake
    }
    for point in points:
        values[point].requires_grad_()
    styles: list[Tensor] = []
    mapping = getattr(module.body, "mapping", None)
    hook = (
        mapping.register_forward_hook(lambda _, __, w: styles.append(w))
        if isinstance(mapping, nn.Module)
        else None
    )
    x = e.model.distribution(factor.name, values, len(e.batch)).draw()[0]
    if hook is not None:
        hook.remove()
    places = x[0, 0].numel() if x.dim() == 4 else 1
    y = torch.randn_like(x) / math.sqrt(places)
    inner = styles or [values[p] for p in points]
    gradients = torch.autograd.grad((x * y).sum(), inner, create_graph=True, allow_unused=True)
    squared = [as_vectors(g).square().sum(1) for g in gradients if g is not None]
    return (torch.stack(squared).sum(0) + 1e-12).sqrt()
