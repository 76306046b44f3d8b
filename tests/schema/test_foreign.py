"""Words of other libraries: what the advice tells to write is itself accepted by the loader."""

from __future__ import annotations

import re

import pytest

from gendsl.errors import SpecError
from gendsl.schema.foreign import FOREIGN, FOREIGN_AT
from gendsl.schema.load import loads
from gendsl.schema.registry import table
from gendsl.schema.spec import Spec
from gendsl.schema.walk import fields, homes

SECTIONS = "|".join(fields(Spec))
FRAGMENTS = sorted(
    {
        (word, found.group(1))
        for words in (FOREIGN, *FOREIGN_AT.values())
        for word, foreign in words.items()
        for found in re.finditer(
            rf"write ((?:{SECTIONS}|let): [^;]*?)(?=;|$| and use| \(or|, or )", foreign.advice
        )
        if not found.group(1).startswith(("flow: [", "requires:"))
    }
)
"""What is told to write, where that is a whole section."""


def codes(text: str) -> set[str]:
    try:
        loads(f"gendsl: 1\n{text}\n")
    except SpecError as error:
        return {d.code for d in error.diagnostics}
    return set()


@pytest.mark.parametrize(("word", "fragment"), FRAGMENTS, ids=str)
def test_the_advice_can_be_written(word: str, fragment: str) -> None:
    needed = {"GD202"} if fragment.startswith(("adversary", "data")) else set()
    assert codes(fragment) <= needed


def test_most_words_have_a_fragment() -> None:
    assert len({word for word, _ in FRAGMENTS}) > 60


@pytest.mark.parametrize("word", FOREIGN)
def test_a_word_at_the_top_or_in_its_place_is_one_message_with_the_advice(word: str) -> None:
    with pytest.raises(SpecError) as caught:
        loads(f"gendsl: 1\n{word}: 3\n")
    (found,) = caught.value.diagnostics
    assert found.code == "GD201"
    assert FOREIGN[word].advice == found.help or "did you mean" in found.label
    assert found.place is not None
    assert (found.place.start.line, found.place.start.column) == (2, 1)


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("dist", "prior: {{z: {{dist: {}}}}}"),
        ("net", "nets: {{a: {}}}"),
        ("flow", "prior: {{z: {{dist: normal, flow: [{}]}}}}"),
    ],
)
def test_a_component_of_another_library_is_unknown_and_told_what_it_is_here(kind: str, where: str) -> None:
    told = 0
    for word, foreign in FOREIGN.items():
        if foreign.ours not in table(kind):
            continue
        with pytest.raises(SpecError) as caught:
            loads(f"gendsl: 1\n{where.format(word)}\n")
        (found,) = caught.value.diagnostics
        assert found.code == "GD210"
        assert foreign.ours in found.label
        told += 1
    assert told > 0


def test_paths_lead_to_keys_that_exist() -> None:
    for word, foreign in FOREIGN.items():
        first, *rest = re.sub(r"\[\d+\]", "", foreign.ours).split(".")
        if (
            first not in fields(Spec)
            or not rest
            or rest[-1] in ("z", "x", "d", "codes", "dim", "pseudo_inputs", "bins")
        ):
            continue
        assert homes(rest[-1], Spec), word


@pytest.mark.parametrize(
    ("key", "value"),
    [("lr", "0.01"), ("learning_rate", "0.01"), ("weight_decay", "0.1"), ("betas", "[0.9, 0.99]")],
)
def test_a_word_of_others_that_is_a_key_one_level_down_shows_the_whole_path(key: str, value: str) -> None:
    with pytest.raises(SpecError) as refused:
        loads(f"gendsl: 1\nprior: {{z: {{dist: normal, shape: [4]}}}}\ntrain: {{{key}: {value}}}\n")
    [found] = refused.value.diagnostics
    assert found.label == f"here it is {FOREIGN[key].ours}"
    assert found.help == FOREIGN[key].advice


def test_a_full_covariance_is_a_scale() -> None:
    with pytest.raises(SpecError) as refused:
        loads("gendsl: 1\nprior: {z: {dist: normal, covariance: full, shape: [4]}}\n")
    [found] = refused.value.diagnostics
    assert (found.code, found.message) == ("GD201", "unknown key 'covariance' in prior.z")
    assert found.label == "did you mean 'scale'?"
    assert codes("prior: {z: {dist: normal, scale: full, shape: [4]}}") == set()


PLACES = {
    ("adversary",): "adversary: {{disc: {{sees: x, net: mlp, {}: 3}}}}",
    ("train", "players"): "train: {{players: {{{}: {{}}}}}}",
    ("train",): "train: {{{}: 3}}",
    ("objective",): "objective: {{{}: 3}}",
}


@pytest.mark.parametrize(("place", "word"), [(p, w) for p, words in FOREIGN_AT.items() for w in words])
def test_a_word_that_means_something_else_at_its_place_is_one_message_with_that_advice(
    place: tuple[str, ...], word: str
) -> None:
    with pytest.raises(SpecError) as caught:
        loads(f"gendsl: 1\n{PLACES[place].format(word)}\n")
    (found,) = caught.value.diagnostics
    assert found.code == "GD201"
    advice = FOREIGN_AT[place][word].advice
    assert found.help == (advice.replace("{d:", "{disc:") if place == ("adversary",) else advice)
    assert found.place is not None
    assert found.place.start.column == PLACES[place].format(word).index(f"{word}: ") + 1


@pytest.mark.parametrize(
    ("body", "column", "help_"),
    [
        ("adversary: {d: {sees: x, net: mlp, penalty: {type: r1, gamma: 10}}}", 56, "write weight: 10"),
        ("adversary: {d: {sees: x, net: mlp, unroll: {K: 5}}}", 45, "unroll: {steps: 5}"),
        ("adversary: {d: {given: x, net: mlp}}", 17, "write sees: x"),
        ("adversary: {d: {sees: x, net: mlp, loss: wgan-gp}}", 42, "penalty: {type: gradient"),
    ],
)
def test_words_of_gans_inside_an_adversary(body: str, column: int, help_: str) -> None:
    with pytest.raises(SpecError) as caught:
        loads(f"gendsl: 1\n{body}\n")
    (found,) = caught.value.diagnostics
    assert found.place is not None
    assert found.place.start.column == column
    assert help_ in found.help
