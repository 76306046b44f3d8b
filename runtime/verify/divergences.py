"""Closed-form KLs: what the objective takes for KL(q || p), against the integral of q (log q - log p)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gendsl.compiler.graph import How
from gendsl.nn.factor import Plain
from gendsl.nn.inference import Trace
from gendsl.runtime.verify.certificate import Certificate, at_most
from gendsl.runtime.verify.entrywise import FINER, Entries, resolved, support_of
from gendsl.runtime.verify.subject import Subject, head

BOUND, POWER = 3e-4, 1e-3
ROWS = 8


@torch.no_grad()
def certificates(subject: Subject) -> Iterator[Certificate]:
    """closed_kl of every latent whose KL is taken by formula, entry by entry."""
    model, graph, rows = subject.drawn, subject.graph, head(subject.rows, ROWS)
    for name, route in graph.routes.items():
        prior, encoder = graph.p(name), graph.q(name)
        if route.how is not How.CLOSED or prior is None or encoder is None:
            continue
        with subject.draws(f"divergences/{name}"):
            trace = Trace(model, rows, 1, corrupt=False)
            q, found = trace.posterior[name], trace.closed_kl(name)
            p = trace.condition(prior, len(found))
            assert isinstance(q, Plain)
            assert isinstance(p, Plain)
            if q.family.joint or p.family.joint:
                continue
            q = q.repeat(len(found) // len(q.raw))
            support = support_of(model, encoder)
            error = divergence_error(
                Entries(q.family, q.raw, support), Entries(p.family, p.raw, support), found
            )
        if error is not None:
            note = f"relative to the mean, {ROWS} rows, drawn parameters"
            yield at_most(f"closed_kl:{name}", error, BOUND, POWER, note)


def divergence_error(q: Entries, p: Entries, found: Tensor) -> float | None:
    """The largest error of KLs [R, *shape] over their mean; None where none can be integrated."""
    found_on: list[Tensor] = []
    seen = torch.ones_like(found, dtype=torch.bool)
    for x, log_w in q.grids(FINER):
        log_q, log_p = q.at(x), p.at(x)
        mass = torch.exp(log_q + log_w)
        found_on.append(torch.where(mass > 0, mass * (log_q - log_p), 0.0).sum(0))
        seen &= resolved(log_q, log_w) | q.support.integer
    if not bool(seen.any()):
        return None
    exact = torch.stack(found_on).mean(0)
    return float((found - exact).abs()[seen].max() / exact[seen].mean())
