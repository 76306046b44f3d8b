"""Spec -> Graph: every name resolved to a variable, every key to a factor (docs/semantics.md, section 1)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import NamedTuple

from gendsl.compiler.graph import Critic, Factor, Graph, Role, Variable
from gendsl.errors import Diagnostic, SpecError
from gendsl.schema.components.dist import Dist
from gendsl.schema.components.net import Mlp, Net, Ref
from gendsl.schema.components.source_base import SourceFacts, SourceProblem
from gendsl.schema.nodes import Path
from gendsl.schema.sections import Adversary, Missing, Partial
from gendsl.schema.sections import Factor as FactorSection
from gendsl.schema.spec import FACTOR_SECTIONS, Spec
from gendsl.schema.suggest import listing, nearest


class Use(NamedTuple):
    """A place where the spec names a variable."""

    name: str
    path: Path
    words: str


def lower(spec: Spec, base: FilePath, facts: SourceFacts | None = None) -> Graph:
    """The graph of a spec, with names resolved and nothing inferred yet.

    `base` is the folder that relative paths of the data start from; with `facts` of the source it is not asked.
    Raises SpecError with every unknown name and every source that cannot be read.
    """
    problems: list[Diagnostic] = []
    notes: list[Diagnostic] = []
    source = facts if facts is not None else _source(spec, base, problems)
    roles = _roles(spec)
    variables = {name: _variable(spec, name, role, source) for name, role in roles.items()}
    for use in _uses(spec):
        if use.name not in roles:
            problems.append(_unknown(spec, use, roles, source))
    problems += _names(spec, roles)
    nets = _nets(spec, problems, notes)
    factors = dict(_factors(spec, nets))
    critics = {name: _critic(name, adversary, nets) for name, adversary in spec.adversary.items()}
    if problems:
        raise SpecError(problems)
    return Graph(spec=spec, source=source).update(
        variables=variables, factors=factors, critics=critics, notes=tuple(notes)
    )


def _source(spec: Spec, base: FilePath, problems: list[Diagnostic]) -> SourceFacts | None:
    if spec.data is None:
        return None
    try:
        return spec.data.source.facts(base)
    except SourceProblem as problem:
        problems.append(
            spec.diagnostic("GD406", problem.message, ("data", "source", problem.field), help=problem.help)
        )
        return None


def _roles(spec: Spec) -> dict[str, Role]:
    """Every variable that the spec defines, in the order of reading, with its role."""
    roles: dict[str, Role] = {}
    for name in spec.data.bind if spec.data else ():
        facts = spec.variables.get(name)
        if name in spec.condition:
            roles[name] = Role.CONDITION
        elif facts is not None and facts.observed == "never":
            roles[name] = Role.METRIC
        elif facts is not None and isinstance(facts.observed, Partial):
            roles[name] = Role.PARTIAL
        else:
            roles[name] = Role.OBSERVED
    for name in spec.corruption:
        roles.setdefault(name, Role.CORRUPTED)
    for section in (*FACTOR_SECTIONS, "energy"):
        for name in getattr(spec, section):
            roles.setdefault(name, Role.LATENT)
    return roles


def _variable(spec: Spec, name: str, role: Role, source: SourceFacts | None) -> Variable:
    facts = spec.variables.get(name)
    path = _declared(spec, name)
    column = None
    if spec.data is not None and source is not None and name in spec.data.bind:
        column = source.columns.get(spec.data.bind[name].column)
    known = facts.observed.partial if facts is not None and isinstance(facts.observed, Partial) else None
    missing: float | bool | None = True if column is not None and column.ragged else None
    if facts is not None and facts.missing:
        missing = facts.missing.rate if isinstance(facts.missing, Missing) else True
    return Variable(name, role, path, raw_column=column, known=known, missing=missing)


def _declared(spec: Spec, name: str) -> Path:
    for section in ("prior", "decoder", "flow", "energy", "encoder", "corruption"):
        if name in getattr(spec, section):
            return (section, name)
    return ("data", "bind", name)


def _uses(spec: Spec) -> Iterator[Use]:
    """Every place that names a variable which something else has to define."""
    for section in FACTOR_SECTIONS:
        for head, factor in getattr(spec, section).items():
            for i, parent in enumerate(factor.given):
                yield Use(parent, (section, head, "given", i), f"a parent of {head}")
    for head, energy in spec.energy.items():
        for i, parent in enumerate(energy.given):
            yield Use(parent, ("energy", head, "given", i), f"read by the energy of {head}")
    for head, corruption in spec.corruption.items():
        yield Use(corruption.given, ("corruption", head, "given"), f"the clean value of {head}")
    for name, adversary in spec.adversary.items():
        for i, seen in enumerate(adversary.sees):
            yield Use(seen, ("adversary", name, "sees", i), f"seen by {name}")
        if adversary.project is not None:
            yield Use(adversary.project, ("adversary", name, "project"), f"projected by {name}")
        if adversary.classify is not None:
            yield Use(adversary.classify, ("adversary", name, "classify"), f"told by {name}")
    for i, name in enumerate(spec.condition):
        yield Use(name, ("condition", i), "a condition")
    for section in ("ordering", "variables"):
        for name in getattr(spec, section):
            yield Use(name, (section, name), f"named under {section}")


def _names(spec: Spec, roles: dict[str, Role]) -> Iterator[Diagnostic]:
    """A name means one thing: a variable, a network or an adversary."""
    for section in ("nets", "adversary"):
        for name in getattr(spec, section):
            first: Path | None = _declared(spec, name) if name in roles else None
            if section == "adversary" and name in spec.nets:
                first = ("nets", name)
            if first is not None:
                what = "a network" if first[0] == "nets" else "a variable"
                yield spec.diagnostic(
                    "GD207",
                    f"{name!r} is the name of {what} already",
                    (section, name),
                    on="key",
                    help="choose another name",
                    related=((f"{what} of this name", first),),
                )


def _unknown(spec: Spec, use: Use, roles: dict[str, Role], source: SourceFacts | None) -> Diagnostic:
    near = nearest(use.name, list(roles))
    label = f"did you mean {near[0]!r}?" if near else ""
    if source is not None and use.name in source.columns:
        help_ = f"{use.name!r} is a column of the data: bind it, data: {{bind: {{{use.name}: {use.name}}}}}"
    elif use.name in spec.nets or use.name in spec.adversary:
        help_ = f"{use.name!r} is a {'network' if use.name in spec.nets else 'critic'}, not a variable"
    elif use.words == "a condition":
        columns = f"; columns: {', '.join(source.columns)}" if source is not None else ""
        help_ = f"bind it: data: {{bind: {{{use.name}: COLUMN}}}}{columns}"
    elif use.path[0] == "flow" and not near:
        help_ = f"a flow starts from a latent: prior: {{{use.name}: {{dist: normal}}}}"
    elif use.path[0] == "decoder" and not near:
        help_ = f"variables here: {', '.join(roles)}; a latent: prior: {{{use.name}: {{dist: normal, shape: [16]}}}}"
    else:
        help_ = f"variables here: {', '.join(roles) or 'none'}"
    on = "key" if use.path[0] in ("ordering", "variables") else "value"
    message = f"unknown variable {use.name!r} ({use.words})"
    return spec.diagnostic("GD206", message, use.path, on=on, label=label, help=help_)


def _nets(spec: Spec, problems: list[Diagnostic], notes: list[Diagnostic]) -> dict[Path, Net]:
    """Where a net is written as a reference: the path of the use -> the named net."""
    found: dict[Path, Net] = {}
    used: set[str] = set()
    uses = [(s, h) for s in ("prior", "decoder", "encoder", "adversary", "energy") for h in getattr(spec, s)]
    for section, head in uses:
        net = getattr(spec, section)[head].net
        if not isinstance(net, Ref):
            continue
        named = spec.nets.get(net.name)
        if isinstance(named, Ref):
            problems.append(
                spec.diagnostic(
                    "GD208",
                    f"the network {net.name!r} is a reference itself",
                    (section, head, "net"),
                    help=f"name the network that it stands for: {named.name}",
                )
            )
        elif named is None:
            near = nearest(net.name, list(spec.nets))
            label = f"did you mean {near[0]!r}?" if near else ""
            help_ = f"networks under nets: {listing(spec.nets) or 'none'}"
            message = f"unknown network {net.name!r}"
            problems.append(
                spec.diagnostic("GD208", message, (section, head, "net"), label=label, help=help_)
            )
        else:
            used.add(net.name)
            found[section, head] = named
    for name in spec.nets:
        if name not in used:
            notes.append(
                spec.diagnostic(
                    "GD307",
                    f"the network {name!r} is never used",
                    ("nets", name),
                    on="key",
                    severity="warning",
                )
            )
    return found


def _given(spec: Spec, section: str, head: str) -> tuple[str, ...]:
    """The parents of a factor; those of a prior that is made of the encoder are the encoder's conditions.

    Where others are written for it, they are kept, and refused later.
    """
    written: FactorSection = getattr(spec, section)[head]
    if not written.dist.uses_encoder or head not in spec.encoder:
        return written.given
    return written.given or tuple(n for n in spec.encoder[head].given if n in spec.condition)


def _uses_factor(section: str, head: str, dist: Dist) -> str | None:
    """The other factor of the variable that this distribution is made of."""
    if dist.uses_encoder:
        return f"encoder.{head}"
    return f"prior.{head}" if section == "encoder" and getattr(dist, "relative_to", None) else None


def _named(written: Net | Ref | None, named: Net | None) -> tuple[Net | None, str | None]:
    """A factor's network, and its name under `nets` where it is a reference; some network where that is unknown."""
    return (named or Mlp(), written.name) if isinstance(written, Ref) else (written, None)


def _critic(name: str, adversary: Adversary, nets: dict[Path, Net]) -> Critic:
    path = ("adversary", name)
    net, net_name = _named(adversary.net, nets.get(path))
    assert net is not None
    return Critic(name, adversary, path, net.reading(), net_name)


def _factors(spec: Spec, nets: dict[Path, Net]) -> Iterator[tuple[str, Factor]]:
    for section in ("prior", "decoder", "encoder"):
        for head, written in getattr(spec, section).items():
            net, name = _named(written.net, nets.get((section, head)))
            if net is None and written.given and not (written.dist.chained or written.dist.uses_encoder):
                net = Mlp()
            if net is not None and written.given and head not in spec.ordering:
                net = net.reading()
            yield (
                f"{section}.{head}",
                Factor(
                    name=f"{section}.{head}",
                    side="q" if section == "encoder" else "p",
                    head=head,
                    parents=_given(spec, section, head),
                    path=(section, head),
                    dist=written.dist,
                    net=net,
                    net_name=name,
                    flow=written.flow,
                    ordering=spec.ordering.get(head),
                    uses=_uses_factor(section, head, written.dist),
                    standard=section == "prior"
                    and not written.dist.uses_encoder
                    and net is None
                    and not written.dist.learned,
                ),
            )
    for head, flow in spec.flow.items():
        yield (
            f"flow.{head}",
            Factor(
                name=f"flow.{head}",
                side="p",
                head=head,
                parents=flow.given,
                path=("flow", head),
                flow=flow.stack,
                base=flow.given[0],
                ordering=spec.ordering.get(head),
            ),
        )
    for head, energy in spec.energy.items():
        net, name = _named(energy.net, nets.get(("energy", head)))
        net = net.reading() if net is not None else None
        yield (
            f"energy.{head}",
            Factor(
                name=f"energy.{head}",
                side="e",
                head=head,
                parents=energy.given,
                path=("energy", head),
                net=net,
                net_name=name,
            ),
        )
    for head, corruption in spec.corruption.items():
        yield (
            f"corruption.{head}",
            Factor(
                name=f"corruption.{head}",
                side="c",
                head=head,
                parents=(corruption.given,),
                path=("corruption", head),
                channel=corruption.dist,
            ),
        )
