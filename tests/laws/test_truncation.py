"""Laws of top-k and nucleus sampling: draws follow the cut distribution, entry by entry, in every kind of factor."""

from __future__ import annotations

import itertools

import pytest
import torch

from gendsl.compiler.build import build
from gendsl.compiler.pipeline import analyse
from gendsl.errors import SpecError, UsageError
from gendsl.nn.model import Model
from gendsl.nn.truncation import Cut
from gendsl.runtime.verify.subject import perturb
from gendsl.schema.load import loads

SPEC = """
gendsl: 1
data: {source: memory, rows: 40, columns: {w: {dtype: int64, shape: [3], classes: 4}}, bind: {x: w}}
BODY
train: {batch_size: 10}
"""
BODIES = {
    "in order": "ordering: {x: reverse}\ndecoder: {x: {dist: categorical, net: {type: gru, width: 6}}}",
    "at once": "decoder: {x: {dist: categorical}}",
}
CUTS = [Cut(2, None), Cut(None, 0.6), Cut(3, 0.7), Cut(1, None), Cut(9, 1.0)]
N = 20_000


def model_of(body: str) -> Model:
    torch.manual_seed(0)
    model = build(analyse(loads(SPEC.replace("BODY", body)))).double().eval()
    perturb(model, 0.7)
    return model


def by_hand(p: torch.Tensor, cut: Cut) -> torch.Tensor:
    """Probabilities [..., K] cut in words: sort, keep, divide."""
    found = torch.zeros_like(p)
    for index in itertools.product(*(range(s) for s in p.shape[:-1])):
        ranked = sorted(enumerate(p[index].tolist()), key=lambda pair: -pair[1])
        ranked = ranked[: cut.top_k] if cut.top_k is not None else ranked
        total, kept = sum(q for _, q in ranked), []
        for place, _ in ranked:
            kept.append(place)
            if cut.top_p is not None and sum(p[index][k].item() for k in kept) / total >= cut.top_p - 1e-12:
                break
        found[index][kept] = p[index][kept] / p[index][kept].sum()
    return found


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_logits_are_cut_as_in_words(cut: Cut) -> None:
    torch.manual_seed(0)
    logits = 2 * torch.randn(50, 6, dtype=torch.float64)
    torch.testing.assert_close(torch.softmax(cut(logits), -1), by_hand(torch.softmax(logits, -1), cut))


def test_of_equal_values_as_many_stay_as_were_asked_for() -> None:
    logits = torch.zeros(2, 5)
    assert torch.isfinite(Cut(2)(logits)).sum(-1).tolist() == [2, 2]
    assert torch.isfinite(Cut(None, 0.5)(logits)).sum(-1).tolist() == [3, 3]


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("cut", CUTS[:3], ids=str)
@pytest.mark.parametrize("name", BODIES)
@torch.no_grad()
def test_draws_follow_the_cut_distribution(name: str, cut: Cut, temperature: float) -> None:
    model = model_of(BODIES[name])
    states = torch.tensor(list(itertools.product(range(4), repeat=3)))
    factor = model.distribution("decoder.x", {}, 64)
    raw = factor.raw(states) if name == "in order" else factor.raw  # type: ignore[attr-defined]
    each = by_hand(torch.softmax(raw.movedim(1, -1) / temperature, -1), cut)  # [64, 3, 4]
    wanted = each.gather(2, states[:, :, None])[:, :, 0].prod(1)
    assert float(wanted.sum()) == pytest.approx(1, abs=1e-9)
    torch.manual_seed(1)
    drawn = model.sample(N, None, temperature, top_k=cut.top_k, top_p=cut.top_p)["x"]
    counts = torch.bincount((drawn * torch.tensor([16, 4, 1])).sum(1), minlength=64).double() / N
    assert float((counts - wanted).abs().sum() / 2) < 0.02
    assert bool((counts[wanted == 0] == 0).all())
    assert float((torch.softmax(factor.log_prob(states) / 1.0, 0) - wanted).abs().sum() / 2) > 0.05


def test_what_is_not_categorical_cannot_be_cut() -> None:
    spec = loads(
        SPEC.replace("classes: 4", "low: 0, high: 1").replace("BODY", "decoder: {x: {dist: bernoulli}}")
    )
    with pytest.raises(UsageError, match="none of x is drawn from a categorical"):
        build(analyse(spec)).sample(2, top_k=1)
    with pytest.raises(SpecError, match="GD507"):
        analyse(
            loads(
                SPEC.replace("classes: 4", "low: 0, high: 1").replace(
                    "BODY", "decoder: {x: {dist: bernoulli}}\nsample: {top_p: 0.5}"
                )
            )
        )
