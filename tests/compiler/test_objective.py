"""The objective: terms, their estimators and kinds, weights, and what kind of number the whole is
(docs/semantics.md, section 8).
"""

from __future__ import annotations

import pytest

from gendsl.compiler.explain import as_json
from gendsl.compiler.graph import Graph, Kind, Term
from tests.compiler.cases import BINARY, CASES, MOONS, UNIT, VAE, graph_of, messages, problems


def term(graph: Graph, name: str) -> Term:
    return next(t for t in graph.terms if t.name == name)


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (BINARY + VAE, "lower", "minus the loss is the elbo bound"),
        (
            BINARY + VAE + "objective: {bound: {type: iwae, samples: 3}}",
            "lower",
            "minus the loss is the iwae bound",
        ),
        (BINARY + VAE + "objective: {kl: {z: {weight: 4}}}", "none", "a looser bound, not the ELBO"),
        (BINARY + VAE + "objective: {kl: {z: {free_bits: 0.1}}}", "none", "a looser bound, not the ELBO"),
        (BINARY + VAE + "objective: {kl: {z: {weight: 0.5}}}", "none", "not a bound"),
        (BINARY + VAE + "objective: {kl: {z: {capacity: 5.0}}}", "none", "not a bound"),
        (BINARY + VAE + "objective: {kl: {z: {warmup: 10}}}", "none", "changes while training"),
        (
            BINARY + VAE + "objective: {kl: {z: {weight: 2, warmup: 10}}}",
            "none",
            "a looser bound, not the ELBO",
        ),
        (BINARY + VAE + "objective: {kl: {z: {weight: 0.2, warmup: 10}}}", "none", "not a bound"),
        (BINARY + VAE + "objective: {reconstruction: {x: {weight: 2}}}", "none", "weighted by 2"),
        (BINARY + VAE + "objective: {mmd: {z: {}}}", "none", "mmd.z is an auxiliary term"),
        (CASES["classifier_of_observed"].text, "none", "classification.y is an auxiliary term"),
        (CASES["vae_gan"].text, "none", "reconstruction.x is not a likelihood"),
        (CASES["autoencoder"].text, "none", "codes have no density"),
        (CASES["gan"].text, "none", "adversary.d is adversarial"),
        (CASES["adversarial_vb"].text, "estimate", "the critic's logit stands for log q - log p"),
        (CASES["adversarial_autoencoder"].text, "none", "adversary.d is adversarial"),
        (CASES["pixelcnn"].text, "exact", "minus the loss is log p(x)"),
        (CASES["mixture_model"].text, "exact", "minus the loss is log p(x)"),
        (CASES["realnvp_conditional"].text, "exact", "minus the loss is log p(x | y)"),
        (CASES["discrete_vae"].text, "lower", "log p(x) is at least this"),
    ],
)
def test_what_kind_of_number_the_whole_is(body: str, kind: str, says: str) -> None:
    graph = graph_of(body)
    assert str(graph.objective_kind) == kind
    assert says in graph.objective_says


@pytest.mark.parametrize(
    ("body", "name", "kind", "estimator"),
    [
        (BINARY + VAE, "reconstruction.x", "estimate", "reparameterised, 1 sample"),
        (
            BINARY + VAE + "objective: {bound: {type: elbo, samples: 5}}",
            "reconstruction.x",
            "estimate",
            "reparameterised, 5 samples",
        ),
        (
            BINARY + VAE + "objective: {bound: {type: iwae, samples: 5}}",
            "reconstruction.x",
            "estimate",
            "iwae, 5 samples",
        ),
        (BINARY + VAE, "kl.z", "exact", "closed form"),
        (CASES["hierarchical_vae"].text, "kl.z2", "estimate", "closed form"),
        (
            CASES["hierarchical_vae"].text,
            "kl.z1",
            "estimate",
            "sampled (z2 is a parent of z1 in p and follows from it in q)",
        ),
        (CASES["discrete_vae"].text, "kl.c", "exact", "enumerated"),
        (CASES["discrete_vae"].text, "reconstruction.x", "exact", "enumerated"),
        (CASES["semi_supervised_vae"].text, "kl.y", "exact", "enumerated"),
        (CASES["semi_supervised_vae"].text, "kl.z", "exact", "closed form"),
        (
            CASES["semi_supervised_vae"].text,
            "reconstruction.x",
            "estimate",
            "enumerated, reparameterised, 1 sample",
        ),
        (CASES["autoencoder"].text, "reconstruction.x", "exact", "exact"),
        (CASES["denoising_autoencoder"].text, "reconstruction.x", "estimate", "reparameterised, 1 sample"),
        (CASES["adversarial_autoencoder"].text, "reconstruction.x", "exact", "exact"),
        (CASES["adversarial_vb"].text, "reconstruction.x", "estimate", "reparameterised, 1 sample"),
        (CASES["autoencoder_second_stage"].text, "prior.z", "exact", "exact"),
        (CASES["mixture_model"].text, "likelihood.x", "exact", "summed"),
        (CASES["pixelcnn"].text, "likelihood.x", "exact", "exact"),
        (CASES["infogan"].text, "mutual_information.c", "estimate", "sampled"),
        (CASES["vae_gan"].text, "reconstruction.x", "none", "sampled"),
    ],
)
def test_each_term_has_the_kind_of_its_own_number(body: str, name: str, kind: str, estimator: str) -> None:
    found = term(graph_of(body), name)
    assert (str(found.kind), found.estimator) == (kind, estimator)


@pytest.mark.parametrize(
    ("name", "term_name", "formula", "of"),
    [
        ("vae", "kl.z", "E_q[log q(z | x) - log p(z)]", "KL(q(z | x) || p(z))"),
        (
            "conditional_vae",
            "reconstruction.x",
            "-E_q[log p(x | z, y)]",
            "expected negative log-likelihood of x",
        ),
        ("mixture_model", "likelihood.x", "-log sum over c of p(x | c)", "-log p(x)"),
        ("mixture_of_two_observed", "likelihood.y", "-log sum over c of p(y | c)", "-log p(y | x)"),
        (
            "mixture_prior_vae",
            "kl.z",
            "E_q[log q(z | x) - log sum over c of p(z | c)]",
            "KL(q(z | x) || p(z | c))",
        ),
        ("realnvp", "likelihood.x", "-log p(z) |dz/dx|", "-log p(x)"),
        ("flow_given_a_modelled_label", "likelihood.x", "-log p(u) |du/dx|", "-log p(x | y)"),
        ("semi_supervised_vae", "likelihood.y", "-log p(y) on known rows", "-log p(y)"),
        (
            "semi_supervised_vae",
            "kl.y",
            "E_q[log q(y | x) - log p(y)] on unknown rows",
            "KL(q(y | x) || p(y))",
        ),
        (
            "semi_supervised_vae",
            "classification.y",
            "-log q(y | x) on known rows",
            "cross-entropy of q(y | x)",
        ),
        (
            "infogan",
            "mutual_information.c",
            "E[log q(c | x)], c and x drawn from prior and decoder",
            "a lower bound of I(c; x) - H(c)",
        ),
        (
            "autoencoder_second_stage",
            "prior.z",
            "-log p(z) at the codes, which are cut",
            "negative log density of the codes z",
        ),
        (
            "adversarial_vb",
            "adversary.d",
            "E[logit D(R)], R and F tuples (x, z); moves encoder.z",
            "KL(q(z | x) || p(z)), by the critic's logit",
        ),
        (
            "adversarial_autoencoder",
            "adversary.d",
            "E[-log(1 - D(R))], R and F tuples (z); moves encoder.z",
            "what d tells of the two joints of (z)",
        ),
        (
            "gan",
            "adversary.d",
            "E[-log D(F)], R and F tuples (x); moves decoder.x",
            "what d tells of the two joints of (x)",
        ),
        (
            "bigan",
            "adversary.d",
            "E[-log(1 - D(R)) + -log D(F)], R and F tuples (x, z); moves encoder.z, decoder.x",
            "what d tells of the two joints of (x, z)",
        ),
        ("gan", "critic.d", "E[-log D(R) - log(1 - D(F))]", "how well d tells R from F"),
    ],
)
def test_formulas_name_what_is_computed(name: str, term_name: str, formula: str, of: str) -> None:
    found = term(graph_of(CASES[name].text), term_name)
    assert found.formula == formula
    assert found.of == of


def test_options_change_the_terms_they_name() -> None:
    graph = graph_of(CASES["capacity_and_free_bits"].text)
    assert dict(term(graph, "kl.z").options) == {"free_bits": 0.0001}
    assert dict(term(graph, "kl.w").options) == {"capacity": 2.0}
    assert (term(graph, "kl.w").weight, term(graph, "kl.z").weight) == (3.0, 1.0)
    warm = graph_of(BINARY + VAE + "objective: {kl: {z: {weight: 0.5, warmup: 7}}}")
    assert (term(warm, "kl.z").weight, term(warm, "kl.z").warmup) == (0.5, 7)
    zero = graph_of(BINARY + VAE + "objective: {kl: {z: {capacity: 0}}}")
    assert dict(term(zero, "kl.z").options) == {"capacity": 0.0}
    assert term(graph_of(CASES["infogan"].text), "mutual_information.c").sign == -1


@pytest.mark.parametrize(
    ("body", "place", "words"),
    [
        (BINARY + VAE + "objective: {kl: {w: {weight: 2}}}", "w", "no term kl.w"),
        (
            CASES["pixelcnn"].text + "\nobjective: {reconstruction: {x: {weight: 2}}}",
            "x",
            "derived here: likelihood.x",
        ),
        (CASES["adversarial_autoencoder"].text + "\nobjective: {kl: {z: {weight: 2}}}", "z", "no term kl.z"),
        (
            BINARY + VAE + "objective: {reconstruction: {x: {in: d.features}}}",
            "d.features",
            "not an adversary that sees x",
        ),
        (
            CASES["adversarial_autoencoder"].text + "\nobjective: {reconstruction: {x: {in: d.features}}}",
            "d.features",
            "sees x",
        ),
        (CASES["discrete_vae"].text + "objective: {mmd: {c: {}}}", "c", "no term mmd.c"),
        (CASES["gan"].text + "objective: {mmd: {z: {}}}", "z", "no term mmd.z"),
    ],
)
def test_options_of_terms_that_are_not_derived_are_refused_there(body: str, place: str, words: str) -> None:
    assert ("GD507", place) in problems(body)
    assert words in messages(body)


def test_explain_has_a_kind_and_a_quantity_for_every_term() -> None:
    for name in ("vae", "semi_supervised_vae", "bigan", "wgan_gp", "autoencoder_second_stage_mixture"):
        objective = as_json(graph_of(CASES[name].text))["objective"]
        assert objective["kind"] in set(Kind)
        assert objective["of"]
        assert all(
            t["kind"] in set(Kind) and t["of"] and t["formula"] and t["estimator"] for t in objective["terms"]
        )


def test_none_of_the_weights_touches_log_prob() -> None:
    plain = graph_of(BINARY + VAE).capabilities
    for option in (
        "kl: {z: {weight: 4}}",
        "mmd: {z: {}}",
        "reconstruction: {x: {weight: 3}}",
        "bound: {type: iwae, samples: 3}",
    ):
        assert graph_of(BINARY + VAE + f"objective: {{{option}}}").capabilities == plain


def test_the_quantity_is_given_the_conditions() -> None:
    assert graph_of(CASES["conditional_vae"].text).objective_of == "log p(x | y)"
    assert graph_of(CASES["joint_vae"].text).objective_of == "log p(x, y)"
    assert graph_of(CASES["gan"].text).objective_of == "nothing"
    assert graph_of(MOONS + "\ndecoder: {x: {dist: normal}}").objective_of == "log p(x)"
    assert graph_of(UNIT + VAE.replace("bernoulli", "continuous_bernoulli")).objective_of == "log p(x)"
