"""Energies: how each is trained, what its terms are, and how log Z is known (docs/semantics.md, section 7).

With p0 the density beneath (or the flat measure) and U = E - log p0, the variable's factor is exp(-U)/Z:

    -grad log p(x) = grad U(x) - E_chain[grad U],        grad log Z = -E_chain[grad U].
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum

from gendsl.compiler.derive import notation
from gendsl.compiler.graph import Factor, Graph, Kind, Role, Term
from gendsl.schema.components.energy_objective import NoiseContrastive, ScoreMatching
from gendsl.schema.components.negatives import ContrastiveDivergence, Langevin, Negatives
from gendsl.schema.facts import numel

PLANE = 2
"""Entries of a variable over which log Z is integrated by quadrature, at most."""
LONGER = 10
"""How much longer chains that go on run to give samples, so that those that have just started anew arrive."""
LATE_STEPS = 1000
"""Steps of the chains that sample an energy for which no negatives are written."""
MOST_NORMALISERS = 256
"""Values of what a density is given for which log Z is computed, at most: one for each."""


class Way(StrEnum):
    """How an energy is trained."""

    FIXED = "fixed"
    NEGATIVES = "negatives"
    SCORE = "score matching"
    CONTRAST = "noise contrastive"


def energy_of(graph: Graph, name: str) -> Factor | None:
    """The energy of a variable."""
    return graph.factors.get(f"energy.{name}")


def way(graph: Graph, name: str) -> Way | None:
    """How the energy of a variable is trained; None where the spec does not say."""
    written = graph.spec.energy[name]
    option = graph.spec.objective.energy.get(name)
    if written.type is not None:
        return Way.FIXED
    if option is not None and isinstance(option.type, ScoreMatching):
        return Way.SCORE
    if option is not None and isinstance(option.type, NoiseContrastive):
        return Way.CONTRAST
    return Way.NEGATIVES if written.negatives is not None or machine(graph, name) else None


def conditions(graph: Graph, name: str) -> tuple[str, ...]:
    """What the density of a variable with an energy is given, by its energy and by the factors beneath it."""
    factor, energy = graph.p(name), energy_of(graph, name)
    base = None if factor is None or factor.base is None else graph.p(factor.base)
    given = [n for f in (energy, factor, base) if f is not None for n in f.parents]
    return tuple(dict.fromkeys(n for n in given if graph.variables[n].role is Role.CONDITION))


def machine(graph: Graph, name: str) -> bool:
    """Whether the energy is a restricted Boltzmann machine, whose chains are Gibbs samplers."""
    factor = energy_of(graph, name)
    return factor is not None and factor.net is not None and factor.net.energy


def negatives(graph: Graph, name: str) -> Negatives:
    """The chains of an energy: those written, else one step from the data, or long ones to sample from."""
    written = graph.spec.energy[name].negatives
    if written is not None:
        return written
    if machine(graph, name):
        return ContrastiveDivergence()
    return Langevin(steps=LATE_STEPS)


def sampler(graph: Graph, name: str) -> Negatives:
    """The chains that draw samples: those of training, but longer where these go on, or start at the data."""
    spec = negatives(graph, name)
    if spec.buffer:
        return spec.model_copy(update={"steps": LONGER * spec.steps})
    return spec.model_copy(update={"steps": LATE_STEPS}) if spec.at_data else spec


def contrasted(graph: Graph, name: str) -> bool:
    """Whether the energy's term stands for the whole likelihood of an observed variable."""
    return energy_of(graph, name) is not None and way(graph, name) in (Way.NEGATIVES, Way.SCORE)


def tilted(graph: Graph) -> list[str]:
    """Observed variables that have an energy and no factor beneath it."""
    observed = [n for n, v in graph.variables.items() if v.role is Role.OBSERVED]
    return [n for n in observed if energy_of(graph, n) is not None and graph.p(n) is None]


def targets(graph: Graph) -> list[str]:
    """Latents with a fixed energy, which the encoder learns to sample."""
    return [n for n in graph.spec.energy if way(graph, n) is Way.FIXED]


LEARNED = ("learned with the energy", Kind.ESTIMATE)
QUADRATURE = ("quadrature", Kind.ESTIMATE)


def unnormalised(graph: Graph, name: str) -> str:
    """Why log Z of an energy is not known, or an empty string."""
    if normaliser(graph, name) is not None:
        return ""
    if _normalisers(graph, name) > MOST_NORMALISERS:
        return f"log Z of {name} is another number for each value of {', '.join(conditions(graph, name))}"
    return f"log Z of {name} is not known: no density beneath its energy, and too many entries"


def _normalisers(graph: Graph, name: str) -> float:
    """How many values of log Z there are: one for each of what the density is given."""
    supports = [graph.variables[n] for n in conditions(graph, name)]
    counts = [math.inf if v.support is None else v.support.count or math.inf for v in supports]
    return math.prod(c ** numel(v.shape or ()) for c, v in zip(counts, supports, strict=True))


def normaliser(graph: Graph, name: str) -> tuple[str, Kind] | None:
    """How log Z of an energy is computed and what kind of number it is; None where nothing can be said."""
    factor, variable = energy_of(graph, name), graph.variables[name]
    assert factor is not None
    assert variable.shape is not None
    if machine(graph, name):
        assert factor.net is not None
        few = factor.net.sums_exactly(numel(variable.shape))
        return ("sum over states", Kind.EXACT) if few else ("annealed importance sampling", Kind.ESTIMATE)
    if way(graph, name) is Way.CONTRAST:
        return LEARNED
    if _normalisers(graph, name) > MOST_NORMALISERS:
        return None
    if graph.p(name) is not None:
        return "importance sampling from the density beneath", Kind.ESTIMATE
    if numel(variable.shape) <= PLANE:
        return QUADRATURE
    return None


def energies(graph: Graph) -> Iterator[Term]:
    """energy.x of every energy that is trained."""
    for name in graph.spec.energy:
        chosen, variable = way(graph, name), graph.variables[name]
        if chosen is Way.FIXED:
            continue
        below = density(graph, name)
        inside = notation.tilt(graph, name).removeprefix(" + ") + (f" - log {below}" if below else "")
        path = ("energy", name)
        if chosen is Way.CONTRAST:
            factor = graph.factors[f"energy.{name}"]
            yield Term(
                f"energy.{name}",
                f"-E log s(-{notation.energy_of(factor)}) - E log s({notation.energy_of(factor, '~')}), "
                f"{name}~ from {below}, which is not moved",
                "model",
                Kind.ESTIMATE,
                f"cross-entropy of telling {name} from {below}",
                "noise contrastive, one sample",
                path=path,
            )
        elif chosen is Way.SCORE:
            option = graph.spec.objective.energy[name].type
            assert isinstance(option, ScoreMatching)
            formulas = {
                "denoising": f"1/2 E|{option.noise:g} s({name} + {option.noise:g} e) + e|^2, s = -grad ({inside})",
                "sliced": f"E[v' grad (v' s)] + 1/2 E (v' s)^2, s = -grad ({inside}) at {name}",
            }
            what = f" smoothed by noise {option.noise:g}" if option.how == "denoising" else ""
            yield Term(
                f"energy.{name}",
                formulas[option.how],
                "model",
                Kind.ESTIMATE,
                f"Fisher divergence of p({name}) from the data{what}, up to a constant",
                f"{option.how} score matching, one sample",
                path=path,
            )
        else:
            spec = negatives(graph, name)
            observed = variable.role is Role.OBSERVED
            both = f"E_data[{inside}] - E_chain[{inside}]" if observed else f"-E_chain[{inside}]"
            yield Term(
                f"energy.{name}",
                f"{both}, the chain cut"
                + (f" + {spec.magnitude:g} E[E^2] at both" if spec.magnitude else ""),
                "model",
                Kind.NONE,
                f"gradient of -log p({name})" if observed else "gradient of log Z",
                chain_words(graph, name, spec),
                path=path,
            )


def density(graph: Graph, name: str) -> str:
    """The density beneath an energy in notation, or an empty string; a flow's is that of its head alone."""
    factor = graph.p(name)
    if factor is None:
        return ""
    if factor.base is None:
        return notation.says(factor)
    given = conditions(graph, name)
    return f"p({name} | {', '.join(given)})" if given else f"p({name})"


def chain_words(graph: Graph, name: str, spec: Negatives, *, sampling: bool = False) -> str:
    """The chain in a few words."""
    moves = "Gibbs" if machine(graph, name) else "Langevin"
    if spec.buffer:
        kept = f", from {spec.buffer} chains that go on"
    else:
        kept = ", from the data" if spec.at_data and not sampling else ", each anew"
    return f"{moves}, {spec.steps} step{'s' if spec.steps > 1 else ''}{kept}"
