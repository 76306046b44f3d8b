"""Plans: what a model can be asked, of what kind the answer is, and why the rest is refused (docs/semantics.md,
sections 10 and 11).
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gendsl.compiler.graph import Kind
from gendsl.compiler.plans.classify import by
from gendsl.compiler.plans.log_prob import proposals
from gendsl.errors import UsageError
from gendsl.nn.model import Model
from gendsl.runtime.dataset import dataset
from gendsl.runtime.initial import compile_model
from tests.compiler.cases import BINARY, BINARY_Y, CASES, MOONS_Y, UNIT, VAE, graph_of


@pytest.mark.parametrize(
    ("name", "query", "how", "kind"),
    [
        ("vae", "log_prob", "iwae", "lower"),
        ("beta_vae", "log_prob", "iwae", "lower"),
        ("pixelcnn", "log_prob", "density", "exact"),
        ("realnvp", "log_prob", "change of variables", "exact"),
        ("mixture_model", "log_prob", "summed over finite latents", "exact"),
        ("discrete_vae", "log_prob", "summed over finite latents", "exact"),
        ("adversarial_autoencoder", "log_prob", "importance sampling from the prior", "lower"),
        ("hierarchy_with_adversary", "log_prob", "importance sampling from the prior", "lower"),
        ("flow_gan", "log_prob", "change of variables", "exact"),
        ("vae", "sample", "ancestral", "exact"),
        ("pixelcnn", "sample", "ancestral; x entry by entry", "exact"),
        ("denoising_autoencoder", "sample", "corrupt-and-denoise chain", "estimate"),
        ("walkback_of_two_observed", "sample", "corrupt-and-denoise chain", "estimate"),
        ("denoising_vae", "sample", "ancestral", "exact"),
        ("vae", "compress", "bits-back coding with asymmetric numeral systems", "upper"),
        ("pixelcnn", "compress", "range coding", "exact"),
        ("vae", "impute", "self-normalised importance sampling", "estimate"),
        ("adversarial_autoencoder", "impute", "self-normalised importance sampling", "estimate"),
        ("pixelcnn", "impute", "in the order of p; importance sampling where that is not exact", "estimate"),
        ("mixture_model", "impute", "draw given the known entries, finite latents summed out", "exact"),
        ("denoising_autoencoder", "impute", "corrupt-and-denoise chain, known entries held", "estimate"),
        ("made_prior", "sample", "ancestral; z entry by entry", "exact"),
        ("realnvp", "encode", "inverse of the flow", "exact"),
        ("vae", "encode", "encoder", "estimate"),
        ("vae", "ood", "-log_prob (iwae)", "lower"),
        ("vae", "reconstruct", "encode, then the mean of p(x | ...)", "estimate"),
        ("vae", "interpolate", "straight line between encoded means", "estimate"),
        ("semi_supervised_vae", "classify", "encoder of y", "estimate"),
        ("joint_vae", "classify", "Bayes' rule for y", "estimate"),
        ("mixture_of_two_observed", "classify", "Bayes' rule for y", "exact"),
        ("flow_given_a_modelled_label", "classify", "Bayes' rule for y", "exact"),
        ("chain_of_observed", "classify", "factor of y", "exact"),
        ("gan_beside_a_classifier", "classify", "factor of y", "exact"),
    ],
)
def test_how_a_question_is_answered(name: str, query: str, how: str, kind: str) -> None:
    plan = graph_of(CASES[name].text).capabilities[query]
    assert (plan.how, str(plan.kind)) == (how, kind)


@pytest.mark.parametrize(
    ("name", "query", "why"),
    [
        ("autoencoder", "sample", "no prior over z"),
        ("autoencoder", "log_prob", "z is a code without a prior"),
        ("gan", "log_prob", "p(x) has no density"),
        ("gan", "encode", "no latent has an encoder"),
        ("gan", "ood", "it needs log_prob"),
        ("vae_gan", "log_prob", "x is reconstructed in d.features"),
        ("infogan", "reconstruct", "no observed variable depends on encoded latents alone"),
        ("pixel_vae", "interpolate", "no observed variable can be rebuilt"),
        ("discrete_vae", "interpolate", "c is discrete"),
        ("vae", "classify", "no label beside other observed variables"),
        ("autoencoder", "impute", "z is a code without a prior"),
        ("gan", "impute", "p(x) has no density"),
        ("realnvp", "impute", "the density of a flow does not say"),
        ("vae_gan", "impute", "it needs log_prob"),
        ("gan", "compress", "p(x) has no density"),
        ("realnvp", "compress", "x is real-valued"),
        ("conditional_vae", "compress", "the condition y is no part of the model"),
        ("mixture_prior_vae", "compress", "c is summed out"),
        ("hierarchical_vae", "compress", "several levels"),
        ("vae_flow_prior", "compress", "a normal prior and encoder of z"),
        ("missing_data_vae", "compress", "x is not known on every row"),
    ],
)
def test_why_a_question_is_refused(name: str, query: str, why: str) -> None:
    plan = graph_of(CASES[name].text).capabilities[query]
    assert plan.how is None
    assert why in plan.why
    assert plan.as_json()["how"] is None


def test_a_density_over_reals_gives_integers_no_code() -> None:
    """Pixels that were binarized are integers; a normal's density at 0 and 1 is no probability of them."""
    for dist in ("normal", "{type: laplace, scale: learned}"):
        plan = graph_of(CASES["vae"].text.replace("dist: bernoulli", f"dist: {dist}")).capabilities[
            "compress"
        ]
        assert plan.how is None
        assert "a density over reals: it gives the values of x no probability" in plan.why


def test_a_code_that_reads_clean_data_gives_no_chain() -> None:
    graph = graph_of(
        CASES["denoising_autoencoder"].text.replace("z: {given: x_noisy", "z: {given: [x, x_noisy]")
    )
    assert "the code z is read off x itself" in graph.capabilities["sample"].why
    assert graph.capabilities["sample"].how is None


def test_an_encoder_that_reads_what_the_prior_proposes_is_not_used() -> None:
    graph = graph_of(CASES["hierarchy_with_adversary"].text)
    assert proposals(graph) == {"encoder": [], "prior": ["z1", "z2"]}
    beside = CASES["hierarchy_with_adversary"].text.replace("z2: {given: z1", "z2: {given: x")
    assert proposals(graph_of(beside)) == {"encoder": ["z2"], "prior": ["z1"]}


def test_the_kinds_of_numbers_are_worst_first() -> None:
    graph = graph_of(CASES["joint_vae"].text)
    assert graph.capabilities["classify"].kind is Kind.ESTIMATE
    assert by(graph, "y") == "Bayes' rule"
    assert by(graph_of(CASES["classifier_of_observed"].text), "y") == "encoder"


def model_of(body: str) -> Model:
    torch.manual_seed(0)
    return compile_model(graph_of(body)).eval()


def test_bayes_rule_is_the_posterior_of_an_exact_model() -> None:
    """argmax over y of log p(y) + log p(x | y), by hand."""
    model = model_of(
        MOONS_Y + "\ndecoder: {y: {dist: {type: categorical, logits: learned}}, x: {given: y, dist: normal}}"
    )
    x = torch.randn(64, 2)
    said = model.classify({"x": x})["y"]
    joint = torch.stack([model.log_prob({"x": x, "y": torch.full((64,), y)}) for y in range(2)])
    assert torch.equal(said, joint.argmax(0))
    assert len(said.unique()) == 2
    assert torch.equal(said, model.classify({"x": x, "y": 1 - said})["y"])


def test_bayes_rule_by_importance_sampling_finds_what_the_decoder_says() -> None:
    """With p(y | z) sharp and z read off x, the most probable label is the decoder's at the code."""
    body = MOONS_Y + (
        "\nprior: {z: {dist: normal, shape: [2]}}"
        "\ndecoder: {x: {given: z, dist: {type: normal, scale: 0.05}, net: {type: mlp, hidden: []}},"
        " y: {given: z, dist: categorical, net: {type: mlp, hidden: []}}}"
        "\nencoder: {z: {given: x, dist: {type: normal, scale: 0.05}, net: {type: mlp, hidden: []}}}"
    )
    model = model_of(body)
    with torch.no_grad():
        for name in ("decoder.x", "encoder.z", "decoder.y"):
            for label, parameter in model.parameters_of([name]):
                parameter.copy_(
                    8 * torch.eye(2) if label.startswith("decoder.y") else torch.eye(2)
                ) if parameter.dim() == 2 else parameter.zero_()
    x = torch.tensor([[1.0, -1.0], [-0.5, 0.7], [0.2, 0.9], [1.5, 0.1]])
    assert model.classify({"x": x})["y"].tolist() == [0, 1, 1, 0]


def test_labels_are_rebuilt_as_the_most_probable_value() -> None:
    model = model_of(CASES["joint_vae"].text)
    with torch.no_grad():
        for name, parameter in model.parameters_of(["decoder.y"]):
            if name.endswith("head.layer.bias"):
                parameter.copy_(torch.tensor([5.0, 0, 0, 0, 0, 0, 0, 0, 0, 4.9]))
            elif "head" in name:
                parameter.zero_()
    x = torch.zeros(3, 1, 8, 8)
    y = torch.zeros(3, dtype=torch.int64)
    assert model.reconstruct({"x": x, "y": y})["y"].tolist() == [0, 0, 0]
    assert model.reconstruct({"x": x, "y": y})["x"].shape == (3, 1, 8, 8)


def test_a_hidden_label_is_filled_in_before_anything_reads_it() -> None:
    """The code of a row with an unknown label is the code given the label that the classifier says."""
    model = model_of(CASES["semi_supervised_vae"].text)
    x = (torch.rand(6, 1, 8, 8) > 0.5).float()
    said = model.classify({"x": x})["y"]
    hidden = model.encode({"x": x}, mean=True)["z"]
    shown = model.encode({"x": x, "y": said}, mean=True)["z"]
    other = model.encode({"x": x, "y": (said + 1) % 10}, mean=True)["z"]
    assert torch.equal(hidden, shown)
    assert not torch.allclose(hidden, other)
    by_rule = model_of(CASES["semi_supervised_without_classifier"].text)
    assert by_rule.encode({"x": x})["z"].shape == (6, 4)


def test_log_prob_sums_an_unknown_label_out() -> None:
    model = model_of(
        CASES["mixture_of_two_observed"].text.replace(
            "decoder", "variables: {y: {observed: {partial: 9}}}\ndecoder"
        )
    )
    x = torch.rand(5, 1, 8, 8)
    joint = torch.stack([model.log_prob({"x": x, "y": torch.full((5,), y)}) for y in range(10)])
    torch.testing.assert_close(model.log_prob({"x": x}), joint.logsumexp(0))


def test_missing_entries_of_given_values_are_nan() -> None:
    model = model_of(BINARY + "\nvariables: {x: {missing: {rate: 0.5}}}" + VAE)
    x = (torch.rand(4, 1, 8, 8) > 0.5).float()
    holes = torch.where(torch.rand(4, 1, 8, 8) > 0.5, x, torch.nan)
    assert torch.isfinite(model.log_prob({"x": holes}, 5)).all()
    assert (model.log_prob({"x": torch.full_like(x, torch.nan)}, 5)).abs().max() < 10
    assert not torch.equal(
        model.encode({"x": x}, mean=True)["z"], model.encode({"x": holes.nan_to_num(0)}, mean=True)["z"]
    )
    assert torch.isfinite(model.reconstruct({"x": holes})["x"]).all()


@pytest.mark.parametrize(
    ("name", "query", "given", "words"),
    [
        ("joint_vae", "log_prob", {"x": torch.zeros(2, 1, 8, 8)}, "log_prob needs y"),
        ("conditional_vae", "encode", {"x": torch.zeros(2, 1, 8, 8)}, "encode needs y"),
        ("vae", "encode", {"w": torch.zeros(2, 4)}, "'w' is not a bound variable"),
        ("vae", "encode", {"x": torch.zeros(2, 8, 8)}, "for each row"),
        ("vae", "log_prob", {}, "needs x"),
    ],
)
def test_values_that_a_query_needs_and_does_not_get(
    name: str, query: str, given: dict[str, torch.Tensor], words: str
) -> None:
    model = model_of(CASES[name].text)
    with pytest.raises(UsageError, match=words):
        getattr(model, query)(given)


def test_a_joint_model_encodes_what_its_encoder_reads_alone() -> None:
    assert model_of(CASES["joint_vae"].text).encode({"x": torch.zeros(2, 1, 8, 8)})["z"].shape == (2, 4)


def test_scores_of_a_class_prior_are_those_of_the_metrics() -> None:
    """Classification takes batches whose label is hidden as well as shown."""
    graph = graph_of(BINARY_Y + CASES["joint_vae"].text.split("label}}", 1)[1])
    data = dataset(graph, Path())
    batch = data.parts["test"].batch(torch.arange(8))
    said = compile_model(graph).classify(batch, 3)["y"]
    assert said.shape == (8,)
    assert said.dtype == torch.int64


def test_a_code_of_unit_pixels_can_be_interpolated() -> None:
    model = model_of(
        UNIT
        + "\nencoder: {z: {given: x, dist: deterministic, shape: [3], net: mlp}}\ndecoder: {x: {given: z, "
        "dist: normal, net: mlp}}"
    )
    one, two = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8)
    path = model.interpolate(one, two, steps=4)["x"]
    torch.testing.assert_close(path[0], model.reconstruct(one)["x"])
    torch.testing.assert_close(path[-1], model.reconstruct(two)["x"])
    assert not torch.allclose(path[0], path[-1])
