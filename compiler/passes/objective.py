"""The objective, derived: one term for each scored variable, each route and each adversary (SEMANTICS,
sections 4-8).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gendsl.compiler.graph import Critic, Factor, Graph, How, Kind, Role, Route, Term, worst
from gendsl.compiler.passes.adversaries import logit
from gendsl.compiler.passes.paths import DRAWN, above, how, joint, noisy
from gendsl.compiler.passes.routes import no_density
from gendsl.compiler.plans.chain import chain_of, refused
from gendsl.errors import Diagnostic, SpecError
from gendsl.schema.components.adversary import Constraint
from gendsl.schema.components.bound import Bound, Elbo
from gendsl.schema.facts import Density
from gendsl.schema.sections import KlOptions, MmdOptions, ReconstructionOptions, TermOptions
from gendsl.schema.suggest import nearest

SAMPLED = (How.CLOSED, How.SAMPLED, How.CODE, How.FITTED, How.ADVERSARIAL, How.MMD, How.ENUMERATED)
"""Routes that put sampled (or encoded) values above what is scored."""

COMPARED = (*DRAWN, How.CODE, How.FITTED, How.ADVERSARIAL, How.MMD)
"""Routes whose values are real numbers made by an encoder: `objective.mmd` can compare them with the
prior's.
"""

FAMILIES = (
    "likelihood",
    "reconstruction",
    "kl",
    "prior",
    "mutual_information",
    "classification",
    "adversary",
    "mmd",
)
"""Families of terms that `objective:` can re-weight."""


def objective(graph: Graph) -> Graph:
    """Derives every term, re-weights it as `objective:` says, and states what kind of number the whole is."""
    terms = list(_derive(graph))
    problems = (
        [*_options(graph, terms), *_bound_problems(graph), *_unclassified(graph)]
        if terms
        else [_nothing(graph)]
    )
    if problems:
        raise SpecError(problems)
    terms = [_weighted(graph, term) for term in terms]
    kind, of, says = _whole(graph, terms)
    return graph.update(terms=tuple(terms), objective_kind=kind, objective_of=of, objective_says=says)


def _nothing(graph: Graph) -> Diagnostic:
    """No term at all: what is observed has no factor, and no adversary compares anything."""
    observed = [n for n, v in graph.variables.items() if v.role is Role.OBSERVED]
    path = ("data", "bind", observed[0]) if observed else next(f.path for f in graph.factors.values())
    return graph.spec.diagnostic(
        "GD501",
        "nothing is trained: no observed variable has a distribution, and no adversary sees one",
        path,
        on="key",
        help=f"add decoder: {{{observed[0] if observed else 'x'}: ...}}",
    )


def bound_of(graph: Graph) -> Bound:
    """The bound that is asked for; the ELBO with one sample where none is."""
    return graph.spec.objective.bound or Elbo()


def sampled(graph: Graph) -> list[str]:
    """Latents whose values are drawn from an encoder when the objective is computed."""
    return [n for n, r in graph.routes.items() if r.how in DRAWN]


def says(graph: Graph, factor: Factor) -> str:
    """The factor in mathematical notation: p(x | z, y)."""
    given = f" | {', '.join(factor.parents)}" if factor.parents else ""
    return f"{factor.side}({factor.head}{given})"


def _derive(graph: Graph) -> Iterator[Term]:
    bound = bound_of(graph)
    for name in graph.scored:
        yield _score(graph, name, bound)
    for name, route in graph.routes.items():
        yield from _latent(graph, name, route, bound)
    if bound.weighted and sampled(graph):
        s = bound.power
        yield Term(
            "bound." + bound.tag,
            "KL(w^ || uniform)" + (f" / {s:g}" if s != 1 else "") + ", w^ the normalised importance weights",
            "model",
            Kind.ESTIMATE,
            f"what the {bound.tag} bound adds to the weighted terms; between 0 and log k",
            f"{bound.tag}, {bound.samples} samples",
            path=("objective", "bound"),
        )
    for factor in graph.side("q"):
        if graph.variables[factor.head].role in (Role.OBSERVED, Role.PARTIAL):
            yield Term(
                f"classification.{factor.head}",
                f"-log {says(graph, factor)}"
                + (" on known rows" if graph.variables[factor.head].known else ""),
                "model",
                Kind.EXACT,
                f"cross-entropy of {says(graph, factor)}",
                "exact",
                auxiliary=True,
                path=factor.path,
            )
    for name in graph.spec.objective.mmd:
        if how(graph, name) in COMPARED:
            yield Term(
                f"mmd.{name}",
                f"MMD^2(q({name}), p({name}))",
                "model",
                Kind.ESTIMATE,
                f"squared maximum mean discrepancy of codes and prior of {name}",
                "unbiased, inverse multiquadratic kernel",
                auxiliary=True,
                path=("objective", "mmd", name),
            )
    for critic in graph.critics.values():
        yield from _adversarial(graph, critic)


def _score(graph: Graph, name: str, bound: Bound) -> Term:
    factor = graph.p(name)
    assert factor is not None
    reached = above(graph, "p", name)
    summed = [v for v in graph.order("p") if v in reached and how(graph, v) is How.SUMMED]
    for before in joint(graph, name)[:-1]:
        reached |= above(graph, "p", before) if summed else set()
    inferred = [v for v in graph.order("p") if v in reached and how(graph, v) in SAMPLED]
    inside = says(graph, factor)
    if factor.base is not None:
        base = graph.p(factor.base)
        assert base is not None
        inside = f"{says(graph, base)} |d{factor.base}/d{name}|"
    inside = _summed(graph, name) + inside
    known = " on known rows" if graph.variables[name].known else ""
    if not inferred:
        return Term(
            f"likelihood.{name}",
            f"-log {inside}{known}",
            "model",
            Kind.EXACT,
            f"-log {_marginal(graph, name)}",
            "exact" if not summed else "summed",
            path=factor.path,
        )
    option = graph.spec.objective.reconstruction.get(name)
    if option is not None and option.in_ is not None:
        critic = option.in_.split(".")[0]
        return Term(
            f"reconstruction.{name}",
            f"-E_q[log N(f({name}); f(mean), 1)], f = the last hidden layer of {critic}",
            "model",
            Kind.NONE,
            f"squared distance in {critic}'s features",
            "sampled",
            path=factor.path,
        )
    codes = all(how(graph, v) is How.CODE for v in inferred)
    random = any(noisy(graph, v) for v in inferred)
    expect = "E_q[" if random or not codes else "["
    walkback = f", mean over {option.walkback + 1} states of the chain" if option and option.walkback else ""
    return Term(
        f"reconstruction.{name}",
        f"-{expect}log {inside}]{known}{walkback}",
        "model",
        Kind.ESTIMATE if random else Kind.EXACT,
        f"expected negative log-likelihood of {name}"
        if not codes
        else f"-log {says(graph, factor)} at the code",
        _estimator(graph, inferred, bound),
        path=factor.path,
    )


def _marginal(graph: Graph, name: str) -> str:
    """p(x | what is given): conditions and observed ancestors, and by the chain rule what summed latents
    connect.
    """
    reached = above(graph, "p", name)
    conditions = [v for v in reached if graph.variables[v].role is Role.CONDITION]
    modelled = [v for v in (*reached, *joint(graph, name)[:-1]) if v in graph.scored]
    given = ", ".join(v for v in graph.variables if v in {*conditions, *modelled})
    return f"p({name} | {given})" if given else f"p({name})"


def _estimator(graph: Graph, latents: list[str], bound: Bound) -> str:
    kinds = ["enumerated"] if any(how(graph, v) is How.ENUMERATED for v in latents) else []
    if bound.weighted and any(how(graph, v) in DRAWN for v in latents):
        kinds.append(f"{bound.tag}, {bound.samples} samples")
    elif any(noisy(graph, v) for v in latents):
        kinds.append(f"reparameterised, {bound.samples} sample{'s' if bound.samples > 1 else ''}")
    return ", ".join(kinds) or "exact"


def _latent(graph: Graph, name: str, route: Route, bound: Bound) -> Iterator[Term]:
    encoder, prior = graph.q(name), graph.p(name)
    if route.how in (How.CLOSED, How.SAMPLED, How.ENUMERATED):
        assert encoder is not None
        assert prior is not None
        unknown = " on unknown rows" if graph.variables[name].known else ""
        random = any(noisy(graph, v) for v in (*encoder.parents, *prior.parents))
        exact = route.how is not How.SAMPLED and not random
        words = {
            How.CLOSED: "closed form",
            How.ENUMERATED: "enumerated",
            How.SAMPLED: f"sampled ({route.why})" if route.why else "sampled",
        }
        yield Term(
            f"kl.{name}",
            f"E_q[log {says(graph, encoder)} - log {_summed(graph, name)}{says(graph, prior)}]{unknown}",
            "model",
            Kind.EXACT if exact else Kind.ESTIMATE,
            f"KL({says(graph, encoder)} || {says(graph, prior)})",
            words[route.how],
            path=encoder.path,
        )
    elif route.how is How.FITTED:
        assert prior is not None
        random = any(noisy(graph, v) for v in above(graph, "p", name))
        yield Term(
            f"prior.{name}",
            f"-log {_summed(graph, name)}{says(graph, prior)} at the codes, which are cut",
            "model",
            Kind.ESTIMATE if random else Kind.EXACT,
            f"negative log density of the codes {name}",
            "sampled" if random else "exact",
            path=prior.path,
        )
    elif route.how is How.INFORMATION:
        assert encoder is not None
        yield Term(
            f"mutual_information.{name}",
            f"E[log {says(graph, encoder)}], {name} and {', '.join(encoder.parents)} drawn from prior and "
            "decoder",
            "model",
            Kind.ESTIMATE,
            f"a lower bound of I({name}; {', '.join(encoder.parents)}) - H({name})",
            "sampled",
            sign=-1,
            auxiliary=True,
            path=encoder.path,
        )


def _summed(graph: Graph, name: str) -> str:
    """`sum over c of `, where latents above are summed out."""
    summed = [v for v in graph.order("p") if v in above(graph, "p", name) and how(graph, v) is How.SUMMED]
    return f"sum over {', '.join(summed)} of " if summed else ""


def _adversarial(graph: Graph, critic: Critic) -> Iterator[Term]:
    loss, name = critic.spec.loss, critic.name
    sees = ", ".join(critic.spec.sees)
    estimates = logit(graph, critic)
    real = "logit D(R)" if estimates else loss.real
    real = real if critic.real_makers else ""
    parts = [p for p in (real, loss.fake if critic.fake_makers else "") if p]
    who = ", ".join((*critic.real_makers, *critic.fake_makers))
    yield Term(
        f"adversary.{name}",
        f"E[{' + '.join(parts)}], R and F tuples ({sees}); moves {who}",
        "model",
        Kind.ESTIMATE if estimates else Kind.NONE,
        _of_adversary(graph, critic),
        f"{loss.tag}, one sample",
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
    for i, penalty in enumerate(critic.spec.penalty):
        if isinstance(penalty, Constraint):
            continue
        yield Term(
            f"{penalty.tag}.{name}",
            f"E[{penalty.formula}]",
            critic.player,
            Kind.NONE,
            f"smoothness of {name}",
            "one sample",
            weight=penalty.weight,
            options={"index": i},
            path=(*critic.path, "penalty", i),
        )


def _of_adversary(graph: Graph, critic: Critic) -> str:
    """The quantity that the number of an adversary's term is about."""
    if not logit(graph, critic):
        return f"what {critic.name} tells of the two joints of ({', '.join(critic.spec.sees)})"
    assert critic.stands_in is not None
    encoder, prior = graph.q(critic.stands_in), graph.p(critic.stands_in)
    assert encoder is not None
    assert prior is not None
    return f"KL({says(graph, encoder)} || {says(graph, prior)}), by the critic's logit"


def _options(graph: Graph, terms: list[Term]) -> Iterator[Diagnostic]:
    """Every option names a derived term; `in:` names an adversary that sees the variable."""
    names = [t.name for t in terms]
    spec = graph.spec
    for family in FAMILIES:
        for subject in getattr(spec.objective, family):
            wanted = f"{family}.{subject}"
            if wanted in names:
                continue
            near = nearest(wanted, names)
            yield spec.diagnostic(
                "GD507",
                f"the objective has no term {wanted}",
                ("objective", family, subject),
                on="key",
                label=f"did you mean {near[0]}?" if near else "",
                help=f"derived here: {', '.join(names) or 'none'}",
            )
    for name, option in spec.objective.reconstruction.items():
        chain = chain_of(graph)
        if option.walkback is not None and (chain is None or name not in chain.state):
            why = refused(graph) if chain is None else f"the chain does not move {name}"
            yield spec.diagnostic(
                "GD507",
                f"there is no chain to walk back: {why}",
                ("objective", "reconstruction", name, "walkback"),
                help="it needs a corruption beneath the encoder of a code without a prior",
            )
        critic = (option.in_ or "").split(".")[0]
        if critic and (critic not in graph.critics or name not in graph.critics[critic].spec.sees):
            yield spec.diagnostic(
                "GD507",
                f"{critic!r} is not an adversary that sees {name}: it has no features of {name}",
                ("objective", "reconstruction", name, "in"),
                help=f"adversaries: {', '.join(graph.critics) or 'none'}",
            )


def _bound_problems(graph: Graph) -> Iterator[Diagnostic]:
    bound = graph.spec.objective.bound
    if bound is None:
        return
    path = ("objective", "bound")
    if not sampled(graph):
        yield graph.spec.diagnostic(
            "GD508", f"{bound.tag} bounds nothing: no latent is sampled from an encoder with a density", path
        )
        return
    if not bound.weighted:
        return
    for name, route in graph.routes.items():
        if route.how in (How.CODE, How.FITTED, How.ADVERSARIAL, How.MMD):
            yield graph.spec.diagnostic(
                "GD508",
                f"{bound.tag} needs log q({name}), and the encoder of {name} has no density",
                path,
                related=((f"the encoder of {name}", ("encoder", name)),),
            )
        elif route.how is How.ENUMERATED:
            yield graph.spec.diagnostic(
                "GD508",
                f"{bound.tag} with the finite latent {name} needs a score-function gradient, which is not "
                "built yet "
                "in this version",
                path,
                help="drop the bound (the ELBO enumerates it), or drop its encoder (it is then summed out)",
                related=((f"the encoder of {name}", ("encoder", name)),),
            )


def _unclassified(graph: Graph) -> Iterator[Diagnostic]:
    """The encoder of an observed variable is trained by its density at the data."""
    for factor in graph.side("q"):
        role = graph.variables[factor.head].role
        if role in (Role.OBSERVED, Role.PARTIAL) and factor.offers.density is not Density.ANY:
            yield no_density(graph, factor, f"at the data, for classification.{factor.head}", factor)


def _weighted(graph: Graph, term: Term) -> Term:
    options = getattr(graph.spec.objective, term.family, {}) if term.family in FAMILIES else {}
    option: TermOptions | None = options.get(term.subject)
    if option is None:
        return term
    extra = dict(term.options)
    if isinstance(option, KlOptions):
        extra |= {k: v for k, v in (("free_bits", option.free_bits), ("capacity", option.capacity)) if v}
        if option.capacity is not None:
            extra["capacity"] = option.capacity
    elif isinstance(option, ReconstructionOptions):
        extra |= {k: v for k, v in (("in", option.in_), ("walkback", option.walkback)) if v is not None}
    elif isinstance(option, MmdOptions) and option.scale is not None:
        extra["scale"] = option.scale
    return replace(term, weight=option.weight, warmup=option.warmup, options=extra)


def _whole(graph: Graph, terms: list[Term]) -> tuple[Kind, str, str]:
    """What kind of number the whole objective is, and of which quantity (SEMANTICS, section 8)."""
    mine = [t for t in terms if t.player == "model"]
    target = f"log p({', '.join(graph.scored)})" if graph.scored else "nothing"
    conditions = [n for n, v in graph.variables.items() if v.role is Role.CONDITION]
    if conditions and graph.scored:
        target = f"log p({', '.join(graph.scored)} | {', '.join(conditions)})"
    reasons: list[str] = []
    for term in mine:
        if term.family == "kl" and (term.weight > 1 or term.options.get("free_bits")) and term.warmup == 0:
            reasons.append("a looser bound, not the ELBO")
        elif term.family == "kl" and term.weight < 1:
            reasons.append("not a bound: the KL counts less than it should")
        elif term.warmup:
            reasons.append(f"the weight of {term.name} changes while training" + _after(term))
        elif term.options.get("capacity") is not None:
            reasons.append("not a bound: the KL is driven to a target")
        elif "in" in term.options:
            reasons.append(f"{term.name} is not a likelihood")
        elif term.weight != 1 and term.family != "adversary":
            reasons.append(f"{term.name} is weighted by {term.weight:g}")
        elif term.auxiliary:
            reasons.append(f"{term.name} is an auxiliary term")
        elif term.family == "adversary" and (term.kind is Kind.NONE or term.weight != 1):
            reasons.append(f"{term.name} is adversarial")
    if any(how(graph, v) in (How.CODE, How.MMD, How.FITTED) for v in graph.routes):
        reasons.append("codes have no density")
    if not graph.scored:
        return Kind.NONE, target, "; ".join(dict.fromkeys(reasons)) or "nothing is scored"
    if reasons:
        return Kind.NONE, target, "; ".join(dict.fromkeys(reasons))
    if any(t.family == "adversary" for t in mine):
        return Kind.ESTIMATE, target, "the critic's logit stands for log q - log p"
    if any(how(graph, v) in SAMPLED for v in graph.routes):
        bound = bound_of(graph)
        return Kind.LOWER, target, f"minus the loss is the {bound.tag} bound: {target} is at least this"
    return worst(t.kind for t in mine), target, f"minus the loss is {target}"


def _after(term: Term) -> str:
    if term.family != "kl" or term.weight == 1:
        return ""
    return ": a looser bound, not the ELBO" if term.weight > 1 else ": not a bound"
