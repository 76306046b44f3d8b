"""explain: what the compiler derived, as JSON (docs/language.md) and as text (every spec's golden file)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gendsl.compiler.derive.energies import conditions as given_to
from gendsl.compiler.derive.energies import density
from gendsl.compiler.derive.notation import says
from gendsl.compiler.graph import Critic, Factor, Graph, Role, Stage, Term
from gendsl.compiler.resolve import model_hash
from gendsl.schema.components.flow import FlowLayer
from gendsl.schema.settings import DEFAULT_STEPS


def as_json(graph: Graph) -> dict[str, Any]:
    """Everything that was derived, as one JSON document."""
    return {
        "format_version": 1,
        "name": graph.spec.name,
        "hash": model_hash(graph),
        "maths": list(factorisation(graph)),
        "variables": {
            n: {
                "role": str(v.role),
                "shape": list(v.shape) if v.shape is not None else None,
                "support": str(v.support),
                "observed": _observed(graph, n),
            }
            for n, v in graph.variables.items()
        },
        "factors": {n: _factor(graph, f) for n, f in graph.factors.items()},
        "objective": {
            "kind": str(graph.objective_kind),
            "of": graph.objective_of,
            "says": graph.objective_says,
            "terms": [_term(t) for t in graph.terms],
        },
        "players": {
            p.name: {"factors": list(p.factors), "terms": list(p.terms), "steps": p.steps}
            for p in graph.players
        },
        "stages": [
            {
                "steps": s.steps,
                "players": {p.name: {"factors": list(p.factors), "terms": list(p.terms)} for p in s.players},
            }
            for s in graph.stages
        ],
        "capabilities": {n: c.as_json() for n, c in graph.capabilities.items()},
        "parameters": graph.resources.parameters,
        "memory": graph.resources.memory,
        "flops": graph.resources.flops,
        "threads": graph.resources.threads,
        "kernels": [
            {"op": p.op, "implementation": p.implementation, "reason": p.reason} for p in graph.placements
        ],
        "notes": [d.as_json() for d in graph.notes],
    }


def _observed(graph: Graph, name: str) -> str:
    variable = graph.variables[name]
    if variable.role is Role.PARTIAL:
        return f"partial: {variable.known}"
    if variable.role in (Role.OBSERVED, Role.CONDITION):
        ragged = variable.raw_column is not None and variable.raw_column.ragged
        return (
            "always" if not variable.missing else "rows of their own length" if ragged else "entries missing"
        )
    return "never"


def _factor(graph: Graph, factor: Factor) -> dict[str, Any]:
    fixed = graph.spec.energy[factor.head].type if factor.side == "e" else None
    named = factor.dist or factor.channel or fixed
    what = named.tag if named is not None else "energy" if factor.side == "e" else "flow"
    return {
        "maths": says(factor),
        "dist": what,
        "given": list(factor.parents),
        "net": factor.net.tag if factor.net is not None else None,
        "flow": [layer.tag for layer in factor.flow],
        "offers": {
            "sample": factor.offers.sample,
            "rsample": factor.offers.rsample,
            "log_prob": str(factor.offers.density),
            "enumerate": factor.offers.enumerate,
            "estimated": factor.offers.estimated,
        },
        "parameters": factor.bill.parameters,
    }


def _term(term: Term) -> dict[str, Any]:
    return {
        "name": term.name,
        "formula": term.formula,
        "weight": term.weight,
        "warmup": term.warmup,
        "sign": term.sign,
        "estimator": term.estimator,
        "player": term.player,
        "kind": str(term.kind),
        "of": term.of,
        "options": {k: v for k, v in term.options.items() if k != "index"},
    }


def factorisation(graph: Graph) -> Iterator[str]:
    """The model in mathematical notation: p(x, z) = p(z) p(x | z), then q and the channels."""
    conditions = [n for n, v in graph.variables.items() if v.role is Role.CONDITION]
    given = f" | {', '.join(conditions)}" if conditions else ""
    p = {f.head: f for f in graph.side("p")}
    ordered = [p[n] for n in graph.order("p") if n in p]
    if ordered:
        joint = ", ".join(f.head for f in reversed(ordered) if f.head not in graph.bases())
        parts = [_maths(graph, f) for f in ordered if f.head not in graph.bases()]
        yield f"p({joint}{given}) = {' '.join(parts)}"
    for factor in graph.side("e"):
        beneath = graph.p(factor.head)
        inside = "" if beneath is None else density(graph, factor.head) + " "
        of = given_to(graph, factor.head)
        bar, over = (f" | {', '.join(of)}", f"Z({', '.join(of)})") if of else ("", "Z")
        yield f"p'({factor.head}{bar}) = {inside}{says(factor)} / {over}"
    inferred = (Role.LATENT, Role.PARTIAL)
    for factor in sorted(graph.side("q"), key=lambda f: graph.variables[f.head].role not in inferred):
        yield says(factor)
    for factor in (*graph.side("c"), *graph.side("d")):
        yield says(factor)
    for critic in graph.critics.values():
        yield f"{critic.name}({', '.join(critic.spec.sees)}) compares real with fake"


def _maths(graph: Graph, factor: Factor) -> str:
    if factor.base is None:
        return says(factor)
    base = graph.p(factor.base)
    assert base is not None
    inner = ", ".join((factor.head, *factor.parents[1:]))
    return f"{says(base)} |d{factor.base}/d{factor.head}|, {factor.base} = f^-1({inner})"


def headline(graph: Graph) -> str:
    """What kind of number minus the whole loss is, and of which quantity."""
    known = graph.objective_of != "nothing"
    return f"{graph.objective_kind} for {graph.objective_of}" if known else "no likelihood"


def as_text(graph: Graph, *, estimates: bool = True) -> str:
    """The same for people; `estimates=False` leaves out what depends on the version's cost model."""
    return "\n".join(_lines(graph, estimates)) + "\n"


def _lines(graph: Graph, estimates: bool) -> Iterator[str]:
    yield graph.spec.name
    yield ""
    yield from (f"  {line}" for line in factorisation(graph))
    yield ""
    yield "variables"
    for name, v in graph.variables.items():
        shape = "scalar" if v.shape == () else str(list(v.shape or ()))
        seen = "" if _observed(graph, name) in ("always", "never") else f", {_observed(graph, name)}"
        yield f"  {name:<12} {v.role!s:<10} {shape:<12} {v.support}{seen}"
    yield ""
    yield "factors"
    for name, factor in graph.factors.items():
        built = _built(graph, factor) + _reach(graph, factor) + _end(graph, factor)
        yield f"  {name:<16} {says(factor):<18} {built}; {factor.bill.parameters:,} parameters"
    for critic in graph.critics.values():
        net = critic.net.tag + _shared(critic)
        net += f", {critic.spec.project} by projection" if critic.spec.project is not None else ""
        made = ", ".join((*critic.real_makers, *critic.fake_makers))
        yield (
            f"  {critic.player:<16} sees {', '.join(critic.spec.sees):<13} {net}; "
            f"{critic.bill.parameters:,} parameters; moves {made}"
        )
    if graph.routes:
        yield ""
        yield "latents"
        for route in graph.routes.values():
            why = f" ({route.why})" if route.why else ""
            by = f"; {route.estimator.words}" if route.estimator is not None else ""
            yield f"  {route.variable:<12} {route.how}{why}{by}"
    yield ""
    yield f"objective: {headline(graph)}"
    yield f"  {graph.objective_says}"
    for term in graph.terms:
        sign = "-" if term.sign < 0 else "+"
        warm = f", warm-up over {term.warmup} steps" if term.warmup else ""
        extra = "".join(f", {k} {v}" for k, v in term.options.items() if k != "index")
        yield f"  {sign} {term.weight:g} * {term.name:<20} {term.formula}"
        yield f"      {term.estimator}; {term.kind}; minimised by {term.player}{warm}{extra}"
    yield ""
    yield "players, in the order of a step"
    for player in graph.players:
        times = f", {player.steps} times" if player.steps > 1 else ""
        yield f"  {player.name} changes {', '.join(player.factors)}{times}"
    if len(graph.stages) > 1:
        for i, stage in enumerate(graph.stages, 1):
            fits = ", ".join(f for p in stage.players for f in p.factors)
            terms = ", ".join(t for p in stage.players for t in p.terms)
            yield f"  stage {i} ({_length(graph, stage)}): {fits} by {terms}"
    yield ""
    yield "it can be asked to"
    for name, capability in graph.capabilities.items():
        if capability.how is None:
            yield f"  {name:<12} no: {capability.why}"
        else:
            kind = f" ({capability.kind})" if capability.kind is not None else ""
            yield f"  {name:<12} {capability.how}{kind}"
    yield ""
    yield f"parameters  {graph.resources.parameters:,}"
    if estimates:
        yield f"memory      about {graph.resources.memory / 2**20:,.0f} MiB while training"
        work, batch = graph.resources.flops / 1e9, graph.spec.train.batch_size
        yield f"work        about {work:,.2f} GFLOP for each step of batch {batch}"
    yield f"threads     {graph.resources.threads}"
    for placement in graph.placements:
        yield f"kernel      {placement.op}: {placement.implementation}: {placement.reason}"


def _length(graph: Graph, stage: Stage) -> str:
    """How long a stage is: its own steps, else what `train` says of the whole."""
    train = graph.spec.train
    if stage.steps is None and train.epochs is not None:
        return f"{train.epochs} epochs"
    return f"{stage.steps or train.steps or DEFAULT_STEPS} steps"


def _built(graph: Graph, factor: Factor) -> str:
    if factor.side == "e":
        fixed = graph.spec.energy[factor.head].type
        return (
            fixed.tag if fixed is not None else f"energy, {factor.net.tag if factor.net is not None else ''}"
        )
    if factor.channel is not None:
        return factor.channel.tag
    layers = " <- ".join(layer_words(layer) for layer in factor.flow)
    if factor.base is not None:
        return f"{layers} <- {factor.base}"
    if factor.side == "d":
        assert factor.net is not None
        return f"sigmoid <- {layers} <- logit <- uniform, {factor.net.tag}"
    assert factor.dist is not None
    made = "no network" if factor.dist.chained else "standard" if factor.standard else "learned"
    net = f", {factor.net.words}" if factor.net is not None else f", {made}"
    return (f"{layers} <- " if layers else "") + factor.dist.tag + net + _shared(factor)


def _shared(owner: Factor | Critic) -> str:
    """The name under `nets:` of what was written as a reference."""
    return f" (nets.{owner.net_name})" if owner.net_name is not None else ""


def _end(graph: Graph, factor: Factor) -> str:
    end = graph.end(factor)
    return "" if end is None else f", nothing follows {end}"


def _reach(graph: Graph, factor: Factor) -> str:
    """How far back an autoregressive net looks, where that is a limit."""
    shape = graph.variables[factor.head].shape
    reach = factor.net.reach(shape) if factor.net is not None and shape is not None else None
    return "" if reach is None else f", seeing the last {reach[0]:,} {reach[1]}"


def layer_words(layer: FlowLayer) -> str:
    """A layer's name, with how often it is repeated."""
    repeat = getattr(layer, "repeat", 1)
    return f"{layer.tag} x {repeat}" if repeat > 1 else str(layer.tag)
