"""Nearest names, and the table of other libraries' words."""

from __future__ import annotations

import re
from itertools import product

import pytest

from gendsl.schema.suggest import FOREIGN, did_you_mean, edit_distance, listing, nearest

FLOWS = [
    "actnorm",
    "coupling",
    "inverse_ar",
    "inv_1x1_conv",
    "masked_ar",
    "permute",
    "planar",
    "radial",
    "split",
    "squeeze",
]
SECTIONS = {
    *(
        "name",
        "extends",
        "requires",
        "let",
        "data",
        "variables",
        "condition",
        "prior",
        "decoder",
        "flow",
        "energy",
    ),
    *(
        "ordering",
        "corruption",
        "encoder",
        "adversary",
        "nets",
        "objective",
        "train",
        "evaluate",
        "sample",
        "run",
    ),
}
KEYS = {
    *(
        "optim",
        "lr",
        "betas",
        "weight_decay",
        "clip",
        "schedule",
        "epochs",
        "steps",
        "batch_size",
        "ema",
        "validate",
    ),
    *(
        "patience",
        "every",
        "checkpoint",
        "seed",
        "device",
        "precision",
        "compile",
        "threads",
        "bind",
        "as",
        "source",
    ),
    *(
        "observed",
        "shape",
        "metrics",
        "kl",
        "weight",
        "warmup",
        "free_bits",
        "bound",
        "samples",
        "n",
        "penalty",
    ),
    *(
        "smoothing",
        "given",
        "net",
        "hidden",
        "layers",
        "width",
        "heads",
        "dist",
        "repeat",
        "bins",
        "codes",
        "scale",
        "dim",
    ),
    *("classes", "pseudo_inputs", "x", "z", "c", "d"),
}
COMPONENTS = {
    *("normal", "deterministic", "categorical", "coupling", "masked_ar", "inverse_ar", "actnorm", "permute"),
    *("continuous", "mlp", "conv_down", "conv_up", "transformer", "style", "vq", "vamp", "wasserstein"),
    *("differentiable", "adaptive"),
    *("least_squares", "saturating", "spectral"),
}
ASKED = """lr learning_rate num_epochs n_epochs max_epochs max_steps generator discriminator critic guide
posterior likelihood latent_dim z_dim n_latent beta kld_weight hidden_features hidden_dims hidden_size units
context trainer optimizer batchsize gaussian normalising_flow real_nvp num_layers n_layers latent latents
model loss_fn dataset dataloader transforms inference_model generative recognition kl_weight anneal
num_samples n_samples gpus cuda accelerator fp16 random_state"""


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("planer", "planar"),
        ("Planar", "planar"),
        ("PLANAR", "planar"),
        ("masked-ar", "masked_ar"),
        ("maskedar", "masked_ar"),
        ("act_norm", "actnorm"),
        ("couplign", "coupling"),
        ("sqeeze", "squeeze"),
        ("perm", "permute"),
        ("inverse", "inverse_ar"),
    ],
)
def test_slips(word: str, first: str) -> None:
    assert nearest(word, FLOWS)[0] == first


def test_gausian_is_a_slip_for_gaussian() -> None:
    assert nearest("gausian", ["normal", "gaussian", "laplace"]) == ["gaussian"]


@pytest.mark.parametrize("word", ["", "q", "xyzzy", "transformer", "p" * 1000, "日本"])
def test_words_that_are_near_to_nothing(word: str) -> None:
    assert nearest(word, FLOWS) == []


def test_the_answer_is_bounded_and_does_not_depend_on_the_order() -> None:
    names = [f"net{i}" for i in range(9)]
    assert nearest("net", names) == nearest("net", reversed(names))
    assert len(nearest("net", names)) == 3
    assert len(nearest("net", names, limit=1)) == 1
    assert nearest("x", ["y", "z"]) == []


def test_every_single_slip_in_a_name_finds_it() -> None:
    for name in FLOWS:
        for at in range(1, len(name) - 1):
            swapped = name[:at] + name[at + 1] + name[at] + name[at + 2 :]
            for slip in (
                name[:at] + name[at + 1 :],
                name[:at] + "q" + name[at + 1 :],
                name[:at] + "q" + name[at:],
                swapped,
            ):
                assert nearest(slip, FLOWS)[0] == name


def test_edit_distance_is_symmetric_and_counts_swaps_once() -> None:
    words = ["", "a", "ab", "ba", "abc", "acb", "planar", "planer", "plnaar"]
    for a, b in product(words, words):
        assert edit_distance(a, b) == edit_distance(b, a)
        assert (edit_distance(a, b) == 0) == (a == b)
        assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))
    assert edit_distance("planar", "plnaar") == edit_distance("planar", "planer") == 1


def test_did_you_mean() -> None:
    assert did_you_mean([]) == ""
    assert did_you_mean(["a"]) == "did you mean 'a'?"
    assert did_you_mean(["a", "b", "c"]) == "did you mean 'a', 'b' or 'c'?"


def test_listing_is_bounded() -> None:
    assert listing(["a", "b"]) == "a, b"
    assert listing("abc", limit=2) == "a, b, ..."


def test_the_table_has_the_words_of_the_field() -> None:
    assert len(FOREIGN) >= 60
    assert [word for word in ASKED.split() if word not in FOREIGN] == []


@pytest.mark.parametrize("word", FOREIGN)
def test_a_foreign_word_leads_into_the_language(word: str) -> None:
    foreign = FOREIGN[word]
    first, *rest = re.sub(r"\[\d+\]", "", foreign.ours).split(".")
    assert first in SECTIONS or (not rest and first in COMPONENTS)
    assert set(rest) <= KEYS | {"flow", "prior"}
    assert foreign.advice
    assert foreign.ours != word
