"""Adversaries: the two joints that each critic compares, and who made each side (docs/semantics.md, section 5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gendsl.compiler.graph import Critic, Factor, Graph, How, Role
from gendsl.compiler.paths import above, how, made, sources
from gendsl.compiler.plans.sample import unsampled
from gendsl.errors import Diagnostic, SpecError
from gendsl.schema.nodes import Path


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
        unseen = list(_conditions(graph, critic))
        problems += [*found, *(d for d in unseen if d.severity == "error")]
        notes += [d for d in unseen if d.severity != "error"]
        critics[name] = replace(
            critic, real_makers=tuple(f.name for f in real), fake_makers=tuple(f.name for f in fake)
        )
    problems = problems or list(_untrained(graph.update(critics=critics)))
    if problems:
        raise SpecError(problems)
    return graph.update(critics=critics, notes=(*graph.notes, *notes))


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
    """Augmentation needs a grid to transform, a pack rows to fill it."""
    shapes = [graph.variables[v].shape or () for v in critic.spec.sees]
    if critic.spec.augment is not None and not any(len(s) == 3 for s in shapes):
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


def _told(graph: Graph, critic: Critic, fake: list[Factor]) -> Iterator[Diagnostic]:
    """`classify` names a label of every row that what is made depends on and that the critic does not see."""
    name = critic.spec.classify
    if name is None:
        return
    variable = graph.variables[name]
    count = variable.support.count if variable.support is not None else None
    why = ""
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
            help=f"classify a label that the decoder is given: condition: [{name}], "
            f"decoder: {{x: {{given: [z, {name}], ...}}}}",
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
        why = "is discrete" if _discrete(graph, factor) else f"has none: {factor.dist.no_gradient}"
        relax = (
            "a deterministic head with as: [unit] gives real values; " if factor.section == "decoder" else ""
        )
        yield graph.spec.diagnostic(
            "GD505",
            f"{critic.name} has no gradient through the {side} samples of {factor.head}: {factor.dist.tag} "
            f"{why}",
            (*factor.path, "dist"),
            help=f"{relax}relaxed samples of what an adversary sees are not built in this version",
            related=((f"{critic.name} sees it here", (*critic.path, "sees")),),
        )
