"""Players and stages: who changes which factors by which terms, and what nothing trains (docs/semantics.md, section
9).
"""

from __future__ import annotations

import pytest

from gendsl.compiler.explain import as_text
from gendsl.compiler.passes.players import reaches
from tests.compiler.cases import BINARY, CASES, GAN, UNIT, VAE, graph_of, messages, problems


@pytest.mark.parametrize(
    ("name", "term", "factors"),
    [
        ("vae", "reconstruction.x", "decoder.x encoder.z"),
        ("vae", "kl.z", "encoder.z prior.z"),
        ("hierarchical_vae", "reconstruction.x", "decoder.x encoder.z1"),
        ("hierarchical_vae", "kl.z2", "encoder.z1 encoder.z2 prior.z2"),
        ("hierarchical_vae", "kl.z1", "encoder.z1 encoder.z2 prior.z1"),
        ("semi_supervised_vae", "kl.y", "encoder.y prior.y"),
        ("semi_supervised_vae", "kl.z", "encoder.y encoder.z prior.z"),
        ("semi_supervised_vae", "likelihood.y", "prior.y"),
        ("semi_supervised_vae", "classification.y", "encoder.y"),
        ("chain_of_observed", "likelihood.y", "decoder.y"),
        ("mixture_of_two_observed", "likelihood.x", "decoder.x prior.c"),
        ("mixture_of_two_observed", "likelihood.y", "decoder.x decoder.y prior.c"),
        ("realnvp", "likelihood.x", "flow.x prior.z"),
        ("autoencoder_second_stage", "reconstruction.x", "decoder.x encoder.z"),
        ("autoencoder_second_stage", "prior.z", "prior.z"),
        ("infogan", "mutual_information.c", "decoder.x encoder.c prior.z"),
        ("adversarial_vb", "adversary.d", "encoder.z"),
        ("adversarial_vb", "critic.d", "adversary.d"),
        ("vae_gan", "reconstruction.x", "decoder.x encoder.z"),
        ("wasserstein_autoencoder_mmd", "mmd.z", "encoder.z prior.z"),
        ("shared_trunk", "kl.z", "encoder.w encoder.z prior.z"),
        ("iwae_hierarchy", "kl.z2", "decoder.x encoder.z1 encoder.z2 prior.z1 prior.z2"),
    ],
)
def test_the_factors_that_a_gradient_reaches(name: str, term: str, factors: str) -> None:
    graph = graph_of(CASES[name].text)
    found = next(t for t in graph.terms if t.name == term)
    assert sorted(reaches(graph, found)) == factors.split()


def test_one_player_where_there_is_no_critic() -> None:
    graph = graph_of(BINARY + VAE)
    (player,) = graph.players
    assert player.name == "model"
    assert set(player.factors) == {"prior.z", "decoder.x", "encoder.z"}
    assert player.terms == ("reconstruction.x", "kl.z")


def stage_players(body: str) -> list[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]]:
    return [{p.name: (p.factors, p.terms) for p in s.players} for s in graph_of(body).stages]


def test_a_stage_changes_what_it_fits_by_the_terms_that_reach_it() -> None:
    body = CASES["autoencoder_second_stage"].text
    first, second = stage_players(body)
    assert first == {"model": (("decoder.x", "encoder.z"), ("reconstruction.x",))}
    assert second == {"model": (("prior.z",), ("prior.z",))}
    assert [s.steps for s in graph_of(body).stages] == [1, 1]


def test_explain_says_how_long_a_stage_is() -> None:
    stages = "stages: [{fit: [encoder.z, decoder.x]}, {fit: prior.z, steps: 7}]"
    body = CASES["autoencoder_second_stage"].text.split("train:")[0]
    for length, first in (("epochs: 3, ", "3 epochs"), ("steps: 5, ", "5 steps"), ("", "2000 steps")):
        lines = [
            s for s in as_text(graph_of(f"{body}train: {{{length}{stages}}}")).splitlines() if "stage " in s
        ]
        assert [s.split("(")[1].split(")")[0] for s in lines] == [first, "7 steps"]


def test_stages_of_critics() -> None:
    body = (
        CASES["two_adversaries"].text
        + "train: {stages: [{fit: [encoder.z, adversary.codes]}, {fit: [decoder.x, adversary.pixels], steps: "
        "3}]}"
    )
    first, second = stage_players(body)
    assert first == {
        "adversary.codes": (("adversary.codes",), ("critic.codes",)),
        "model": (("encoder.z",), ("reconstruction.x", "adversary.codes")),
    }
    assert set(second) == {"adversary.pixels", "model"}
    assert second["model"] == (("decoder.x",), ("reconstruction.x", "adversary.pixels"))
    assert [s.steps for s in graph_of(body).stages] == [None, 3]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (BINARY + VAE + "train: {stages: [{fit: [encodr.z]}]}", "did you mean|no factor of this model"),
        (BINARY + VAE + "train: {stages: [{fit: adversary.d}]}", "no factor of this model"),
        (BINARY + VAE + "train: {players: {adversary: {d: {}}}}", "there is no adversary 'd'"),
    ],
)
def test_stages_and_players_name_what_there_is(body: str, words: str) -> None:
    assert [code for code, _ in problems(body)] == ["GD509"]
    assert any(w in messages(body) for w in words.split("|"))


def test_what_nothing_trains_is_a_warning() -> None:
    frozen = graph_of(BINARY + VAE + "train: {stages: [{fit: [encoder.z], steps: 2}]}")
    assert [(n.code, n.severity) for n in frozen.notes] == [("GD515", "warning")]
    assert "decoder.x" in frozen.notes[0].message
    assert graph_of(BINARY + VAE).notes == ()
    unweighted = (
        BINARY + VAE.replace("dist: normal, shape", "dist: vamp, shape") + "objective: {kl: {z: {weight: 0}}}"
    )
    assert [n.message for n in graph_of(unweighted).notes] == [
        "nothing trains prior.z: no term of the objective reaches it"
    ]
    idle = unweighted + "\ntrain: {stages: [{fit: [encoder.z, decoder.x]}, {fit: [prior.z]}]}"
    assert [code for code, _ in problems(idle)] == ["GD509"]
    linear = UNIT + VAE.replace("bernoulli", "normal") + "nets: {}"
    assert graph_of(linear).notes == ()


def test_a_players_optimiser_changes_keys_of_the_common_one() -> None:
    spec = graph_of(
        UNIT
        + GAN
        + "train: {optim: {type: adamw, lr: 2e-4, weight_decay: 0.1}, "
        + "players: {adversary: {d: {optim: {lr: 4e-4}}}, model: {optim: sgd}}}"
    ).spec
    critic, model = spec.train.players.adversary["d"].optim, spec.train.players.model.optim
    assert critic is not None
    assert model is not None
    assert critic.model_dump() == {**spec.train.optim.model_dump(), "lr": 4e-4}
    assert model.tag == "sgd"
    assert model.model_dump() == type(model)().model_dump()
