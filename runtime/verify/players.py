"""Players: a term moves only what its player owns (docs/semantics.md, section 5).

The critic's own terms have no gradient in the factors, the adversary's term none in the critic, and each has
one in the parameters that it is there to train.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from gendsl.nn.model import Model
from gendsl.runtime.verify.certificate import Certificate, at_most
from gendsl.runtime.verify.subject import Subject

POWER = 1e-12
"""Any gradient at all that reaches another player's parameters, relative to what reaches one's own."""


def certificates(subject: Subject) -> Iterator[Certificate]:
    """players of every adversary: two certificates, its own step and the step of the makers."""
    model, rows = subject.drawn, subject.rows
    for critic in subject.graph.critics.values():
        mine = list(model.critic(critic.name).named_parameters())
        makers = model.parameters_of({*critic.real_makers, *critic.fake_makers})
        own = [t.name for t in subject.graph.terms if t.player == critic.player]
        with subject.draws(f"players/{critic.name}"):
            theirs = model.loss("model", rows, step=10**6, terms=[f"adversary.{critic.name}"]).total
            yield _moves(f"players:adversary.{critic.name}", theirs, makers, mine)
            total = model.loss(critic.player, rows, terms=own).total
            yield _moves(f"players:critic.{critic.name}", total, mine, model_parameters(model))


def model_parameters(model: Model) -> list[tuple[str, nn.Parameter]]:
    """Every factor's parameters."""
    return [(n, p) for n, p in model.named_parameters() if not n.startswith("adversary.")]


def _moves(
    name: str, total: Tensor, moved: list[tuple[str, nn.Parameter]], kept: list[tuple[str, nn.Parameter]]
) -> Certificate:
    """The largest gradient in what must stay, relative to the largest in what must move."""
    if not total.requires_grad:
        return at_most(name, math.inf, 0.0, POWER, "the term has no gradient at all")
    parameters = [p for _, p in (*moved, *kept)]
    grads = torch.autograd.grad(total, parameters, allow_unused=True)
    driven, leaked = _largest(grads[: len(moved)]), _largest(grads[len(moved) :])
    note = f"moves {len(moved)} tensors, must not move {len(kept)}"
    return at_most(name, leaked / driven if driven > 0 else math.inf, 0.0, POWER, note)


def _largest(grads: Iterable[Tensor | None]) -> float:
    return max((float(g.abs().max()) for g in grads if g is not None), default=0.0)
