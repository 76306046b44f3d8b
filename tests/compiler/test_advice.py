"""Advice that can be followed to the letter: the section that `help` names, laid over the spec, is accepted."""

from __future__ import annotations

import re

import pytest
import yaml

from gendsl.compiler.pipeline import analyse
from gendsl.errors import SpecError
from gendsl.schema.load import loads
from tests.compiler.cases import BINARY, UNIT, VAE, spec_text

LATENT = "\nprior: {c: {dist: %s, shape: [3]}}\ndecoder: {x: {given: c, dist: bernoulli, net: mlp}}"
ENCODER = "\ndecoder: {x: {given: c, dist: bernoulli, net: mlp}}\nencoder: {c: {given: x, dist: %s, shape: [2], net: mlp}}"
FLOW = "\nprior: {u: {dist: normal}}\nflow: {x: {given: u, stack: [{type: coupling}]}}"
SECTION = re.compile(r"\b(prior|encoder|ordering|objective|data|adversary|energy): \{")


def advised(help_: str) -> list[dict[str, object]]:
    """The sections that a help text writes out, each as a map."""
    found = []
    for match in SECTION.finditer(help_):
        depth, end = 0, match.end() - 1
        for end in range(match.end() - 1, len(help_)):
            depth += {"{": 1, "}": -1}.get(help_[end], 0)
            if depth == 0:
                break
        found.append(yaml.safe_load(help_[match.start() : end + 1]))
    return found


def laid_over(spec: dict[str, object], piece: dict[str, object]) -> dict[str, object]:
    merged = dict(spec)
    for key, value in piece.items():
        under = merged.get(key)
        merged[key] = (
            laid_over(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
        )
    return merged


def refusals(text: str) -> list[tuple[str, str]]:
    try:
        analyse(loads(text))
    except SpecError as error:
        return [(d.code, d.help) for d in error.diagnostics]
    return []


@pytest.mark.parametrize(
    ("body", "code", "pieces"),
    [
        *((BINARY + LATENT % dist, "GD502", 1) for dist in ("normal", "gamma", "beta", "poisson")),
        *((BINARY + ENCODER % dist, "GD502", 1) for dist in ("laplace", "gamma", "beta", "bernoulli")),
        (BINARY + VAE.replace("x, dist: normal, net: mlp", "x, dist: normal, net: made"), "GD504", 1),
        (BINARY + VAE.replace("shape: [4]}", "shape: [4], net: made}"), "GD504", 1),
        ("data: {source: digits, bind: {x: image}}" + FLOW, "GD404", 1),
        (UNIT + FLOW, "GD404", 1),
        (BINARY + VAE.replace("x, dist: normal", "x, dist: deterministic"), "GD511", 2),
    ],
)
def test_advice_can_be_followed_to_the_letter(body: str, code: str, pieces: int) -> None:
    text = spec_text(body)
    ((found, help_),) = refusals(text)
    assert found == code
    sections = advised(help_)
    if "with objective" in help_:
        sections = [laid_over(sections[0], sections[1])]
    assert len(sections) == pieces
    for piece in sections:
        assert refusals(yaml.safe_dump(laid_over(yaml.safe_load(text), piece))) == []


def test_an_energy_of_a_discrete_latent_is_told_what_latents_can_do() -> None:
    body = BINARY + (
        "\nprior: {c: {dist: categorical, classes: 3}}\nenergy: {c: {net: mlp, negatives: langevin}}"
        "\ndecoder: {x: {given: c, dist: bernoulli, net: mlp}}\nencoder: {c: {given: x, dist: categorical, net: mlp}}"
    )
    said = dict(refusals(spec_text(body)))["GD516"]
    assert "dequantize" not in said
