"""adversary, critic and penalties: the terms of one adversary (docs/semantics.md, section 5)."""

from __future__ import annotations

from collections.abc import Iterator

from gendsl.compiler.derive.notation import says
from gendsl.compiler.graph import Critic, Graph, Kind, Term
from gendsl.compiler.paths import is_data
from gendsl.schema.components.adversary import Constraint, EveryPenalty, Penalty


def adversarial(graph: Graph, critic: Critic) -> Iterator[Term]:
    loss, name = critic.spec.loss, critic.name
    sees = ", ".join(critic.spec.sees)
    estimates = logit(graph, critic)
    real = "logit D(R)" if estimates else loss.real
    real = real if critic.real_makers else ""
    parts = [p for p in (real, loss.fake if critic.fake_makers else "") if p]
    who = ", ".join((*critic.real_makers, *critic.fake_makers))
    yield Term(
        f"adversary.{name}",
        f"E[{' + '.join(parts)}], R and F tuples ({sees}){_presented(critic)}; moves {who}",
        "model",
        Kind.ESTIMATE if estimates else Kind.NONE,
        _of_adversary(graph, critic),
        f"{loss.tag}, one sample{_unrolled(critic)}{_relaxed(graph, critic)}",
        path=critic.path,
    )
    yield Term(
        f"critic.{name}",
        f"E[{loss.critic}]",
        critic.player,
        Kind.NONE,
        f"how well {name} tells R from F",
        f"{loss.tag}, one sample",
        path=critic.path,
    )
    yield from _label(critic)
    for i, penalty in enumerate(critic.spec.penalty):
        if isinstance(penalty, Constraint):
            continue
        yield Term(
            f"{penalty.tag}.{name}",
            f"E[{penalty.formula}]",
            critic.player,
            Kind.NONE,
            f"smoothness of {name}",
            f"one sample{_lazy(penalty)}",
            weight=penalty.weight,
            options={"index": i},
            path=(*critic.path, "penalty", i),
        )


def _presented(critic: Critic) -> str:
    """What happens to the tuples before they are judged."""
    spec = critic.spec
    noise = ", with instance noise" if spec.noise is not None else ""
    augment = f", augmented ({spec.augment.tag})" if spec.augment is not None else ""
    return noise + augment + (f", {spec.pack} packed together" if spec.pack > 1 else "")


def _unrolled(critic: Critic) -> str:
    unroll = critic.spec.unrolled
    if unroll is None:
        return ""
    return f", through {unroll.steps} steps of {critic.name} by gradient descent at {unroll.lr:g}"


def _relaxed(graph: Graph, critic: Critic) -> str:
    """How the gradient passes through discrete values."""
    makers = (*critic.real_makers, *critic.fake_makers)
    mine = {*critic.spec.sees, *(graph.factors[f].head for f in makers)}
    return "".join(f"; {n} {e.words}" for n, e in graph.weighed.items() if n in mine)


def _lazy(penalty: Penalty) -> str:
    every = penalty.every if isinstance(penalty, EveryPenalty) else 1
    return f", every {every} steps and times {every}" if every > 1 else ""


def _label(critic: Critic) -> Iterator[Term]:
    """The second head (Odena et al. 2017, eq. 3): what the critic minimises, and what the makers of F minimise."""
    label, name = critic.spec.classify, critic.name
    if label is None:
        return
    yield Term(
        f"classify.{name}",
        f"E[-log C({label} | R) - log C({label} | F)]",
        critic.player,
        Kind.NONE,
        f"how well {name} tells {label}",
        "cross-entropy, one sample",
        path=(*critic.path, "classify"),
    )
    yield Term(
        f"classified.{name}",
        f"E[-log C({label} | F)]; moves {', '.join(critic.fake_makers)}",
        "model",
        Kind.NONE,
        f"how well {name} tells {label} of what is made",
        "cross-entropy, one sample",
        path=(*critic.path, "classify"),
    )


def _of_adversary(graph: Graph, critic: Critic) -> str:
    """The quantity that the number of an adversary's term is about."""
    if not logit(graph, critic):
        return f"what {critic.name} tells of the two joints of ({', '.join(critic.spec.sees)})"
    assert critic.stands_in is not None
    encoder, prior = graph.q(critic.stands_in), graph.p(critic.stands_in)
    assert encoder is not None
    assert prior is not None
    return f"KL({says(encoder)} || {says(prior)}), by the critic's logit"


def logit(graph: Graph, critic: Critic) -> bool:
    """Whether the critic's number estimates log q - log p of the latent whose KL it stands in for.

    It does for a logistic loss, if the critic sees everything that q and p of that latent are given, and no
    other latent (adversarial variational Bayes), one tuple at a time and as they are. Then the encoder minimises
    the number itself.
    """
    if critic.stands_in is None or not critic.spec.loss.logistic:
        return False
    if critic.spec.pack > 1 or critic.spec.augment is not None or critic.spec.smoothing > 0:
        return False
    encoder, prior = graph.q(critic.stands_in), graph.p(critic.stands_in)
    assert encoder is not None
    assert prior is not None
    rest = set(critic.spec.sees) - {critic.stands_in}
    return {*encoder.parents, *prior.parents} <= rest and all(is_data(graph, v) for v in rest)
