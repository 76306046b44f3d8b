"""Players: who minimises which terms by changing which factors, in which stage (SEMANTICS, section 5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gendsl.compiler.graph import Graph, How, Player, Role, Stage, Term
from gendsl.errors import Diagnostic, SpecError
from gendsl.schema.suggest import nearest


def players(graph: Graph) -> Graph:
    """One player for each critic, one `model` player for everything else; then the same for each stage."""
    owned = tuple(name for name, f in graph.factors.items() if f.channel is None)
    everyone = [Player("model", owned, _minimised(graph, "model"))] if _minimised(graph, "model") else []
    critics = [
        Player(c.player, (c.player,), _minimised(graph, c.player), c.spec.steps) for c in graph.critics.values()
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
    """The player in a stage: it changes only what the stage fits, by the terms whose gradient reaches that."""
    factors = tuple(f for f in player.factors if f in fit)
    by_name = {t.name: t for t in graph.terms}
    terms = tuple(t for t in player.terms if reaches(graph, by_name[t]) & set(factors))
    return Player(player.name, factors, terms, player.steps)


def reaches(graph: Graph, term: Term) -> set[str]:
    """The factors that a term's gradient reaches."""
    subject = term.subject
    if term.player != "model":
        return {term.player}
    if term.family in ("likelihood", "reconstruction"):
        return _p_closure(graph, subject)
    if term.family == "kl":
        above = [*graph.ancestors("p", subject), *graph.ancestors("q", subject)]
        return {f"encoder.{subject}", _p_name(graph, subject)} | _encoders(graph, above)
    if term.family == "prior":
        return {_p_name(graph, subject)}
    if term.family == "mutual_information":
        encoder = graph.q(subject)
        assert encoder is not None
        made: set[str] = {encoder.name}
        for parent in encoder.parents:
            made |= {f.name for f in graph.side("p") if f.head in graph.ancestors("p", parent) | {parent}}
        return made
    if term.family == "classification":
        return {f"encoder.{subject}"} | _encoders(graph, graph.ancestors("q", subject))
    if term.family == "mmd":
        return {f"encoder.{subject}", _p_name(graph, subject)} | _encoders(graph, graph.ancestors("q", subject))
    if term.family == "adversary":
        critic = graph.critics[subject]
        return {*critic.real_makers, *critic.fake_makers}
    every = (t for t in graph.terms if t.family in ("reconstruction", "kl"))
    return set().union(*(reaches(graph, t) for t in every))


def _p_name(graph: Graph, variable: str) -> str:
    factor = graph.p(variable)
    assert factor is not None
    return factor.name


def _p_closure(graph: Graph, variable: str) -> set[str]:
    """The factor of a scored variable, those of what is summed or inverted above it, and the encoders above it."""
    above = graph.ancestors("p", variable)
    found = {_p_name(graph, variable)}
    for name in above:
        route = graph.routes.get(name)
        if route is not None and route.how in (How.BASE, How.SUMMED):
            found.add(_p_name(graph, name))
    return found | _encoders(graph, above)


def _encoders(graph: Graph, variables: Iterable[str]) -> set[str]:
    """The encoders of the latents among these variables, and of what those are inferred from."""
    found: set[str] = set()
    for name in variables:
        if graph.variables[name].role not in (Role.LATENT, Role.PARTIAL):
            continue
        for each in (name, *graph.ancestors("q", name)):
            if graph.q(each) is not None and graph.variables[each].role in (Role.LATENT, Role.PARTIAL):
                found.add(f"encoder.{each}")
    return found


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
