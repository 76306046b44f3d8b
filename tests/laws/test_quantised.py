"""Laws of vector quantisation: the nearest codeword, the two halves of its loss, what reads which representation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gendsl.compiler.build import build
from gendsl.compiler.graph import How
from gendsl.compiler.pipeline import analyse
from gendsl.nn.model import Model
from gendsl.nn.quantised import VqFamily
from gendsl.runtime.verify.subject import perturb
from gendsl.schema.components.dist_quantised import Vq
from gendsl.schema.load import loads

CODES, DIM = 5, 3
SPEC = f"""
gendsl: 1
data: {{source: memory, rows: 40, columns: {{a: {{shape: [6]}}}}, bind: {{x: a}}}}
train: {{batch_size: 10}}
ordering: {{c: {{type: natural}}}}
prior: {{c: {{dist: categorical, net: {{type: made, hidden: [20]}}}}}}
decoder: {{x: {{given: c, dist: normal, net: {{type: mlp, hidden: [8]}}}}}}
encoder: {{c: {{given: x, dist: {{type: vq, codes: {CODES}, dim: {DIM}}}, shape: [2], net: {{type: mlp, hidden: [8]}}}}}}
"""


def compiled() -> Model:
    torch.manual_seed(0)
    model = build(analyse(loads(SPEC))).double()
    perturb(model, 0.3)
    model.loss("model", model.batch({"x": values()}))
    return model


def values(rows: int = 40) -> Tensor:
    return torch.randn(rows, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def family() -> VqFamily:
    torch.manual_seed(1)
    return VqFamily(Vq(codes=CODES, dim=DIM), (2, 2)).double().eval()


def test_the_nearest_codeword_by_brute_force() -> None:
    quantiser = family()
    raw = torch.randn(7, DIM, 2, 2, dtype=torch.float64)
    found = quantiser.quantise(raw)
    for n in range(7):
        for i in range(2):
            for j in range(2):
                each = (quantiser.codebook - raw[n, :, i, j]).square().sum(1)
                assert int(found.codes[n, i, j]) == int(each.argmin())
                assert torch.allclose(found.words[n, :, i, j], quantiser.codebook[each.argmin()], rtol=1e-12)
    apart = (raw - quantiser.embed(found.codes)).square().flatten(1).sum(1)
    assert torch.allclose(found.loss, 1.25 * apart, rtol=1e-12)
    assert float(apart.detach().min()) > 0
    assert torch.equal(quantiser.nearest(quantiser.embed(found.codes)), found.codes)


def test_gradients_go_straight_through_and_the_loss_is_split() -> None:
    quantiser = family()
    raw = torch.randn(4, DIM, 2, 2, dtype=torch.float64, requires_grad=True)
    found = quantiser.quantise(raw)
    direction = torch.randn_like(raw)
    straight, book = torch.autograd.grad(
        (found.words * direction).sum(), [raw, quantiser.codebook], retain_graph=True, allow_unused=True
    )
    assert torch.equal(straight, direction)
    assert book is None or float(book.abs().max()) == 0.0
    to_raw, to_book = torch.autograd.grad(found.loss.sum(), [raw, quantiser.codebook])
    words = quantiser.embed(found.codes)
    assert torch.allclose(to_raw, 0.25 * 2 * (raw - words), rtol=1e-12)
    wanted = torch.zeros_like(quantiser.codebook)
    apart = (2 * (words - raw)).movedim(1, -1).reshape(-1, DIM)
    wanted.index_add_(0, found.codes.flatten(), apart.detach())
    assert torch.allclose(to_book, wanted, rtol=1e-12)


def test_the_first_batch_of_training_sets_the_codewords() -> None:
    quantiser = family().train()
    raw = 100 + torch.randn(50, DIM, 2, 2, dtype=torch.float64)
    quantiser.quantise(raw)
    assert bool(quantiser.started)
    assert abs(float(quantiser.codebook.detach().mean()) - 100) < 2
    before = quantiser.codebook.detach().clone()
    quantiser.quantise(raw + 5)
    assert torch.equal(before, quantiser.codebook)


def test_terms_by_hand() -> None:
    model = compiled()
    x = values()
    assert model.graph.routes["c"].how is How.QUANTISED
    terms = model.loss("model", model.batch({"x": x})).terms
    code = model.encode({"x": x})["c"]
    log_x = model.distribution("decoder.x", {"c": code}, len(x)).log_prob(x).detach()
    log_c = model.distribution("prior.c", {}, len(x)).log_prob(code).detach()
    assert float(terms["reconstruction.x"]) == pytest.approx(-float(log_x.mean()), rel=1e-10)
    assert float(terms["prior.c"]) == pytest.approx(-float(log_c.mean()), rel=1e-10)
    raw = model.distribution("encoder.c", {"x": x}, len(x)).raw  # type: ignore[attr-defined]
    apart = model.codebook("c").quantise(raw).loss.detach()
    assert float(terms["codebook.c"]) == pytest.approx(float(apart.mean()), rel=1e-10)
    assert float(terms["codebook.c"]) > 0.01


def test_log_prob_is_one_term_of_the_sum_over_all_codes() -> None:
    model = compiled()
    x = values()
    code = model.encode({"x": x})["c"]
    lower = model.log_prob({"x": x})
    joint = []
    for state in range(CODES**2):
        c = torch.tensor([state // CODES, state % CODES]).expand(len(x), 2)
        log_c = model.distribution("prior.c", {}, len(x)).log_prob(c)
        joint.append(log_c + model.distribution("decoder.x", {"c": c}, len(x)).log_prob(x))
        mine = (code == c).all(1)
        assert torch.allclose(lower[mine], joint[-1][mine].detach(), rtol=1e-10)
    whole = torch.logsumexp(torch.stack(joint), 0)
    assert bool((lower < whole).all())
    assert math.isfinite(float(lower.min()))


def test_the_decoder_reads_codewords_and_the_prior_does_not_move_them() -> None:
    model = compiled()
    batch = model.batch({"x": values()})
    loss = model.loss("model", batch, terms=["prior.c"]).total
    owned = [p for _, p in model.parameters_of(["encoder.c", "decoder.x"])]
    assert all(g is None for g in torch.autograd.grad(loss, owned, allow_unused=True))
    (width,) = {i.width for i in model.graph.factors["decoder.x"].inputs}
    assert width == 2 * DIM
    sample = model.sample(4)["x"]
    assert sample.shape == (4, 6)
