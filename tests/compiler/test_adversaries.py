"""Adversaries: the two joints, who made each side, and what the critic's number stands for (docs/semantics.md,
section 5).
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gendsl.compiler.explain import as_text
from gendsl.errors import SpecError
from gendsl.nn.objective.evaluation import Evaluation
from gendsl.nn.objective.tuples import tuples
from gendsl.runtime.dataset import dataset
from gendsl.runtime.initial import compile_model
from tests.compiler.cases import BINARY, CASES, GAN, REALS, UNIT, UNIT_Y, VAE, graph_of, messages, problems

AAE = UNIT + VAE.replace("bernoulli", "normal").replace("x, dist: normal", "x, dist: deterministic")
AVB = UNIT + VAE.replace("bernoulli", "normal").replace(
    "x, dist: normal", "x, dist: {type: implicit, noise: 2}"
)


def test_a_prior_of_components_is_refused_with_what_has_a_gradient() -> None:
    body = BINARY + VAE.replace(
        "prior: {z: {dist: normal", "prior: {z: {dist: {type: vamp, pseudo_inputs: 3}"
    )
    body += "adversary: {d: {sees: z, net: mlp}}"
    assert problems(body) == [("GD505", "vamp")]
    found = messages(body)
    assert "the choice of a component has no gradient" in found
    assert found.endswith("what has a gradient: dist: normal with a flow")


def test_what_is_made_from_quantised_codes_is_refused_with_a_way_out() -> None:
    body = (
        UNIT
        + """
ordering: {c: raster}
prior: {c: {dist: categorical, net: {type: transformer, layers: 1, width: 8, heads: 2}}}
encoder: {c: {given: x, dist: {type: vq, codes: 8, dim: 4}, shape: [2, 2], net: conv_down}}
decoder: {x: {given: c, dist: normal, net: conv_up}}
adversary: {d: {sees: x, net: conv_down}}
"""
    )
    found = messages(body)
    assert "d has no gradient through the fake samples of c: categorical is discrete" in found
    assert found.endswith("let d see what is not made from c")


@pytest.mark.parametrize(
    ("body", "real", "fake", "stands_in"),
    [
        (UNIT + GAN, [], ["decoder.x"], None),
        (CASES["conditional_gan"].text, [], ["decoder.x"], None),
        (CASES["bigan"].text, ["encoder.z"], ["decoder.x"], None),
        (CASES["vae_gan"].text, [], ["decoder.x"], None),
        (CASES["flow_gan"].text, [], ["flow.x"], None),
        (
            CASES["flow_gan"].text.replace("sees: x, net: conv_down", "sees: [x, z], net: mlp"),
            ["flow.x"],
            ["flow.x"],
            None,
        ),
        (CASES["infogan"].text, [], ["decoder.x"], None),
        (AAE + "adversary: {d: {sees: z, net: mlp}}", ["encoder.z"], [], "z"),
        (AVB + "adversary: {d: {sees: [x, z], net: mlp}}", ["encoder.z"], [], "z"),
        (CASES["adversarial_codes_flow_prior"].text, ["encoder.z"], ["prior.z"], "z"),
        # an encoder with a density keeps its KL: the adversary comes beside it
        (
            AAE.replace("deterministic", "normal") + "adversary: {d: {sees: z, net: mlp}}",
            ["encoder.z"],
            [],
            None,
        ),
        (
            AAE.replace("deterministic", "normal") + "adversary: {d: {sees: [x, z], net: mlp}}",
            ["encoder.z"],
            ["decoder.x"],
            None,
        ),
        # behind a sample is everything above it
        (
            UNIT
            + GAN.replace(
                "z: {dist: normal, shape: [6]}",
                "w: {dist: normal, shape: [3]}, z: {given: w, dist: normal, shape: [6], net: mlp}",
            ),
            [],
            ["prior.z", "decoder.x"],
            None,
        ),
        # behind a code stands what its encoder reads, but nothing behind data
        (CASES["hierarchy_with_adversary"].text, ["encoder.z1", "encoder.z2"], ["prior.z1"], "z1"),
        (
            UNIT_Y
            + VAE.replace("bernoulli, net: mlp}", "normal, net: mlp}, y: {dist: categorical}").replace(
                "x, dist: normal, net: mlp}",
                "[x, y], dist: normal, net: mlp}, y: {given: x, dist: categorical}",
            )
            + "adversary: {d: {sees: z, net: mlp}}",
            ["encoder.z"],
            [],
            None,
        ),
    ],
)
def test_the_makers_of_both_sides(body: str, real: list[str], fake: list[str], stands_in: str | None) -> None:
    critic = graph_of(body).critics["d"]
    assert (list(critic.real_makers), list(critic.fake_makers), critic.stands_in) == (real, fake, stands_in)


@pytest.mark.parametrize(
    ("body", "estimates"),
    [
        (AVB + "adversary: {d: {sees: [x, z], net: mlp}}", True),
        (AVB + "adversary: {d: {sees: [x, z], loss: saturating, net: mlp}}", True),
        (AVB + "adversary: {d: {sees: [x, z], loss: hinge, net: mlp}}", False),
        (AVB + "adversary: {d: {sees: [x, z], loss: wasserstein, net: mlp}}", False),
        (AVB + "adversary: {d: {sees: [x, z], loss: least_squares, net: mlp}}", False),
        (AVB + "adversary: {d: {sees: z, net: mlp}}", False),
        (AAE + "adversary: {d: {sees: [x, z], net: mlp}}", True),
        (
            UNIT_Y
            + "\ncondition: [y]"
            + AVB.replace(UNIT, "").replace("given: x", "given: [x, y]")
            + "adversary: {d: {sees: [x, z], net: mlp}}",
            False,
        ),
        (
            UNIT_Y
            + "\ncondition: [y]"
            + AVB.replace(UNIT, "").replace("given: x", "given: [x, y]")
            + "adversary: {d: {sees: [x, y, z], net: mlp}}",
            True,
        ),
        (UNIT_Y + AVB.replace(UNIT, "") + "adversary: {d: {sees: [x, y, z], net: mlp}}", True),
        (CASES["hierarchy_with_adversary"].text, False),
    ],
)
def test_the_logit_estimates_a_kl_where_the_critic_sees_all_that_q_and_p_are_given(
    body: str, estimates: bool
) -> None:
    graph = graph_of(body)
    term = next(t for t in graph.terms if t.name == "adversary.d")
    assert str(term.kind) == ("estimate" if estimates else "none")
    assert ("logit D(R)" in term.formula) == estimates
    assert str(graph.objective_kind) == ("estimate" if estimates else "none")


@pytest.mark.parametrize(
    ("body", "code", "place", "reason"),
    [
        (
            UNIT + GAN.replace("sees: x", "sees: [x, z]"),
            "GD506",
            "z",
            "no real side: it is latent and has no encoder",
        ),
        (
            UNIT_Y + GAN.replace("sees: x", "sees: [x, y]"),
            "GD506",
            "y",
            "no fake side: nothing in p makes it",
        ),
        (
            UNIT
            + "\nencoder: {z: {given: x, dist: deterministic, shape: [3]}}\ndecoder: {x: {given: z, dist: "
            "normal}}\nadversary: {d: {sees: z, net: mlp}}",
            "GD506",
            "z",
            "no fake side",
        ),
        (
            UNIT
            + "\nencoder: {z: {given: x, dist: deterministic, shape: [3]}}\ndecoder: {x: {given: z, dist: "
            "normal}}\nadversary: {d: {sees: x, net: mlp}}",
            "GD506",
            "x",
            "no prior over z",
        ),
        (
            UNIT
            + "\ncorruption: {n: {given: x, dist: mask}}"
            + VAE.replace("bernoulli", "normal").replace("given: x", "given: n")
            + "adversary: {d: {sees: n, net: mlp}}",
            "GD506",
            "n",
            "not part of the model",
        ),
        (
            CASES["semi_supervised_vae"].text + "adversary: {d: {sees: y, net: mlp}}",
            "GD506",
            "y",
            "only partly observed",
        ),
        (
            CASES["semi_supervised_vae"].text + "adversary: {d: {sees: z, net: mlp}}",
            "GD506",
            "z",
            "depends on y",
        ),
        (
            BINARY + VAE + "adversary: {d: {sees: x, net: mlp}}",
            "GD505",
            "bernoulli",
            "no gradient through the fake samples",
        ),
        (
            CASES["discrete_vae"].text + "adversary: {d: {sees: c, net: mlp}}",
            "GD505",
            "categorical",
            "no gradient through the real samples",
        ),
        (
            UNIT_Y
            + "\nprior: {z: {dist: normal, shape: [2]}}\ndecoder: {x: {given: z, dist: deterministic, net: "
            "mlp}, y: {given: z, dist: categorical}}\nadversary: {d: {sees: [x, y], net: mlp}}\nencoder: {z: "
            "{given: x, dist: normal}}",
            "GD505",
            "categorical",
            "discrete",
        ),
        (
            UNIT_Y
            + "\ncondition: [y]\nadversary: {d: {sees: y, net: mlp}}\ndecoder: {x: {given: y, dist: normal}}",
            "GD506",
            "y",
            "trains nobody",
        ),
        (UNIT + GAN.replace("sees: x", "sees: [x, x]"), "GD207", "x", "twice"),
        (UNIT + GAN.replace("sees: x", "sees: x, penalty: [r1, gradient, r1]"), "GD207", "r1", "twice"),
        (UNIT + GAN.replace("net: conv_down", "net: gated_pixelcnn"), "GD403", "gated_pixelcnn", "cannot"),
        (
            UNIT_Y
            + "\nprior: {z: {dist: normal, shape: [3]}}\ndecoder: {x: {given: z, dist: deterministic, net: mlp}, y: {given: z, dist: categorical}}\nencoder: {z: {given: x, dist: implicit}}\nadversary: {d: {sees: [x, z], net: mlp}}",
            "GD501",
            "x",
            "data on both sides",
        ),
        (
            UNIT
            + "\nnets: {t: mlp}"
            + VAE.replace("bernoulli", "normal").replace("net: mlp}}\n", "net: mlp}}\n", 1)
            + "adversary: {d: {sees: z, net: {ref: t}}, e: {sees: x, net: {ref: t}}}",
            "GD208",
            "t",
            "must be its own",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_there(body: str, code: str, place: str, reason: str) -> None:
    assert reason in messages(body)
    assert (code, place) in problems(body)


def test_a_condition_that_is_not_seen_is_an_error_unless_a_likelihood_teaches_it() -> None:
    alone = CASES["conditional_gan"].text.replace("sees: [x, y], project: y", "sees: x")
    assert [code for code, _ in problems(alone)] == ["GD506"]
    graph = graph_of(
        CASES["conditional_vae"].text.replace("bernoulli", "normal") + "adversary: {d: {sees: x, net: mlp}}"
    )
    assert [(n.code, n.severity) for n in graph.notes] == [("GD506", "warning")]
    assert "without seeing it" in graph.notes[0].message
    assert graph_of(CASES["conditional_gan"].text).notes == ()


def test_each_critic_is_a_player_with_its_steps_and_the_model_comes_last() -> None:
    graph = graph_of(CASES["two_adversaries"].text.replace("codes: {sees: z,", "codes: {sees: z, steps: 3,"))
    assert [(p.name, p.steps) for p in graph.players] == [
        ("adversary.codes", 3),
        ("adversary.pixels", 1),
        ("model", 1),
    ]
    assert graph.players[1].terms == ("critic.pixels", "r1.pixels")


def test_a_constraint_is_no_term_and_the_default_loss_is_non_saturating() -> None:
    graph = graph_of(
        UNIT + GAN.replace("sees: x,", "sees: x, penalty: [spectral, {type: clip, limit: 0.1}],")
    )
    assert [t.name for t in graph.terms] == ["adversary.d", "critic.d"]
    assert graph.critics["d"].spec.loss.tag == "non_saturating"


def test_noise_without_parameters_may_be_discrete() -> None:
    assert problems(CASES["infogan"].text) == []
    learned = CASES["infogan"].text.replace(
        "{dist: categorical, classes: 10}", "{dist: {type: categorical, classes: 10, logits: learned}}", 1
    )
    assert problems(learned) == [("GD505", "categorical")]
    assert "no gradient through the fake samples of c" in messages(learned)


def test_a_critic_may_see_latents_where_the_data_are_discrete() -> None:
    assert problems(BINARY + VAE + "adversary: {d: {sees: z, net: mlp}}") == []
    assert problems(REALS + GAN.replace("deterministic", "normal")) == []


def test_a_prior_that_stands_in_for_a_kl_is_given_the_data() -> None:
    """p(z | y) with y modelled: the fake code of a row is drawn given that row's label, not a sampled one."""
    body = (
        UNIT_Y
        + """
prior: {z: {given: y, dist: {type: normal, scale: 0.001}, shape: [2], net: mlp}}
decoder: {y: {dist: categorical}, x: {given: z, dist: normal, net: mlp}}
encoder: {z: {given: [x, y], dist: implicit, net: mlp}}
adversary: {d: {sees: [x, y, z], net: mlp}}
"""
    )
    graph = graph_of(body)
    assert str(next(t for t in graph.terms if t.name == "adversary.d").kind) == "estimate"
    assert graph.critics["d"].fake_makers == ("prior.z",)
    torch.manual_seed(0)
    model = compile_model(graph)
    batch = dataset(graph, Path()).parts["train"].batch(torch.arange(32))
    real, fake = tuples(Evaluation(model, batch, 0, training=True), graph.critics["d"])
    assert torch.equal(fake["y"], batch.values["y"])
    assert torch.equal(fake["x"], batch.values["x"])
    with torch.no_grad():
        mean = model.distribution("prior.z", batch.values, 32).mean()
    torch.testing.assert_close(fake["z"], mean, atol=0.01, rtol=0)
    assert not torch.allclose(real["z"], mean, atol=0.01)


def test_a_flow_over_a_base_without_a_gradient_is_refused_at_the_base() -> None:
    """Its own layers have a gradient whatever the base's samples have."""
    body = CASES["flow_gan"].text.replace("z: {dist: normal}", "z: {dist: {type: mixture, of: normal}}")
    assert problems(body) == [("GD505", "mixture")]
    assert "through the fake samples of z: mixture" in messages(body)


def test_a_chain_is_no_fake_side_and_no_reason_is_left_empty() -> None:
    body = CASES["denoising_autoencoder"].text.replace(BINARY, UNIT).replace("bernoulli", "normal")
    body += "adversary: {d: {sees: x, net: mlp}}"
    assert problems(body) == [("GD506", "x")]
    assert "(a last stage can fit it to the codes) |" in messages(body)


def test_explain_names_the_network_that_a_critic_refers_to() -> None:
    body = UNIT + GAN.replace("net: conv_down", "net: {ref: judge}")
    said = as_text(graph_of(f"{body}nets: {{judge: {{type: conv_down, width: 4}}}}"))
    assert "conv_down (nets.judge); 465 parameters" in said


def test_a_label_that_is_made_is_not_told_to_become_deterministic() -> None:
    """An AC-GAN of the joint p(x, y): what helps is a relaxation, or the label as a condition."""
    body = """
prior: {z: {dist: normal, shape: [4]}}
decoder: {y: {dist: categorical}, x: {given: [z, y], dist: deterministic, net: mlp}}
adversary: {d: {sees: x, classify: y, net: mlp}}
"""
    with pytest.raises(SpecError) as caught:
        graph_of(UNIT_Y + body)
    (found,) = caught.value.diagnostics
    assert found.code == "GD505"
    assert "straight_through" in found.help
    assert "condition: [y]" in found.help
    assert "unit" not in found.help
    assert graph_of(UNIT_Y + body + "objective: {estimator: {y: straight_through}}").critics["d"].fake_makers
