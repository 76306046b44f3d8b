"""Values of latents and labels for queries: encoders and inverses of flows on given rows, hidden labels
filled in.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gendsl.compiler.graph import Factor, Role, Variable
from gendsl.compiler.plans.classify import by
from gendsl.data.batch import Batch
from gendsl.errors import UsageError
from gendsl.nn.factor import Conditioned, FlowSection
from gendsl.schema.facts import Density, mask_name

if TYPE_CHECKING:
    from gendsl.nn.model import Model


def inferred(model: Model, batch: Batch, *, mean: bool) -> dict[str, Tensor]:
    """Every value that the batch and q give: data, masks, latents, bases of flows.

    `mean`: means (of labels: the most probable) instead of draws. A label that is not known is filled in by
    its encoder, or by Bayes' rule. Raises UsageError where a value that an encoder reads is not there.
    """
    graph = model.graph
    values = dict(batch.values)
    for name, known in batch.known.items():
        if graph.variables[name].missing:
            values[mask_name(name)] = known.to(model.dtype)
        elif graph.q(name) is None and not bool(known.all()) and _read(model, name):
            values[name] = torch.where(known, values[name], _by_rule(model, name, batch))
    for name in graph.order("q"):
        role, encoder = graph.variables[name].role, graph.q(name)
        if encoder is not None and role is Role.LATENT:
            values[name] = _value(model, encoder, values, len(batch), mean)
        elif encoder is not None and role is Role.PARTIAL and not bool(batch.known[name].all()):
            guess = _value(model, encoder, values, len(batch), mean)
            values[name] = torch.where(batch.known[name], values[name], guess.to(values[name].dtype))
    for base, factor in graph.bases().items():
        module = model.factor(factor.name)
        assert isinstance(module, FlowSection)
        if all(p in values for p in (factor.head, *factor.parents[1:])):
            read = module.read(model.read(factor.name, values))
            inner = module.stack.inverse(values[factor.head], read)[0]
            shape = graph.variables[base].shape
            assert shape is not None
            values[base] = inner.reshape(-1, *shape)
    return values


def centre(conditioned: Conditioned, factor: Factor, variable: Variable) -> Tensor:
    """The mean of each entry; of a label the most probable value; of an autoregressive distribution a
    draw.
    """
    if factor.net is not None and factor.net.autoregressive:
        return conditioned.draw()[0]
    mean = conditioned.mean()
    point = factor.offers.density is Density.NONE
    labels = variable.labels and not point
    return most_probable(conditioned, variable, len(mean), mean.device) if labels else mean


def most_probable(conditioned: Conditioned, variable: Variable, rows: int, device: torch.device) -> Tensor:
    """The most probable value of each entry of a finite variable, [rows, *shape] of integers."""
    assert variable.support is not None
    return log_marginals(conditioned, variable, rows, device).argmax(-1) + int(variable.support.low)


def log_marginals(conditioned: Conditioned, variable: Variable, rows: int, device: torch.device) -> Tensor:
    """log p of each value of each entry of a finite variable by itself, [rows, *shape, values]."""
    assert variable.support is not None
    assert variable.support.count is not None
    assert variable.shape is not None
    low = int(variable.support.low)
    scores = [
        conditioned.marginals(torch.full((rows, *variable.shape), low + i, device=device))
        for i in range(variable.support.count)
    ]
    return torch.stack(scores, -1)


def _value(model: Model, encoder: Factor, values: dict[str, Tensor], rows: int, mean: bool) -> Tensor:
    there = model.read(encoder.name, values)
    absent = [n for n in model.reads(encoder.name) if n not in there]
    if absent:
        raise UsageError(f"{encoder.name} reads {', '.join(absent)}, which was not given")
    conditioned = model.distribution(encoder.name, values, rows)
    if not mean:
        return conditioned.draw()[0]
    return centre(conditioned, encoder, model.graph.variables[encoder.head])


def _read(model: Model, name: str) -> bool:
    return any(name in f.parents for f in model.graph.factors.values())


def _by_rule(model: Model, name: str, batch: Batch) -> Tensor:
    way = by(model.graph, name)
    if not way:
        raise UsageError(f"{name} is not known on some rows, and nothing infers it")
    return label(model, name, batch)


@torch.no_grad()
def label(model: Model, name: str, batch: Batch, samples: int = 100) -> Tensor:
    """The most probable value of one label given the rest of its row, whether it is known or not, [B]."""
    support = model.graph.variables[name].support
    assert support is not None
    return label_log_probs(model, name, batch, samples).argmax(-1) + int(support.low)


@torch.no_grad()
def label_log_probs(model: Model, name: str, batch: Batch, samples: int = 100) -> Tensor:
    """log p(label | the rest of its row) of each of its values, whether it is known or not, [B, values]."""
    variable, way = model.graph.variables[name], by(model.graph, name)
    factor = model.graph.q(name) if way == "encoder" else model.graph.p(name)
    assert factor is not None
    if way == "Bayes' rule":
        return _by_bayes(model, name, batch, samples).log_softmax(-1)
    latent = any(p not in batch.values or p in batch.known for p in factor.parents)
    values = inferred(model, batch, mean=True) if latent else batch.values
    conditioned = model.distribution(factor.name, values, len(batch))
    return log_marginals(conditioned, variable, len(batch), model.device).log_softmax(-1)


def _by_bayes(model: Model, name: str, batch: Batch, samples: int) -> Tensor:
    """log p(x, y) of every y with the same random numbers, [B, values]."""
    support = model.graph.variables[name].support
    assert support is not None
    assert support.count is not None
    seed = int(torch.randint(2**31, ()))
    scores = []
    for i in range(support.count):
        value = torch.full((len(batch),), int(support.low) + i, device=model.device)
        known = {**batch.known}
        if model.graph.variables[name].role is Role.PARTIAL:
            known[name] = torch.ones(len(batch), dtype=torch.bool, device=model.device)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            tried = replace(batch, values={**batch.values, name: value}, known=known)
            scores.append(model.log_prob(tried, samples))
    return torch.stack(scores, -1)
