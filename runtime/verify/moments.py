"""Second moments of what `Model.sample` draws, where the model's own density says what they are.

Samples are brought to noise that must be standard normal and independent: through the inverse of a flow whose base
is standard normal, or by the joint normal of a linear-Gaussian model. Of N such numbers the mean square is 1 up to
sqrt(2 / N), their mean 0 up to sqrt(1 / N). What an energy tilts is not of that density.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from gendsl.compiler.graph import Factor, Graph, Role
from gendsl.nn.factor import FlowSection, tile
from gendsl.nn.rows import as_vectors
from gendsl.runtime.samples import conditions
from gendsl.runtime.verify.certificate import Certificate, at_most
from gendsl.runtime.verify.linear_gaussian import is_linear_gaussian, whitened
from gendsl.runtime.verify.subject import Subject
from gendsl.schema.components.dist import Normal
from gendsl.schema.facts import numel

BOUND = 5.0
"""Standard deviations."""
POWER = 0.02
"""Relative error of a scale."""
DRAWS, NUMBERS = 50_000, 150_000
"""So many samples of small variables; of larger ones as many as have so many entries."""
CHUNK = 5_000


@torch.no_grad()
def certificates(subject: Subject) -> Iterator[Certificate]:
    """moments of every flow section with a standard normal base and no energy, and of p(x) if linear-Gaussian."""
    graph = subject.graph
    if graph.capabilities["sample"].how is None:
        return
    sections = [
        f for f in graph.factors.values() if _standard(graph, f.base) and f.head not in graph.spec.energy
    ]
    for section in sections:
        shape = graph.variables[section.head].shape
        assert shape is not None
        with subject.draws(f"moments/{section.name}"):
            noise = torch.cat([_inverse(subject, section, rows) for rows in _chunks(numel(shape))])
        yield _agree(section.name, noise)
    if is_linear_gaussian(graph) and not sections:
        with subject.draws("moments"):
            observed = [n for n in graph.scored if graph.variables[n].role is Role.OBSERVED]
            size = sum(numel(graph.variables[n].shape or ()) for n in observed)
            noise = torch.cat([_joint(subject, rows) for rows in _chunks(size)])
        yield _agree("p(" + ", ".join(observed) + ")", noise)


def _standard(graph: Graph, base: str | None) -> bool:
    """Whether there is a base, and it is standard normal."""
    prior = graph.p(base) if base is not None else None
    if prior is None or not isinstance(prior.dist, Normal) or prior.flow or prior.parents:
        return False
    return prior.bill.parameters == 0 and prior.dist.scale in ("learned", "fixed")


def _chunks(size: int) -> list[int]:
    """Numbers of rows that add up to the draws of a variable of this size."""
    rows = max(min(DRAWS, math.ceil(NUMBERS / size)), math.ceil(NUMBERS / (3 * size)))
    return [min(CHUNK, rows - start) for start in range(0, rows, CHUNK)]


def _given(subject: Subject, rows: int) -> dict[str, Tensor]:
    """Conditions to draw samples under."""
    found = {n: subject.rows.values[n] for n in conditions(subject.graph)}
    return {n: tile(v, math.ceil(rows / len(v)))[:rows] for n, v in found.items()}


def _sampled(subject: Subject, rows: int) -> dict[str, Tensor]:
    """Samples of what is observed, beside the conditions that they were drawn under."""
    given = _given(subject, rows)
    return {**given, **subject.drawn.sample(rows, given)}


def _inverse(subject: Subject, section: Factor, rows: int) -> Tensor:
    """The noise of a section's samples; where it is given a latent, they are drawn together with it."""
    module = subject.drawn.factor(section.name)
    assert isinstance(module, FlowSection)
    latent = any(subject.graph.variables[n].role is Role.LATENT for n in section.parents[1:])
    given = _given(subject, rows)
    values = {**given, **subject.drawn.ancestral(rows, given)} if latent else _sampled(subject, rows)
    return as_vectors(module.stack.inverse(values[section.head], module.read(values))[0])


def _joint(subject: Subject, rows: int) -> Tensor:
    return whitened(subject.drawn, subject.drawn.batch(_sampled(subject, rows)))[0]


def _agree(name: str, noise: Tensor) -> Certificate:
    """Noise [N, D] that must be standard normal: mean and mean square, of all entries and of each."""
    squares = noise.square() - 1
    found = max(
        float(noise.mean().abs()) * math.sqrt(noise.numel()),
        float(squares.mean().abs()) * math.sqrt(noise.numel() / 2),
        float(squares.mean(0).abs().max()) * math.sqrt(len(noise) / 2),
    )
    note = f"standard deviations; {len(noise)} samples, drawn parameters"
    return at_most(f"moments:{name}", found, BOUND, POWER, note)
