"""Energies: what each needs to be trained, and what this version does not build (docs/semantics.md, section 7)."""

from __future__ import annotations

from collections.abc import Iterator

from gendsl.compiler.derive.energies import Way, conditions, energy_of, machine, way
from gendsl.compiler.graph import Graph, Role
from gendsl.compiler.paths import above
from gendsl.errors import Diagnostic, SpecError
from gendsl.schema.components.energy_objective import ScoreMatching
from gendsl.schema.facts import BINARY, Density


def energies(graph: Graph) -> Graph:
    """Refuses energies that nothing trains, that have no normaliser, or that stand where none is built."""
    problems = [d for name in graph.spec.energy for d in list(_problems(graph, name))[:1]]
    if problems:
        raise SpecError(problems)
    return graph


def _problems(graph: Graph, name: str) -> Iterator[Diagnostic]:
    """Everything that is wrong with one energy, the first thing first."""
    role = graph.variables[name].role
    for i, given in enumerate(graph.spec.energy[name].given):
        if graph.variables[given].role is not Role.CONDITION:
            yield graph.spec.diagnostic(
                "GD211",
                f"an energy of {name} that is given {given} tilts both of them, which is not built yet in this version",
                ("energy", name, "given", i),
                help=f"make {given} a condition, or drop it: E reads {name} alone"
                if graph.variables[given].bound
                else f"drop it: E reads {name} alone",
            )
            return
    if role not in (Role.OBSERVED, Role.LATENT) or graph.variables[name].missing:
        what = "has missing entries" if role is Role.OBSERVED else f"is {role}"
        yield _refused(graph, name, f"{name} {what}: an energy is on what is observed whole, or latent")
        return
    if name in graph.bases():
        flow = graph.bases()[name]
        yield _refused(
            graph, name, f"{name} is the base of the flow to {flow.head}: an energy is on {flow.head}"
        )
        return
    if graph.seen_by(name):
        seer = graph.seen_by(name)[0]
        yield _later(
            graph,
            name,
            f"an adversary that sees {name}, which has an energy,",
            f"its fake {name} would come from chains, which carry no gradient to any factor",
            f"drop the energy, or drop {seer}: negatives already compare {name} with samples of the model",
        )
    yield from _trained(graph, name)
    yield from _beneath(graph, name)
    yield from _moves(graph, name)
    if role is Role.LATENT:
        yield from _latent(graph, name)


def _trained(graph: Graph, name: str) -> Iterator[Diagnostic]:
    written, observed = graph.spec.energy[name], graph.variables[name].role is Role.OBSERVED
    if (written.type is None) == (written.net is None):
        yield _refused(
            graph, name, f"the energy of {name} is a fixed one (`type`) or a network (`net`): write one"
        )
    elif written.type is not None and written.negatives is not None:
        yield _refused(
            graph, name, f"{written.type.tag} is fixed: negatives have nothing to train", "negatives"
        )
    elif written.type is not None and observed:
        yield _refused(
            graph, name, f"{written.type.tag} is fixed, and {name} is data: nothing is to be learned", "type"
        )
    elif way(graph, name) is None:
        yield _refused(
            graph,
            name,
            f"nothing trains the energy of {name}",
            help=f"write energy: {{{name}: {{negatives: langevin}}}}"
            + (f", or objective: {{energy: {{{name}: score_matching}}}}" if observed else ""),
        )
    elif way(graph, name) in (Way.SCORE, Way.CONTRAST) and not observed:
        option = graph.spec.objective.energy[name].type
        assert option is not None
        yield graph.spec.diagnostic(
            "GD516",
            f"{option.tag} needs data of {name}, which is latent",
            ("objective", "energy", name, "type"),
            help=f"drop it, and write energy: {{{name}: {{negatives: langevin}}}}",
        )
    elif way(graph, name) is Way.CONTRAST and graph.p(name) is None:
        yield graph.spec.diagnostic(
            "GD516",
            f"noise_contrastive tells data from the factor beneath the energy, and {name} has none",
            ("objective", "energy", name, "type"),
            help=f"give {name} a density: decoder: {{{name}: {{dist: normal}}}}, or a flow",
        )


def _beneath(graph: Graph, name: str) -> Iterator[Diagnostic]:
    """The factor that the energy multiplies: a density of its own, given nothing but conditions."""
    factor = graph.p(name)
    if factor is None:
        return
    if factor.offers.density is not Density.ANY:
        yield _refused(graph, name, f"the energy multiplies p({name}), which has no density at given points")
    elif machine(graph, name):
        yield _later(
            graph,
            name,
            "a restricted Boltzmann machine over another density",
            "its Gibbs steps and log Z are those of the machine alone",
            f"drop {factor.name}, or use another net, such as mlp",
        )
    elif drawn := above(graph, "p", name) - {factor.base, *conditions(graph, name)}:
        shown = ", ".join(n for n in graph.variables if n in drawn)
        yield _later(
            graph,
            name,
            f"an energy over a factor that is given {shown}",
            f"it would tilt {shown} too",
            f"put the energy on a latent with a prior of its own, or give {name} a factor whose parents are conditions",
        )


def _moves(graph: Graph, name: str) -> Iterator[Diagnostic]:
    """Chains and scores move real values; Gibbs steps binary ones."""
    support = graph.variables[name].support
    assert support is not None
    option = graph.spec.objective.energy.get(name)
    if machine(graph, name):
        given = graph.spec.energy[name].given
        if given:
            yield _later(
                graph,
                name,
                f"a restricted Boltzmann machine that is given {', '.join(given)}",
                "its Gibbs steps and log Z are those of the machine alone",
                "drop what is given, or use another net, such as mlp",
            )
        elif support != BINARY:
            yield graph.spec.diagnostic(
                "GD516",
                f"a restricted Boltzmann machine is over zeros and ones, and {name} lies in {support}",
                ("energy", name, "net"),
                help="binarize the data: as: [{binarize: static}], or use another net",
            )
        elif way(graph, name) is not Way.NEGATIVES:
            yield _later(
                graph,
                name,
                "another objective for a restricted Boltzmann machine",
                "scores need real values, and it has no density beneath it to tell data from",
                "drop the objective: it is trained by contrastive divergence",
            )
    elif support.integer and way(graph, name) is not Way.CONTRAST:
        yield graph.spec.diagnostic(
            "GD516",
            f"the gradient of an energy moves real values, and {name} lies in {support}",
            ("energy", name),
            on="key",
            help="dequantize the data: as: [dequantize], or, for zeros and ones, net: {type: rbm, hidden: 25}"
            if graph.variables[name].role is Role.OBSERVED
            else f"give {name} a prior and an encoder of real values, such as normal",
        )
    elif option is not None and isinstance(option.type, ScoreMatching) and option.type.how == "sliced":
        factor = energy_of(graph, name)
        kind = getattr(factor.net, "activation", "") if factor is not None else ""
        if kind in ("relu", "leaky_relu"):
            yield graph.spec.diagnostic(
                "GD516",
                f"sliced score matching needs second derivatives, and {kind} has none",
                ("objective", "energy", name, "type"),
                help="give the net activation: silu, or use how: denoising",
            )


def _latent(graph: Graph, name: str) -> Iterator[Diagnostic]:
    """An energy on a latent: a fixed one is a target of its own, a network tilts a prior."""
    encoder, prior = graph.q(name), graph.p(name)
    drawable = encoder is not None and (
        (encoder.dist is not None and encoder.dist.chained)
        or (encoder.offers.density in (Density.ANY, Density.OWN) and encoder.offers.rsample)
    )
    if encoder is None or not drawable:
        what = "there is none"
        if encoder is not None and encoder.dist is not None:
            lack = "gradient" if encoder.offers.density in (Density.ANY, Density.OWN) else "density"
            what = f"those of {encoder.dist.tag} have no {lack}"
        yield _refused(
            graph,
            name,
            f"the energy of {name} enters by samples of an encoder with a density and a gradient, and {what}",
            help=f"add encoder: {{{name}: {{dist: normal}}}}",
        )
    elif way(graph, name) is Way.FIXED:
        if prior is not None or graph.descendants("p", name) or encoder.parents:
            yield _later(
                graph,
                name,
                "a fixed energy of a latent with a prior, children, or an encoder that is given",
                "a fixed energy is a target of its own, for an encoder without parents",
                f"drop the prior and what is given, or learn the energy: energy: {{{name}: {{net: mlp, negatives: "
                "langevin}}",
            )
    elif prior is None or not graph.descendants("p", name):
        yield _refused(
            graph,
            name,
            f"the energy of {name} tilts a prior of something observed, and there is none",
            help=f"add prior: {{{name}: {{dist: normal}}}} and make {name} a parent in a decoder",
        )


def _refused(graph: Graph, name: str, message: str, key: str = "", *, help: str = "") -> Diagnostic:
    path = ("energy", name, key) if key else ("energy", name)
    return graph.spec.diagnostic("GD516", message, path, on="value" if key else "key", help=help)


def _later(graph: Graph, name: str, what: str, why: str, help: str) -> Diagnostic:
    return graph.spec.diagnostic(
        "GD211",
        f"{what} is not built yet in this version: {why}",
        ("energy", name),
        on="key",
        help=help,
    )
