"""Players: who minimises which terms by changing which factors, in which stage (docs/semantics.md, section 9)."""

from __future__ import annotations

from collections.abc import Iterator

from gendsl.compiler.derive.energies import Way, way
from gendsl.compiler.derive.sampling import bound_of
from gendsl.compiler.graph import Graph, Player, Stage, Term
from gendsl.compiler.paths import moved, scored_by, sources
from gendsl.errors import Diagnostic, SpecError
from gendsl.schema.suggest import nearest


def players(graph: Graph) -> Graph:
    """One player for each critic, one `model` player for everything else; then the same for each stage."""
    owned = tuple(name for name, f in graph.factors.items() if f.channel is None)
    everyone = [Player("model", owned, _minimised(graph, "model"))] if _minimised(graph, "model") else []
    critics = [
        Player(c.player, (c.player,), _minimised(graph, c.player), c.spec.steps)
        for c in graph.critics.values()
    ]
    whole = (*critics, *everyone)
    problems = _stage_problems(graph, [f for p in whole for f in p.factors])
    if problems:
        raise SpecError(problems)
    stages = [
        Stage(stage.steps, tuple(_narrowed(graph, player, set(stage.factors)) for player in whole))
        for stage in graph.spec.train.stages
    ]
    stages = [Stage(s.steps, tuple(p for p in s.players if p.factors and p.terms)) for s in stages]
    problems = [d for i, stage in enumerate(stages) for d in _idle(graph, i, stage)]
    if problems:
        raise SpecError(problems)
    graph = graph.update(players=whole, stages=tuple(stages) or (Stage(None, whole),))
    return graph.update(notes=(*graph.notes, *_untrained(graph)))


def _minimised(graph: Graph, player: str) -> tuple[str, ...]:
    return tuple(t.name for t in graph.terms if t.player == player)


def _narrowed(graph: Graph, player: Player, fit: set[str]) -> Player:
    """The player in a stage: it changes only what the stage fits, by the terms whose gradient reaches
    that.
    """
    factors = tuple(f for f in player.factors if f in fit)
    by_name = {t.name: t for t in graph.terms}
    terms = tuple(t for t in player.terms if reaches(graph, by_name[t]) & set(factors))
    return Player(player.name, factors, terms, player.steps)


def reaches(graph: Graph, term: Term) -> set[str]:
    """The factors that a term's gradient reaches; factors that share a network are reached together.

    A term of weight 0 is reported and moves nothing.
    """
    if term.weight == 0:
        return set()
    if term.player != "model":
        return {term.player}
    found = _reached(graph, term)
    shared = {f.net_name for n, f in graph.factors.items() if n in found} - {None}
    return found | {n for n, f in graph.factors.items() if f.net_name in shared}


def _reached(graph: Graph, term: Term) -> set[str]:
    subject, encoder = term.subject, graph.q(term.subject)
    if term.family in AVERAGED and bound_of(graph).weighted:
        return _weighted(graph)
    if "in" in term.options:
        factor = graph.p(subject)
        assert factor is not None
        return {factor.name}.union(*(sources(graph, p) for p in factor.parents))
    if term.family == "prior":
        return _tilted_by(graph, subject)
    if term.family in ("likelihood", "reconstruction"):
        return scored_by(graph, subject)
    if term.family == "energy":
        return _contrasted(graph, subject)
    if term.family == "kl":
        return sources(graph, subject) | _tilted_by(graph, subject)
    if term.family == "path_length":
        factor = graph.p(subject)
        assert factor is not None
        return {factor.name}
    if term.family == "classified":
        return set(graph.critics[subject].fake_makers)
    if term.family == "adversary":
        critic = graph.critics[subject]
        return {*critic.real_makers, *critic.fake_makers}
    assert encoder is not None
    if term.family == "mutual_information":
        return {encoder.name}.union(*(moved(graph, _clean(graph, v)) for v in (subject, *encoder.parents)))
    if term.family == "mmd":
        return sources(graph, subject) | moved(graph, subject)
    if term.family in ("codebook", "total_correlation"):
        return sources(graph, subject)
    assert term.family == "classification", term.name
    return {encoder.name}.union(*(sources(graph, p) for p in encoder.parents))


AVERAGED = ("reconstruction", "kl", "bound")
"""Families of terms that an importance-weighted bound averages under its weights, which depend on all of
them.
"""


def _weighted(graph: Graph) -> set[str]:
    """What moves the importance weights: every term whose value differs between draws."""
    found: set[str] = set()
    for term in graph.terms:
        if term.family in ("reconstruction", "kl"):
            found |= _tilted_by(graph, term.subject) | sources(graph, term.subject)
    return found


def _tilted_by(graph: Graph, name: str) -> set[str]:
    """What moves log p of a variable at its value, its energy included, log Z left out."""
    own = {f"energy.{name}"} & set(graph.factors)
    return own | (scored_by(graph, name) if graph.p(name) is not None else set())


def _contrasted(graph: Graph, name: str) -> set[str]:
    """What an energy's term moves: the energy, and the factor beneath it unless that is the noise."""
    if way(graph, name) is Way.CONTRAST or graph.p(name) is None:
        return {f"energy.{name}"}
    factor = graph.p(name)
    assert factor is not None
    beneath = [factor, *([graph.factors[f"prior.{factor.base}"]] if factor.base is not None else [])]
    return {f"energy.{name}"}.union(*({f.name, f.uses or f.name} for f in beneath))


def _clean(graph: Graph, name: str) -> str:
    """What a corruption's output is made from; of anything else, itself."""
    channel = graph.factors.get(f"corruption.{name}")
    return name if channel is None else _clean(graph, channel.parents[0])


def _stage_problems(graph: Graph, known: list[str]) -> list[Diagnostic]:
    found = []
    for i, stage in enumerate(graph.spec.train.stages):
        for j, name in enumerate(stage.factors):
            if name in known:
                continue
            near = nearest(name, known)
            path = ("train", "stages", i, "fit", j)
            found.append(
                graph.spec.diagnostic(
                    "GD509",
                    f"a stage fits {name!r}, which is no factor of this model",
                    path,
                    label=f"did you mean {near[0]}?" if near else "",
                    help=f"factors here: {', '.join(known)}",
                )
            )
    for name in graph.spec.train.players.adversary:
        if name not in graph.critics:
            near = nearest(name, list(graph.critics))
            found.append(
                graph.spec.diagnostic(
                    "GD509",
                    f"there is no adversary {name!r}",
                    ("train", "players", "adversary", name),
                    on="key",
                    label=f"did you mean {near[0]!r}?" if near else "",
                )
            )
    return found


def _idle(graph: Graph, index: int, stage: Stage) -> Iterator[Diagnostic]:
    """A stage must change something: a factor with parameters that one of its terms reaches."""
    by_name = {t.name: t for t in graph.terms}
    bills = {n: f.bill for n, f in graph.factors.items()} | {c.player: c.bill for c in graph.critics.values()}
    reached = {f for p in stage.players for n in p.terms for f in reaches(graph, by_name[n]) & set(p.factors)}
    if not any(bills[name].parameters for name in reached):
        fit = graph.spec.train.stages[index].factors
        yield graph.spec.diagnostic(
            "GD509",
            f"this stage trains nothing: no term of the objective changes a parameter of {', '.join(fit)}",
            ("train", "stages", index, "fit"),
        )


def _untrained(graph: Graph) -> list[Diagnostic]:
    """A warning for each factor with parameters that no term reaches in any stage."""
    reached: set[str] = set()
    by_name = {t.name: t for t in graph.terms}
    for stage in graph.stages:
        for player in stage.players:
            for name in player.terms:
                reached |= reaches(graph, by_name[name]) & set(player.factors)
    return [
        graph.spec.diagnostic(
            "GD515",
            f"nothing trains {name}: no term of the objective reaches it",
            factor.path,
            on="key",
            severity="warning",
        )
        for name, factor in graph.factors.items()
        if factor.bill.parameters and name not in reached
    ]
