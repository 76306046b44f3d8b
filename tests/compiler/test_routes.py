"""Routes: how each latent gets its values, what is scored, and where what has no route is refused
(docs/semantics.md, section 4).
"""

from __future__ import annotations

import pytest

from gendsl.compiler.graph import How
from tests.compiler.cases import (
    BINARY,
    BINARY_Y,
    CASES,
    GAN,
    MOONS,
    UNIT,
    UNIT_Y,
    VAE,
    graph_of,
    messages,
    problems,
)

ROUTES = {
    "autoencoder": {"z": How.CODE},
    "vae": {"z": How.CLOSED},
    "vae_planar_flow": {"z": How.SAMPLED},
    "iwae": {"z": How.SAMPLED},
    "vae_flow_prior": {"z": How.SAMPLED},
    "hierarchical_vae": {"z2": How.CLOSED, "z1": How.SAMPLED},
    "semi_supervised_vae": {"y": How.ENUMERATED, "z": How.CLOSED},
    "semi_supervised_without_classifier": {"y": How.SUMMED, "z": How.SAMPLED},
    "gan": {"z": How.SAMPLED_ONLY},
    "bigan": {"z": How.SAMPLED_ONLY},
    "adversarial_autoencoder": {"z": How.ADVERSARIAL},
    "adversarial_vb": {"z": How.ADVERSARIAL},
    "infogan": {"z": How.SAMPLED_ONLY, "c": How.INFORMATION},
    "infogan_with_densities": {"z": How.SAMPLED_ONLY, "c": How.INFORMATION, "a": How.INFORMATION},
    "realnvp": {"z": How.BASE},
    "autoencoder_second_stage": {"z": How.FITTED},
    "wasserstein_autoencoder_mmd": {"z": How.MMD},
    "info_vae": {"z": How.CLOSED},
    "mixture_model": {"c": How.SUMMED},
    "mixture_prior_vae": {"c": How.SUMMED, "z": How.SAMPLED},
    "mixture_prior_vae_enumerated": {"c": How.ENUMERATED, "z": How.SAMPLED},
    "discrete_vae": {"c": How.ENUMERATED},
    "flow_with_a_mixture_base": {"c": How.SUMMED, "u": How.BASE},
    "two_latents_one_flow_prior": {"u": How.SAMPLED, "w": How.CLOSED},
    "made_prior": {"z": How.SAMPLED},
    "made_encoder": {"z": How.SAMPLED},
}


@pytest.mark.parametrize("name", ROUTES)
def test_the_first_route_that_fits(name: str) -> None:
    graph = graph_of(CASES[name].text)
    assert {n: r.how for n, r in graph.routes.items()} == ROUTES[name]


NORMALS = """
prior: {z2: {dist: normal, shape: [2]}, z1: {given: z2, dist: normal, shape: [3], net: mlp}}
decoder: {x: {given: [z1, z2], dist: bernoulli, net: mlp}}
"""


@pytest.mark.parametrize(
    ("body", "latent", "why"),
    [
        (BINARY + VAE, "z", ""),
        (BINARY + VAE.replace("[4]}", "[4], flow: [{type: coupling}]}"), "z", "a flow is in the way"),
        (
            BINARY + VAE.replace("dist: normal, net: mlp}}", "dist: normal, net: mlp, flow: [planar]}}"),
            "z",
            "a flow is in the way",
        ),
        (
            BINARY + VAE.replace("x, dist: normal", "x, dist: laplace"),
            "z",
            "no formula for KL(laplace || normal)",
        ),
        (BINARY + VAE.replace("dist: normal", "dist: laplace"), "z", ""),
        (BINARY + VAE + "objective: {bound: {type: elbo, samples: 4}}", "z", ""),
        (BINARY + VAE + "objective: {bound: {type: iwae, samples: 4}}", "z", "iwae uses log w"),
        (BINARY + VAE + "objective: {bound: renyi}", "z", "renyi uses log w"),
        (
            BINARY + "\nordering: {z: natural}" + VAE.replace("shape: [4]", "shape: [4], net: made"),
            "z",
            "autoregressive",
        ),
        # bottom-up: z2 is inferred from z1, and is its parent in p
        (
            BINARY + NORMALS + "encoder: {z1: {given: x, dist: normal}, z2: {given: z1, dist: normal}}",
            "z1",
            "z2 is a parent",
        ),
        (
            BINARY + NORMALS + "encoder: {z1: {given: x, dist: normal}, z2: {given: z1, dist: normal}}",
            "z2",
            "",
        ),
        # top-down and side by side: no p-parent follows from its child in q
        (
            BINARY + NORMALS + "encoder: {z2: {given: x, dist: normal}, z1: {given: [x, z2], dist: normal}}",
            "z1",
            "",
        ),
        (
            BINARY + NORMALS + "encoder: {z2: {given: x, dist: normal}, z1: {given: x, dist: normal}}",
            "z1",
            "",
        ),
        (CASES["mixture_prior_vae"].text, "z", "c is summed out"),
        (CASES["semi_supervised_without_classifier"].text, "z", "y is summed out"),
        (CASES["semi_supervised_vae"].text, "z", ""),
        (CASES["iwae_mixture"].text.replace("objective", "name: m #"), "z", ""),
    ],
)
def test_the_kl_is_closed_only_where_the_formula_is_the_expectation(body: str, latent: str, why: str) -> None:
    route = graph_of(body).routes[latent]
    assert route.how is (How.SAMPLED if why else How.CLOSED)
    assert why in route.why


def test_what_is_scored() -> None:
    assert graph_of(CASES["joint_vae"].text).scored == ("x", "y")
    assert graph_of(CASES["gan"].text).scored == ()
    assert graph_of(CASES["bigan"].text).scored == ()
    assert graph_of(CASES["gan_with_a_stochastic_decoder"].text).scored == ()
    assert graph_of(CASES["gan_beside_a_classifier"].text).scored == ("y",)
    assert graph_of(CASES["flow_gan"].text).scored == ("x",)


def test_data_cut_the_path_to_latents_above() -> None:
    graph = graph_of(CASES["chain_of_observed"].text)
    assert [t.name for t in graph.terms if t.subject == "y"] == ["likelihood.y"]


NO_ENCODER = (
    UNIT + "\nprior: {z: {dist: normal, shape: [4]}}\ndecoder: {x: {given: z, dist: normal, net: mlp}}"
)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (NO_ENCODER, [("GD502", "z")]),
        (UNIT + VAE.replace("bernoulli", "deterministic"), [("GD501", "deterministic")]),
        # other terms do not excuse it: w has its KL, and log p(x) still has no route through z
        (
            UNIT
            + "\nprior: {z: {dist: normal, shape: [4]}, w: {dist: normal, shape: [2]}}"
            + "\ndecoder: {x: {given: [z, w], dist: normal, net: mlp}}\nencoder: {w: {given: x, dist: "
            "normal, net: mlp}}",
            [("GD502", "z")],
        ),
        # the first latent without a route, from the top
        (
            UNIT
            + "\nprior: {z2: {dist: normal, shape: [4]}, z1: {given: z2, dist: normal, shape: [2]}}"
            + "\ndecoder: {x: {given: z1, dist: normal, net: mlp}}",
            [("GD502", "z2")],
        ),
        # an adversary that sees the latent does not see x
        (
            NO_ENCODER.replace("dist: normal, net: mlp", "dist: deterministic")
            + "\nencoder: {z: {given: x, dist: normal}}\nadversary: {d: {sees: z, net: mlp}}",
            [("GD501", "deterministic")],
        ),
        # both variables of one spec are named, each at its own place
        (
            UNIT_Y
            + "\nprior: {z: {dist: normal, shape: [4]}}"
            + "\ndecoder: {x: {given: z, dist: implicit, net: mlp}, y: {given: z, dist: categorical, net: "
            "mlp}}",
            [("GD501", "implicit"), ("GD502", "z")],
        ),
    ],
)
def test_what_nothing_trains_is_refused_at_its_factor_or_at_the_first_latent(
    body: str, found: list[tuple[str, str]]
) -> None:
    assert problems(body) == found


def test_an_adversary_excuses_only_what_it_sees() -> None:
    assert problems(NO_ENCODER + "\nadversary: {d: {sees: x, net: mlp}}") == []
    assert problems(UNIT + GAN) == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            BINARY + VAE.replace("[4]}", "[4], flow: [planar]}"),
            "planar cannot be used in a prior: log p(z) is needed",
        ),
        (
            MOONS + "\nprior: {u: {dist: normal}}\nflow: {x: {given: u, stack: [planar]}}",
            "planar has no closed-form inverse",
        ),
        (
            MOONS
            + "\nprior: {u: {dist: normal}}\nflow: {x: {given: u, stack: [coupling]}}\n"
            + "encoder: {u: {given: x, dist: normal}}",
            "its value follows by inverting the flow",
        ),
        (
            BINARY
            + VAE.replace(
                "z: {dist: normal, shape: [4]}",
                "z: {dist: implicit, shape: [4], given: w}, w: {dist: normal, shape: [2]}",
            ).replace("}}\nencoder: {", "}}\nencoder: {w: {given: x, dist: normal}, "),
            "implicit has no density",
        ),
        (
            BINARY
            + VAE.replace("prior: {z: {dist: normal, shape: [4]}}", "").replace(
                "net: mlp}}\n", "net: mlp}}\nvariables: {z: {shape: [4]}}\n", 1
            ),
            "has a stochastic encoder but no prior",
        ),
        (
            BINARY + VAE.replace("x, dist: normal", "x, dist: deterministic"),
            "so KL(q(z) || p(z)) cannot be computed",
        ),
        (BINARY + VAE.replace("dist: normal", "dist: poisson"), "infinitely many values"),
        (UNIT + GAN + "encoder: {z: {given: x, dist: deterministic}}", "above nothing that is scored"),
        (
            UNIT + GAN + "encoder: {z: {given: x, dist: normal, flow: [planar]}}",
            "log q(z) is needed at samples of the prior",
        ),
        (BINARY + VAE + "objective: {estimator: {z: gumbel}}", "is not a discrete latent with an encoder"),
        (CASES["counting_vae"].text.replace("score_function", "gumbel"), "which are not finitely many"),
        (CASES["discrete_vae_iwae"].text + "\n  estimator: {c: gumbel}", "averages weights of real draws"),
        (
            CASES["two_latents_gumbel"].text + "\n  mmd: {z: {}}",
            "mmd.z compares codes, and the encoder of z reads c",
        ),
        (CASES["discrete_vae"].text.replace("shape: [2]", "shape: [6]"), "729 joint states"),
        (CASES["mixture_model"].text.replace("classes: 5", "classes: 5000"), "5000 joint states"),
        (
            CASES["mixture_model"].text.replace("learned}}", "learned}, shape: [99]}"),
            "more than 2^63 joint states",
        ),
        (CASES["discrete_vae"].text + "objective: {bound: {type: elbo}}", "no latent is sampled"),
        (
            BINARY_Y
            + "\nvariables: {y: {observed: {partial: 9}}}"
            + VAE.replace("given: x,", "given: [x, y],"),
            "nothing says what y is in p",
        ),
        (
            CASES["semi_supervised_without_classifier"].text.replace(
                "z: {given: [x, y], dist: normal", "z: {given: [x, y], dist: deterministic"
            )
            + "adversary: {d: {sees: z, net: mlp}}",
            "depends on y, which is summed out",
        ),
        (UNIT + "\nenergy: {x: {net: mlp}}", "nothing trains the energy of x"),
    ],
)
def test_what_no_route_fits_is_refused_with_the_reason(body: str, reason: str) -> None:
    assert reason in messages(body)


def test_how_many_states_are_tried() -> None:
    assert problems(CASES["mixture_model"].text.replace("classes: 5", "classes: 4096")) == []
    assert problems(CASES["discrete_vae"].text.replace("shape: [2]", "shape: [5]")) == []
