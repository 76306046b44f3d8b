"""The exact density of a linear-Gaussian model: every factor of p normal, with a mean linear in its parents.

With independent standard noises e, each variable is v = m + L e, so that x ~ N(m_x, L_x L_x^T). The matrices
L are found by evaluating the factors' own means: a linear function is known from its values at a basis.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gendsl.compiler.graph import Factor, Graph, Role
from gendsl.data.dataset import Batch
from gendsl.nn.distributions import LocationScaleFamily
from gendsl.nn.factor import Plain, tile
from gendsl.nn.gaussian import FullNormal
from gendsl.nn.model import Model
from gendsl.schema.components.dist import Normal
from gendsl.schema.components.net import Mlp
from gendsl.schema.facts import numel


def is_linear_gaussian(graph: Graph) -> bool:
    """Whether p of what is observed is a linear-Gaussian model that this module can solve."""
    if (
        not graph.scored
        or graph.spec.energy
        or any(v.missing or v.role is Role.PARTIAL for v in graph.variables.values())
    ):
        return False
    return all(f is None or _linear(graph, f) for f in (graph.p(n) for n in graph.variables))


def _linear(graph: Graph, factor: Factor) -> bool:
    if not isinstance(factor.dist, Normal) or factor.flow or factor.base is not None:
        return False
    if factor.net is not None and not (isinstance(factor.net, Mlp) and not factor.net.hidden):
        return False
    discrete = any(graph.variables[p].labels for p in factor.parents)
    return not discrete and (factor.dist.scale not in ("learned", "full") or not factor.parents)


@torch.no_grad()
def log_density(model: Model, batch: Batch) -> Tensor:
    """log p of everything observed given the conditions, [B], by the joint normal."""
    white, log_det = whitened(model, batch)
    log_p: Tensor = -0.5 * white.square().sum(1) - log_det - 0.5 * white.shape[1] * math.log(2 * math.pi)
    return log_p


@torch.no_grad()
def whitened(model: Model, batch: Batch) -> tuple[Tensor, Tensor]:
    """What is observed as independent standard normal noise [B, D], and log |det dx/dnoise|."""
    graph, rows = model.graph, len(batch)
    names = [n for n in graph.order("p") if graph.p(n) is not None]
    sizes = {n: _size(graph, n) for n in names}
    total = sum(sizes.values())
    means = {n: v for n, v in batch.values.items() if graph.variables[n].role is Role.CONDITION}
    loadings = {n: v.new_zeros(total, *v.shape[1:]) for n, v in means.items()}
    start = 0
    for name in names:
        factor = graph.p(name)
        assert factor is not None
        at_mean = _loc(model, factor, means, rows)
        step = {p: tile(means[p][:1], total) + loadings[p] for p in factor.parents}
        loading = (_loc(model, factor, step, total) - at_mean[:1]).reshape(total, -1)
        loading[start : start + sizes[name]] = _factor(model, factor, means, rows).T
        start += sizes[name]
        shape = graph.variables[name].shape
        assert shape is not None
        means[name], loadings[name] = at_mean, loading.reshape(total, *shape)
    observed = [n for n in names if graph.variables[n].role is Role.OBSERVED]
    x = torch.cat([(batch.values[n] - means[n]).reshape(rows, -1) for n in observed], 1)
    matrix = torch.cat([loadings[n].reshape(total, -1) for n in observed], 1)  # [noises, D]
    lower = torch.linalg.cholesky(matrix.T @ matrix)
    white = torch.linalg.solve_triangular(lower, x.T, upper=False).T
    return white, lower.diagonal().log().sum()


def _size(graph: Graph, name: str) -> int:
    shape = graph.variables[name].shape
    assert shape is not None
    return numel(shape)


def _loc(model: Model, factor: Factor, values: dict[str, Tensor], rows: int) -> Tensor:
    return model.distribution(factor.name, values, rows).mean()


def _factor(model: Model, factor: Factor, values: dict[str, Tensor], rows: int) -> Tensor:
    """L of the constant covariance L L^T given the parents, [D, D]."""
    conditioned = model.distribution(factor.name, values, rows)
    assert isinstance(conditioned, Plain)
    found = conditioned.distribution()
    if isinstance(found, FullNormal):
        return found.tril[0]
    assert isinstance(conditioned.family, LocationScaleFamily)
    return conditioned.family.scale(conditioned.raw)[0].flatten().diag()
