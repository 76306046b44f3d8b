"""Bounds: ELBO <= IWAE_k <= log p, and the objective that is trained is the bound that it says it is.

Averages over the same rows, with independent draws; differences are held against their standard errors. Where
p is linear-Gaussian, log p itself is known. The objective's terms (the KLs in closed form among
them) add up to minus the ELBO, or minus the importance-weighted bound, that `Model.elbo` and `Model.log_prob`
compute from sampled weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from gendsl.compiler.derive.discrete import relaxed
from gendsl.compiler.derive.sampling import bound_of
from gendsl.compiler.graph import Graph, How, Role
from gendsl.compiler.paths import DRAWN as FROM_ENCODER
from gendsl.compiler.plans.log_prob import FROM_PRIOR
from gendsl.data.dataset import Batch
from gendsl.nn.factor import tile
from gendsl.nn.model import Model
from gendsl.runtime.verify.certificate import Certificate, at_most
from gendsl.runtime.verify.linear_gaussian import is_linear_gaussian, log_density
from gendsl.runtime.verify.subject import Subject

BOUND = 5.0
"""Standard errors."""
POWER = 0.25
ORDER_POWER = 0.2
"""Of an inequality: the gap between its sides hides smaller errors."""
REPEATS = 32
COPIES, WORK = 24, 2 * 10**10
"""How often rows are repeated at most, and the operations that one repeat of all may take; but one copy is taken."""
K = 16


@torch.no_grad()
def certificates(subject: Subject) -> Iterator[Certificate]:
    """bound and objective of models with inferred latents; log_p of those with summed ones."""
    graph = subject.graph
    if graph.capabilities["log_prob"].how is None:
        return
    hows = {r.how for r in graph.routes.values()}
    with subject.draws("bounds"):
        if hows & {*FROM_ENCODER, *FROM_PRIOR}:
            yield from _ordered(subject)
        if hows & set(FROM_ENCODER) and not hows & set(FROM_PRIOR) and not graph.spec.energy:
            yield from _objective(subject)


def _partial(graph: Graph) -> bool:
    return any(v.role is Role.PARTIAL or v.missing for v in graph.variables.values())


def _averages(number: Callable[[], Tensor]) -> Tensor:
    """Means over rows of independent repeats of a random number of each row, [REPEATS]."""
    return torch.stack([number().mean() for _ in range(REPEATS)])


def _differences(subject: Subject, one: Callable[[], Tensor], other: Callable[[], Tensor]) -> float:
    """The mean difference of two random numbers in standard errors; both from the same random numbers.

    Where both draw alike, what they share cancels, and smaller differences show.
    """
    found = []
    for i in range(REPEATS):
        pair = []
        for number in (one, other):
            with subject.draws(f"bounds/{i}"):
                pair.append(number().mean())
        found.append(pair[0] - pair[1])
    differences = torch.stack(found)
    return abs(float(differences.mean())) / _error(differences)


def _error(*averages: Tensor) -> float:
    """The standard error of a difference of means."""
    return math.sqrt(sum(float(a.var()) / len(a) for a in averages)) + 1e-9


def copies(graph: Graph, rows: int, draws: int) -> tuple[int, float]:
    """How many copies of the rows are taken, each with so many draws: more of them, smaller errors; fewer where they
    take much work. And by how much fewer than wanted makes the errors larger.
    """
    wanted = max(1, COPIES // bound_of(graph).samples)
    one = rows * draws * graph.resources.flops // graph.spec.train.batch_size
    taken = max(1, min(wanted, WORK // max(1, one)))
    return taken, math.sqrt(wanted / taken)


def _repeated(batch: Batch, times: int) -> Batch:
    return Batch(
        {n: tile(v, times) for n, v in batch.values.items()},
        {n: tile(v, times) for n, v in batch.log_det.items()},
        {n: tile(v, times) for n, v in batch.known.items()},
        {n: tile(v, times) for n, v in batch.hidden.items()},
        tile(batch.rows, times),
    )


def _ordered(subject: Subject) -> Iterator[Certificate]:
    model, rows = subject.own, subject.rows
    note = f"standard errors; {len(rows)} rows, k = {K}, own parameters"
    elbo = _averages(lambda: model.elbo(rows))
    iwae = _averages(lambda: model.log_prob(rows, samples=K))
    plain = not _partial(subject.graph) and not subject.graph.spec.energy
    if plain and all(r.how in FROM_ENCODER for r in subject.graph.routes.values()):
        off = _differences(subject, lambda: model.elbo(rows), lambda: by_hand(model, rows, 1))
        what = "standard errors; against log p - log q from the factors alone"
        yield at_most("elbo:factors", off, BOUND, POWER, what)
    excess = float(elbo.mean() - iwae.mean()) / _error(elbo, iwae)
    yield at_most("bound:elbo<=iwae", excess, BOUND, ORDER_POWER, note)
    if is_linear_gaussian(subject.graph):
        exact = float(log_density(model, rows).mean())
        excess = float(iwae.mean() - exact) / _error(iwae)
        yield at_most("bound:iwae<=log_p", excess, BOUND, ORDER_POWER, note + "; log p by the joint normal")


def _objective(subject: Subject) -> Iterator[Certificate]:
    """Minus the sum of the derived terms at unit weight, against the same bound from sampled weights."""
    graph, bound = subject.graph, bound_of(subject.graph)
    if any("in" in t.options for t in graph.terms) or (bound.weighted and not _plain_iwae(graph)):
        return
    if relaxed(graph):
        return
    names = [t.name for t in graph.terms if t.family in ("likelihood", "reconstruction", "kl", "bound")]
    enumerated = any(r.how is How.ENUMERATED for r in graph.routes.values())
    model = subject.own if enumerated else subject.drawn
    times, wider = copies(graph, len(subject.rows), K if enumerated else 1)
    rows = _repeated(subject.rows, times)

    def loss() -> Tensor:
        terms = model.loss("model", rows, step=10**9, terms=names, training=False).terms
        return -torch.stack([terms[n] for n in names]).sum()

    terms = f"standard errors; the terms {' + '.join(names)}, {len(rows)} rows x {REPEATS}"
    if enumerated:
        mine, other = _averages(loss), _averages(lambda: model.log_prob(rows, samples=K))
        excess = float(mine.mean() - other.mean()) / _error(mine, other)
        yield at_most(
            "bound:objective<=log_p", excess, BOUND, wider * ORDER_POWER, f"{terms}, own parameters"
        )
    elif bound.weighted:
        off = _differences(subject, loss, lambda: model.log_prob(rows, samples=bound.samples))
        yield at_most(f"objective:{bound.tag}", off, BOUND, wider * POWER, f"{terms}, drawn parameters")
    else:
        off = _differences(subject, loss, lambda: model.elbo(rows))
        yield at_most(f"objective:{bound.tag}", off, BOUND, wider * POWER, f"{terms}, drawn parameters")


def _plain_iwae(graph: Graph) -> bool:
    return bound_of(graph).power == 1.0 and all(
        t.weight == 1.0 and not t.options
        for t in graph.terms
        if t.family in ("likelihood", "reconstruction", "kl")
    )


def by_hand(model: Model, batch: Batch, samples: int) -> Tensor:
    """log w of draws of every encoder, [samples, B], from the factors alone: a second way to the same number.

    Encoders read clean values in place of corrupted ones. For graphs whose latents all have an encoder with a density.
    """
    graph, rows = model.graph, samples * len(batch)
    values = {n: tile(v, samples) for n, v in batch.values.items()}
    log_w = torch.zeros(rows, dtype=model.dtype, device=model.device)
    for name in graph.order("q"):
        if graph.variables[name].role is Role.CORRUPTED:  # bounds are of clean data
            values[name] = values[graph.factors[f"corruption.{name}"].parents[0]]
        encoder = graph.q(name)
        if encoder is None or graph.variables[name].role is not Role.LATENT:
            continue
        values[name], density = model.distribution(encoder.name, values, rows).draw()
        assert density is not None
        log_w = log_w - density
    for name in graph.order("p"):
        factor = graph.p(name)
        if factor is not None:
            log_w = log_w + model.distribution(factor.name, values, rows).log_prob(values[name])
    return log_w.view(samples, len(batch))
