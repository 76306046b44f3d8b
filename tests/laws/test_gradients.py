"""Gradients of every term of every shipped spec against finite differences, in float64 at drawn parameters.

Where what is trained is by design not the derivative of what is reported (straight-through codes, negatives' chains,
a running mean), other laws hold the gradient: test_quantised, test_energies, test_estimators.

For a direction v in the parameters that the rules say the term moves, <gradient, v> is held against the central
difference of the term's value; both with the same random numbers. What a term must not move is not moved here,
so that codes which are cut, and critics which are held, stay as they are on both sides; where a chain on the posterior
ended is held for the same reason.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gendsl.compiler.graph import Graph, How, Term
from gendsl.compiler.passes.players import reaches
from gendsl.compiler.paths import made, sources
from gendsl.compiler.pipeline import analyse
from gendsl.data.dataset import Batch
from gendsl.nn.model import Model
from gendsl.nn.posterior import Chained
from gendsl.runtime.dataset import dataset
from gendsl.runtime.initial import compile_model, untrained
from gendsl.runtime.verify.subject import doubled, perturb
from gendsl.schema.components.estimator import StraightThrough
from gendsl.schema.load import load, shipped
from tests.compiler.cases import CASES, graph_of

NOT_DERIVATIVES = {
    "energy": "the chain is cut: its gradient is that of log Z, which the contrast is not",
    "path_length": "the running mean, which takes in this batch, is cut",
    "codebook": "each side is cut in one of its two halves",
}
"""Families of terms whose gradient is not that of their value, and why."""
ROWS, DIRECTIONS, STEP = 4, 3, 1e-6
LATE = 10**6
"""A step after every warm-up and every start."""
RARE = ("prior", "mmd", "mutual_information", "classification", "in", "free_bits", "capacity", "renyi", "r1")
"""Families and options of terms of which a case is taken where no shipped spec has one."""


def kinds(graph: Graph) -> set[str]:
    names = {
        n for t in graph.terms for n in (t.family, t.name.split(".")[0], t.name.split(".")[-1], *t.options)
    }
    return names & set(RARE)


def extra() -> list[str]:
    """Cases that bring a kind of term which the shipped specs do not have."""
    seen = set[str]().union(*(kinds(analyse(load(name))) for name in shipped()))
    found = []
    for name, case in CASES.items():
        fresh = kinds(graph_of(case.text)) - seen
        if fresh:
            found.append(name)
            seen |= fresh
    return found


@cache
def subject(name: str) -> tuple[Model, Batch]:
    if name in shipped():
        _, model, data = untrained(load(name))
    else:
        graph = graph_of(CASES[name].text)
        model, data = compile_model(graph), dataset(graph, Path())
    model = model.double().eval()
    perturb(model, 0.2)
    return model, doubled(data.parts["train"].batch(torch.arange(ROWS)))


def straight_through(graph: Graph) -> set[str]:
    """Factors behind values that are rounded, or drawn, and get the gradient of what they were before."""
    found = {r.encoder for r in graph.routes.values() if r.how is How.QUANTISED and r.encoder is not None}
    drawn = [n for n, e in graph.weighed.items() if isinstance(e, StraightThrough)]
    return found.union(*(made(graph, n) | sources(graph, n) for n in drawn))


def value(model: Model, batch: Batch, term: Term) -> Tensor:
    """What the term adds to its player's loss; the same random numbers every time."""
    torch.manual_seed(7)
    return model.loss(term.player, batch, LATE, [term.name], training=False).total


@torch.no_grad()
def moved(parameters: list[nn.Parameter], direction: list[Tensor], by: float) -> None:
    for parameter, part in zip(parameters, direction, strict=True):
        parameter.add_(part, alpha=by)


@pytest.fixture
def held_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each chain on a posterior runs once: later draws are where it ended."""
    ends: dict[str, tuple[Tensor, Tensor | None]] = {}
    draw = Chained.draw

    def held(self: Chained, temperature: float = 1.0) -> tuple[Tensor, Tensor | None]:
        if self.chain.name not in ends:
            ends[self.chain.name] = draw(self, temperature)
        return ends[self.chain.name]

    monkeypatch.setattr(Chained, "draw", held)


@pytest.mark.usefixtures("held_chains")
@pytest.mark.parametrize("name", [*sorted(shipped()), *extra()])
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    model, batch = subject(name)
    for term in model.graph.terms:
        if term.name.split(".")[0] in NOT_DERIVATIVES:
            continue
        named = model.parameters_of(reaches(model.graph, term) - straight_through(model.graph))
        if not named:
            continue
        parameters = [p for _, p in named]
        found = torch.autograd.grad(value(model, batch, term), parameters, allow_unused=True)
        gradient = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
        size = sum(float(g.square().sum()) for g in gradient) ** 0.5
        assert size > 1e-8, term.name
        torch.manual_seed(3)
        for i in range(DIRECTIONS):
            noise = [torch.randn_like(p) for p in parameters]
            length = sum(float(n.square().sum()) for n in noise) ** 0.5
            # halfway along the gradient, so that the derivative is not small by chance
            way = [g / size + (n / length if i else 0.0 * n) for g, n in zip(gradient, noise, strict=True)]
            expected = sum(float((g * w).sum()) for g, w in zip(gradient, way, strict=True))
            moved(parameters, way, STEP)
            above = float(value(model, batch, term).detach())
            moved(parameters, way, -2 * STEP)
            below = float(value(model, batch, term).detach())
            moved(parameters, way, STEP)
            assert (above - below) / (2 * STEP) == pytest.approx(expected, rel=1e-4), term.name
