"""Adversaries: the two joints that each critic compares, and who made each side (docs/semantics.md, section 5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gendsl.compiler.derive.discrete import RELAXED, not_listed
from gendsl.compiler.graph import Critic, Factor, Graph, How, Role
from gendsl.compiler.paths import above, how, made, sources
from gendsl.compiler.plans.sample import unsampled
from gendsl.errors import Diagnostic, SpecError
from gendsl.schema.components.estimator import Relaxed
from gendsl.schema.nodes import Path
from gendsl.schema.settings import DEFAULT_STEPS


def adversaries(graph: Graph) -> Graph:
    """Fills in the makers of both sides; refuses a variable without one of them, or without a gradient."""
    problems: list[Diagnostic] = []
    notes: list[Diagnostic] = []
    critics: dict[str, Critic] = {}
    for name, written in graph.critics.items():
        stands_in = [v for v in written.spec.sees if how(graph, v) is How.ADVERSARIAL]
        critic = replace(written, stands_in=stands_in[0] if stands_in else None)
        found = [*_sides(graph, critic), *_penalties(graph, critic), *_presented(graph, critic)]
        real, fake = _real_makers(graph, critic), _fake_makers(graph, critic)
        if not found:
            found += [*_gradients(graph, critic, real, "real"), *_gradients(graph, critic, fake, "fake")]
            found += _told(graph, critic, fake)
        if not found and not real and not fake:
            found.append(
                graph.spec.diagnostic(
                    "GD506",
                    f"nothing that {name} sees has parameters behind it: the adversary trains nobody",
                    (*critic.path, "sees"),
                )
            )
        notes += _late(graph, critic)
        unseen = list(_conditions(graph, critic))
        problems += [*found, *(d for d in unseen if d.severity == "error")]
        notes += [d for d in unseen if d.severity != "error"]
        critics[name] = replace(
            critic, real_makers=tuple(f.name for f in real), fake_makers=tuple(f.name for f in fake)
        )
    graph = _weighed(graph.update(critics=critics))
    problems = problems or [*_untrained(graph), *_idle_estimators(graph)]
    if problems:
        raise SpecError(problems)
    return graph.update(notes=(*graph.notes, *notes))


def _weighed(graph: Graph) -> Graph:
    """Fills in the variables whose relaxed values an adversary sees, or its gradient passes through."""
    reached: set[str] = set()
    for critic in graph.critics.values():
        reached |= {graph.factors[f].head for f in (*critic.real_makers, *critic.fake_makers)}
        reached |= {v for v in critic.spec.sees if graph.q(v) is not None or graph.p(v) is not None}
    named = graph.spec.objective.estimator
    found = {
        n: e
        for n, e in named.items()
        if isinstance(e, Relaxed) and n in reached and graph.variables[n].finite
    }
    routes = {
        n: replace(r, estimator=found[n]) if n in found and r.how is How.SAMPLED_ONLY else r
        for n, r in graph.routes.items()
    }
    return graph.update(weighed=found, routes=routes)


def _idle_estimators(graph: Graph) -> Iterator[Diagnostic]:
    """An estimator speaks of a discrete latent with an encoder, or of what an adversary's gradient passes."""
    for name in graph.spec.objective.estimator:
        route = graph.routes.get(name)
        latent = route is not None and (route.how is How.ENUMERATED or route.estimator is not None)
        if not latent and name not in graph.weighed:
            yield graph.spec.diagnostic(
                "GD507",
                f"{name} is not a discrete latent with an encoder, and no adversary's gradient passes through it: "
                "there is nothing to estimate",
                ("objective", "estimator", name),
                on="key",
            )


def _untrained(graph: Graph) -> Iterator[Diagnostic]:
    """An observed variable that is not scored, and is data on both sides of every adversary that sees it."""
    for name, variable in graph.variables.items():
        factor = graph.p(name)
        if (
            variable.role is not Role.OBSERVED
            or factor is None
            or name in (*graph.scored, *graph.spec.energy)
        ):
            continue
        critics = [graph.critics[c] for c in graph.seen_by(name)]
        if critics and all(c.stands_in for c in critics):
            yield graph.spec.diagnostic(
                "GD501",
                f"nothing trains {name}: it is not scored, and {critics[0].name} stands in for the KL of "
                f"{critics[0].stands_in}, so {name} is data on both sides",
                factor.path,
                on="key",
                help=f"give {name} a density and a route for every latent above it, or an adversary of its "
                "own",
            )


def _sides(graph: Graph, critic: Critic) -> Iterator[Diagnostic]:
    for i, seen in enumerate(critic.spec.sees):
        role = graph.variables[seen].role
        path: Path = (*critic.path, "sees", i)
        if role in (Role.METRIC, Role.CORRUPTED):
            yield graph.spec.diagnostic(
                "GD506", f"{seen} is not part of the model: {critic.name} cannot see it", path
            )
        elif role is Role.CONDITION or (critic.stands_in and role is Role.OBSERVED):
            continue
        elif role is Role.PARTIAL:
            yield graph.spec.diagnostic(
                "GD506", f"{seen} is only partly observed: an adversary cannot compare it", path
            )
        elif graph.p(seen) is None:
            section = "decoder" if role is Role.OBSERVED else "prior"
            yield graph.spec.diagnostic(
                "GD506",
                f"{critic.name} sees {seen}, but {seen} has no fake side: nothing in p makes it",
                path,
                help=f"add {section}: {{{seen}: ...}}"
                + (f", or make it a condition (condition: [{seen}])" if role is Role.OBSERVED else ""),
                related=((f"{seen} is here", graph.variables[seen].path),),
            )
        elif role is Role.LATENT and graph.q(seen) is None and seen not in graph.bases():
            yield graph.spec.diagnostic(
                "GD506",
                f"{critic.name} sees {seen}, but {seen} has no real side: it is latent and has no encoder",
                path,
                help=f"add encoder: {{{seen}: ...}}, or let {critic.name} see observed variables only",
                related=((f"{seen} is here", graph.variables[seen].path),),
            )
        elif unsampled(graph, [seen]):
            yield graph.spec.diagnostic(
                "GD506",
                f"{critic.name} sees {seen}, but {seen} has no fake side: {unsampled(graph, [seen])}",
                path,
                related=((f"{seen} is here", graph.variables[seen].path),),
            )
        elif role is Role.LATENT and _states_of(graph, seen):
            yield graph.spec.diagnostic(
                "GD506",
                f"{critic.name} sees {seen}, whose encoder depends on {_states_of(graph, seen)}, a finite "
                "latent of "
                "which every value is tried: that is not built in this version",
                path,
            )


def _states_of(graph: Graph, name: str) -> str:
    """The finite latents that are summed or enumerated above an encoder's value, or an empty string."""
    reached = sorted(v for v in above(graph, "q", name) if how(graph, v) in (How.SUMMED, How.ENUMERATED))
    return ", ".join(reached)


def _penalties(graph: Graph, critic: Critic) -> Iterator[Diagnostic]:
    tags = [p.tag for p in critic.spec.penalty]
    for i, tag in enumerate(tags):
        if tag in tags[:i]:
            yield graph.spec.diagnostic(
                "GD207", f"{critic.name} has the penalty {tag} twice", (*critic.path, "penalty", i)
            )


def _presented(graph: Graph, critic: Critic) -> Iterator[Diagnostic]:
    """Augmentation needs a grid to transform, a pack rows to fill it, smoothing a logistic loss."""
    images = [v for v in critic.spec.sees if len(graph.variables[v].shape or ()) == 3]
    soft = [v for v in images if isinstance(graph.spec.objective.estimator.get(v), Relaxed)]
    if critic.spec.augment is not None and soft:
        yield graph.spec.diagnostic(
            "GD520",
            f"{critic.name} sees weights of the values of {soft[0]}, which are not built to be augmented",
            (*critic.path, "augment"),
            on="key",
            help="drop `augment`, or use noise: {std: 0.1}",
        )
    if critic.spec.augment is not None and not images:
        yield graph.spec.diagnostic(
            "GD520",
            f"nothing that {critic.name} sees is an image [C, H, W]: there is nothing to augment",
            (*critic.path, "augment"),
            on="key",
            help=f"drop `augment`, or use noise: {{std: 0.1}}, which {critic.name} can have of any shape",
        )
    if critic.spec.pack > graph.spec.train.batch_size:
        yield graph.spec.diagnostic(
            "GD520",
            f"{critic.name} packs {critic.spec.pack} tuples, more than a batch of "
            f"{graph.spec.train.batch_size} has",
            (*critic.path, "pack"),
            help="a batch should hold many packs: raise train.batch_size, or lower `pack`",
        )
    if critic.spec.smoothing > 0 and not critic.spec.loss.logistic:
        yield graph.spec.diagnostic(
            "GD520",
            f"`smoothing` is of the labels of a logistic loss, and {critic.name} has {critic.spec.loss.tag}",
            (*critic.path, "smoothing"),
            on="key",
            help="drop `smoothing`, or write loss: non_saturating",
        )


def _late(graph: Graph, critic: Critic) -> Iterator[Diagnostic]:
    """A warning where training ends before the critic first acts on the model."""
    train = graph.spec.train
    if train.epochs is not None:
        return
    whole = train.steps or DEFAULT_STEPS
    end = sum(s.steps or whole for s in train.stages) or whole
    if critic.spec.start >= end:
        yield graph.spec.diagnostic(
            "GD520",
            f"{critic.name} first acts on the model at step {critic.spec.start}, and training ends after {end}",
            (*critic.path, "start"),
            severity="warning",
            help="lower `start`, or raise train.steps",
        )


def _told(graph: Graph, critic: Critic, fake: list[Factor]) -> Iterator[Diagnostic]:
    """`classify` names a label of every row that what is made depends on and that the critic does not see."""
    name = critic.spec.classify
    if name is None:
        return
    variable = graph.variables[name]
    count = variable.support.count if variable.support is not None else None
    why, label = "", name if variable.role in (Role.CONDITION, Role.OBSERVED) else "y"
    if name in critic.spec.sees:
        why = f"{critic.name} sees {name}: it would only have to read it"
    elif variable.role not in (Role.CONDITION, Role.OBSERVED):
        why = f"{name} is not known on every row"
    elif count is None or variable.shape != ():
        why = f"{name} is not a label"
    elif not any(name in graph.ancestors("p", v) for v in critic.spec.sees):
        why = f"what {critic.name} sees is not made from {name}"
    elif critic.stands_in is not None or not fake:
        why = f"nothing with parameters makes what {critic.name} sees from {name}"
    if why:
        yield graph.spec.diagnostic(
            "GD520",
            f"{critic.name} cannot tell {name} apart: {why}",
            (*critic.path, "classify"),
            help=f"classify a label that the decoder is given: condition: [{label}], "
            f"decoder: {{x: {{given: [z, {label}], ...}}}}",
            related=((f"{name} is here", variable.path),),
        )


def _conditions(graph: Graph, critic: Critic) -> Iterator[Diagnostic]:
    """What is seen depends on a condition that is not seen: then only marginals are compared.

    A warning beside a likelihood; an error where nothing else could teach the variable its condition.
    """
    depends: set[str] = set()
    alone = False
    for seen in critic.spec.sees:
        reached = above(graph, "p", seen) if graph.p(seen) is not None else set()
        told = {*critic.spec.sees, critic.spec.classify}
        unseen = {a for a in reached if graph.variables[a].role is Role.CONDITION} - told
        depends |= unseen
        observed = graph.variables[seen].role is Role.OBSERVED
        alone = alone or (bool(unseen) and observed and seen not in graph.scored)
    missing = sorted(depends)
    if missing:
        yield graph.spec.diagnostic(
            "GD506",
            f"{critic.name} judges {', '.join(critic.spec.sees)}, which depends on {', '.join(missing)}, "
            "without seeing "
            "it: it compares the marginals only",
            (*critic.path, "sees"),
            help=f"sees: [{', '.join([*critic.spec.sees, *missing])}]"
            + (f", or classify: {missing[0]} for a label" if len(missing) == 1 else ""),
            severity="error" if alone else "warning",
        )


def _real_makers(graph: Graph, critic: Critic) -> list[Factor]:
    """Factors with parameters behind the real tuples: encoders, and flows whose base is seen."""
    return _learned(graph, set().union(*(sources(graph, v) for v in critic.spec.sees)))


def _fake_makers(graph: Graph, critic: Critic) -> list[Factor]:
    """Factors with parameters behind the fake tuples: priors and decoders."""
    stands_in = critic.stands_in is not None
    return _learned(graph, set().union(*(made(graph, v, given_data=stands_in) for v in critic.spec.sees)))


def _learned(graph: Graph, names: set[str]) -> list[Factor]:
    return [f for n, f in graph.factors.items() if n in names and f.bill.parameters > 0]


def _discrete(graph: Graph, factor: Factor) -> bool:
    support = graph.variables[factor.head].support
    return support is not None and support.integer


def _gradients(graph: Graph, critic: Critic, makers: list[Factor], side: str) -> Iterator[Diagnostic]:
    """Makers whose samples have no gradient. A flow has no distribution of its own: what stops one is its base."""
    for factor in makers:
        if factor.offers.rsample or factor.dist is None:
            continue
        name = factor.head
        named = graph.spec.objective.estimator.get(name)
        label = factor.section == "decoder" and graph.variables[name].labels
        options = (
            ["a deterministic head with as: [unit]"] if factor.section == "decoder" and not label else []
        )
        if graph.variables[name].finite and isinstance(named, Relaxed):
            if not factor.product:
                instead = options[0] if options else "a network that gives all entries at once"
                yield not_listed(graph, name, factor, f"{instead} has a gradient")
            continue
        if graph.variables[name].finite and factor.product:
            options.insert(
                0, f"relaxed samples: objective: {{estimator: {{{name}: straight_through}}}} (or {RELAXED})"
            )
        if label:
            options.append(f"to make {name} a condition (condition: [{name}])")
        if factor.section == "prior" and not _discrete(graph, factor):
            options.append("dist: normal with a flow")
        why = "is discrete" if _discrete(graph, factor) else f"has none: {factor.dist.no_gradient}"
        yield graph.spec.diagnostic(
            "GD505",
            f"{critic.name} has no gradient through the {side} samples of {name}: {factor.dist.tag} {why}",
            (*factor.path, "dist"),
            help="what has a gradient: " + ", or ".join(options)
            if options
            else f"let {critic.name} see what is not made from {name}",
            related=((f"{critic.name} sees it here", (*critic.path, "sees")),),
        )
