"""energy.x: an energy trained by negatives, by score matching, or against noise (docs/semantics.md, section 7)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gendsl.compiler.derive.energies import Way, negatives, way
from gendsl.compiler.graph import Role, Term
from gendsl.nn import tilt
from gendsl.nn.langevin import Potential
from gendsl.nn.objective.evaluation import Evaluation, Value
from gendsl.nn.rows import as_vectors
from gendsl.schema.components.energy_objective import EnergyObjective, ScoreMatching


def spec_of(spec: EnergyObjective) -> EnergyObjective:
    """An energy objective is its own facts."""
    return spec


def energy(e: Evaluation, term: Term) -> Value:
    """What an energy (and the factor beneath it) minimises."""
    chosen = way(e.graph, term.subject)
    if chosen is Way.NEGATIVES:
        return contrast(e, term.subject)
    value = (score_matching if chosen is Way.SCORE else noise_contrastive)(e, term.subject)
    return Value(value, value)


def contrast(e: Evaluation, name: str) -> Value:
    """mean U(data) - mean U(chain), chain cut; of a latent only the second, whose gradient is that of log Z.

    The cost has the weighted mean squares of E at both, a latent's values cut.
    """
    observed = e.graph.variables[name].role is Role.OBSERVED
    data, given = e.batch.values[name].to(e.model.dtype) if observed else None, of_batch(e, name)
    # the data first: what starts from the values that it is asked for (`FromRows`) is not to start from a chain's
    on_data = None if data is None else tilt.potential(e.model, name, given)(data).mean()
    ends, beside = tilt.chain_ends(e.model, name, len(e.batch), data, given, keep=e.training)
    below = tilt.potential(e.model, name, beside)(ends).mean()
    value = -below if on_data is None else on_data - below
    weight = negatives(e.graph, name).magnitude
    if not weight:
        return Value(value, value)
    module, (above, over) = tilt.energy(e.model, name), tilt.read(e.trace, name)
    squares = module(above.detach(), over).square().mean() + module(ends, beside).square().mean()
    return Value(value, value + weight * squares)


def of_batch(e: Evaluation, name: str) -> dict[str, Tensor]:
    """What the density of a variable with an energy is given on the rows of the batch."""
    return tilt.given_of(e.model, name, e.batch.values)


def score_matching(e: Evaluation, name: str) -> Tensor:
    """Denoising (Vincent 2011) or sliced (Song et al. 2019) score matching of s = -grad U."""
    spec = e.graph.spec.objective.energy[name].type
    assert isinstance(spec, ScoreMatching)
    data = e.batch.values[name].to(e.model.dtype)
    potential = tilt.potential(e.model, name, of_batch(e, name))
    if spec.how == "denoising":
        noise = torch.randn_like(data)
        score = score_at(potential, data + spec.noise * noise)
        return 0.5 * as_vectors(spec.noise * score + noise).square().sum(1).mean()
    with torch.enable_grad():
        at = data.detach().requires_grad_(True)
        direction = torch.randn_like(data)
        (slope,) = torch.autograd.grad(-potential(at).sum(), at, create_graph=True)
        along = as_vectors(slope * direction).sum(1)
        (second,) = torch.autograd.grad(along.sum(), at, create_graph=True)
    return (as_vectors(second * direction).sum(1) + 0.5 * along.square()).mean()


def score_at(potential: Potential, x: Tensor) -> Tensor:
    """-grad U at each row, with gradients to the parameters."""
    with torch.enable_grad():
        at = x.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(-potential(at).sum(), at, create_graph=True)
    return slope


def noise_contrastive(e: Evaluation, name: str) -> Tensor:
    """-log s(u(data)) - log s(-u(noise)), u = log p - log p0 = -E; the noise is drawn from p0 and cut."""
    module = tilt.energy(e.model, name)
    given = of_batch(e, name)
    noise = tilt.proposal(e.model, name, len(e.batch), given)
    data = e.batch.values[name].to(e.model.dtype)
    return F.softplus(module(data, given)).mean() + F.softplus(-module(noise, given)).mean()
