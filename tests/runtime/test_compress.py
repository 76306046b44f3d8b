"""Compression: exact round trips, and files as long as the model claims."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gendsl.compiler.pipeline import analyse
from gendsl.errors import UsageError
from gendsl.nn.model import Model
from gendsl.runtime import compress as runtime
from gendsl.runtime.compress.bits_back import WINDOW, Latents
from gendsl.runtime.compress.packed import DIGEST, KIND, MAGIC
from gendsl.runtime.compress.tables import coder
from gendsl.runtime.initial import compile_model, untrained
from gendsl.runtime.verify.subject import perturb
from gendsl.schema.load import load, loads

pytest.importorskip("constriction")
LABELLED = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [ordinal]}, y: label}}
ordering: {x: {type: raster}}
decoder:
  y: {dist: {type: categorical, logits: learned}}
  x: {given: y, dist: categorical, net: {type: made, hidden: [16]}}
"""
TWO_LATENTS = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}}}
prior: {z: {dist: normal, shape: [3]}, w: {dist: {type: normal, scale: 2.0}, shape: [2]}}
decoder: {x: {given: [z, w], dist: bernoulli, net: {type: mlp, hidden: [12]}}}
encoder:
  w: {given: x, dist: normal, net: {type: mlp, hidden: [12]}}
  z: {given: [x, w], dist: normal, net: {type: mlp, hidden: [12]}}
"""

DENOISER = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}}}
corruption: {x_noisy: {given: x, dist: salt_and_pepper, rate: 0.3}}
prior: {z: {dist: normal, shape: [3]}}
decoder: {x: {given: z, dist: bernoulli, net: {type: mlp, hidden: [12]}}}
encoder: {z: {given: x_noisy, dist: normal, net: {type: mlp, hidden: [12]}}}
"""


def model_of(spec: str, rows: int) -> tuple[Model, dict[str, Tensor]]:
    """A model at drawn parameters, and rows of its data."""
    graph, model, data = untrained(loads(spec) if "\n" in spec else load(spec))
    perturb(model, 0.1)
    model.eval()
    part = data.parts["train"]
    batch = part.batch(torch.arange(min(rows, part.rows)))
    return model, {name: batch.values[name] for name in graph.scored}


@pytest.mark.parametrize(
    ("spec", "rows", "within"),
    [
        (LABELLED, 100, 0.002),
        (TWO_LATENTS, 150, 0.05),
        (DENOISER, 150, 0.05),
        ("vae", 150, 0.05),
        ("pixelcnn", 3, 0.05),
    ],
    ids=["labelled", "two_latents", "denoiser", "vae", "pixelcnn"],
)
def test_rows_come_back_exactly_in_as_many_bits_as_claimed(spec: str, rows: int, within: float) -> None:
    torch.manual_seed(0)
    model, values = model_of(spec, rows)
    packed = runtime.compress(model, values)
    again = runtime.decompress(model, packed)
    assert set(again) == set(values)
    for name, value in values.items():
        assert again[name].dtype == value.dtype
        assert torch.equal(again[name], value)
    assert 8 * packed.size == pytest.approx(packed.claimed, rel=within)
    score = -float(model.log_prob(values, 1).sum()) / math.log(2)
    exact = not model.graph.routes
    assert packed.claimed == pytest.approx(score, rel=1e-5 if exact else 0.05)


def test_a_long_file_is_within_one_percent_of_minus_the_elbo() -> None:
    torch.manual_seed(0)
    model, values = model_of("vae", 1000)
    packed = runtime.compress(model, values)
    bound = -float(model.elbo(values, 20).sum()) / math.log(2)
    assert 8 * packed.size == pytest.approx(packed.claimed, rel=0.01)
    assert 8 * packed.size == pytest.approx(bound, rel=0.01)


def test_files_are_read_by_their_own_model_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, values = model_of(TWO_LATENTS, 4)
    path = tmp_path / "rows.bin"
    assert runtime.write(path, model, runtime.compress(model, values)) == path.stat().st_size
    again = runtime.decompress(model, runtime.read(path, model))
    assert torch.equal(again["x"], values["x"])
    other, _ = model_of(TWO_LATENTS, 1)
    with pytest.raises(UsageError, match="other parameters"):
        runtime.read(path, other)
    path.write_bytes(b"something else")
    with pytest.raises(UsageError, match="not a compressed file"):
        runtime.read(path, model)


def test_values_that_cannot_be_coded_are_refused() -> None:
    model, values = model_of(TWO_LATENTS, 2)
    with pytest.raises(UsageError, match="outside"):
        runtime.compress(model, {"x": values["x"] + 0.5})
    with pytest.raises(UsageError, match="for each row"):
        runtime.compress(model, {"x": values["x"][:, 0]})
    with pytest.raises(UsageError, match="needs x"):
        runtime.compress(model, {})
    gan, _ = model_of("gan", 1)
    with pytest.raises(UsageError, match="cannot be asked to compress"):
        runtime.compress(gan, {})


def test_a_model_without_data_is_refused_by_its_plan() -> None:
    target = compile_model(analyse(load("planar_flow_2d")))
    with pytest.raises(UsageError, match="an energy tilts z"):
        runtime.compress(target, {})


def test_a_narrow_latent_stays_near_its_mean() -> None:
    """The coder leaves 2^-24 to every value: over a whole grid one of 2,000 draws would lie anywhere."""
    model, _ = model_of("vae", 1)
    latents = Latents(model, coder())
    random = np.random.default_rng(0)
    stack = random.integers(1, 2**32, 40000, dtype=np.uint32)
    ans = coder().stack.AnsCoder(stack, True)
    drawn = []
    for _ in range(1500):
        mean = random.uniform(-latents.grid, latents.grid, 16)
        scale = 2.0 ** random.uniform(-3, 6, 16)
        drawn.append((mean, scale, latents.decode(ans, mean, scale)))
    assert max(np.abs((s - m) / np.maximum(d, 1)).max() for m, d, s in drawn) < 4 * WINDOW
    for mean, scale, symbols in reversed(drawn):
        latents.encode(ans, symbols, mean, scale)
    assert np.array_equal(ans.get_compressed(unseal=True), stack)


def test_a_file_of_another_format_is_not_decoded(tmp_path: Path) -> None:
    """Its words would come out as other rows, and nothing else would tell."""
    model, values = model_of("vae", 2)
    file = tmp_path / "a.bin"
    runtime.write(file, model, runtime.compress(model, values))
    body = file.read_bytes()[:-DIGEST].replace(MAGIC, KIND + b"1\n", 1)
    file.write_bytes(body + hashlib.sha256(body).digest())
    with pytest.raises(UsageError, match="another version of gendsl"):
        runtime.read(file, model)
