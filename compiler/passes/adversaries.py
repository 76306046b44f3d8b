"""Adversaries: the two joints that each critic compares, and who made each side (SEMANTICS, section 5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gendsl.compiler.graph import Critic, Factor, Graph, How, Role
from gendsl.errors import Diagnostic, SpecError
from gendsl.schema.nodes import Path


def adversaries(graph: Graph) -> Graph:
    """Fills in the makers of both sides; refuses a variable without one of them, or without a gradient."""
    problems: list[Diagnostic] = []
    critics: dict[str, Critic] = {}
    for name, critic in graph.critics.items():
        stands_in = [v for v in critic.spec.sees if _replaces(graph, v)]
        critic = replace(critic, stands_in=stands_in[0] if stands_in else None)
        found = list(_sides(graph, critic))
        real, fake = _makers(graph, critic, "q"), _makers(graph, critic, "p")
        if not found:
            found += [*_gradients(graph, critic, real, "real"), *_gradients(graph, critic, fake, "fake")]
        if not found and not real and not fake:
            found.append(
                graph.spec.diagnostic(
                    "GD506",
                    f"nothing that {name} sees has parameters behind it: the adversary trains nobody",
                    (*critic.path, "sees"),
                )
            )
        problems += found
        critics[name] = replace(
            critic, real_makers=tuple(f.name for f in real), fake_makers=tuple(f.name for f in fake)
        )
    if problems:
        raise SpecError(problems)
    return graph.update(critics=critics)


def _replaces(graph: Graph, variable: str) -> bool:
    route = graph.routes.get(variable)
    return route is not None and route.how is How.ADVERSARIAL


def _sides(graph: Graph, critic: Critic) -> Iterator[Diagnostic]:
    for i, seen in enumerate(critic.spec.sees):
        role = graph.variables[seen].role
        path: Path = (*critic.path, "sees", i)
        if role in (Role.METRIC, Role.CORRUPTED):
            yield graph.spec.diagnostic("GD506", f"{seen} is not part of the model: {critic.name} cannot see it", path)
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
    yield from _conditions(graph, critic)


def _conditions(graph: Graph, critic: Critic) -> Iterator[Diagnostic]:
    """What depends on a condition must be judged together with it."""
    depends: set[str] = set()
    for seen in critic.spec.sees:
        if graph.p(seen) is not None:
            above = graph.ancestors("p", seen)
            depends |= {a for a in above if graph.variables[a].role is Role.CONDITION}
    missing = sorted(depends - set(critic.spec.sees))
    if missing and not critic.stands_in:
        yield graph.spec.diagnostic(
            "GD506",
            f"{critic.name} judges {', '.join(critic.spec.sees)}, which depends on {', '.join(missing)}, without seeing it",
            (*critic.path, "sees"),
            help=f"sees: [{', '.join([*critic.spec.sees, *missing])}]",
        )


def _makers(graph: Graph, critic: Critic, side: str) -> list[Factor]:
    """Factors with parameters behind the tuples of one side: q makes the real ones, p the fake ones."""
    made: set[str] = set()
    for seen in critic.spec.sees:
        role = graph.variables[seen].role
        if role is Role.CONDITION or (role is Role.OBSERVED and (side == "q" or critic.stands_in)):
            continue
        made |= {seen} | graph.ancestors("p" if side == "p" else "q", seen)
    if side == "q":
        flows = graph.bases()
        bases = [flows[v] for v in critic.spec.sees if v in flows]
        found = [f for f in graph.side("q") if f.head in made] + bases
    else:
        found = [f for f in graph.side("p") if f.head in made]
    return [f for f in found if f.bill.parameters > 0]


def _gradients(graph: Graph, critic: Critic, makers: list[Factor], side: str) -> Iterator[Diagnostic]:
    for factor in makers:
        if factor.offers.rsample:
            continue
        assert factor.dist is not None
        relax = "a deterministic head with as: [unit] gives real values; " if factor.section == "decoder" else ""
        yield graph.spec.diagnostic(
            "GD505",
            f"{critic.name} has no gradient through the {side} samples of {factor.head}: {factor.dist.tag} is discrete",
            (*factor.path, "dist"),
            help=f"{relax}relaxed samples (gumbel, straight_through) are not built yet in this version",
            related=((f"{critic.name} sees it here", (*critic.path, "sees")),),
        )
