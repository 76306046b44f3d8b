"""Laws of the mixture over all orders: it is normalised, its bound unbiased, its draws right, hidden entries unseen."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from gendsl.compiler.build import build
from gendsl.compiler.pipeline import analyse
from gendsl.nn.any_order import AnyOrder, random_orders
from gendsl.nn.building import builder
from gendsl.nn.distributions import Family
from gendsl.runtime.verify.subject import perturb
from gendsl.schema.components.dist import Bernoulli, Categorical, Dist
from gendsl.schema.components.net_seq import Transformer
from gendsl.schema.facts import BINARY, Input, Inputs, Support, categories
from gendsl.schema.load import loads
from gendsl.schema.registry import function_of

LABEL, WORDS = Input("y", (), categories(5), labels=True), Input("t", (4,), categories(7), labels=True)
PIXELS = Input("target", (2, 2), BINARY)
LETTERS = Input("target", (3,), categories(3), labels=True)
SPEC = Transformer(layers=2, width=8, heads=2)
CROSS = Transformer(layers=1, width=8, heads=2, cross="t")


def subject(
    target: Input, dist: Dist, spec: Transformer = SPEC, inputs: Inputs = (), rows: int = 1
) -> AnyOrder:
    """Drawn parameters, drawn parents (the same on every row), double precision."""
    torch.manual_seed(0)
    net = function_of(spec.cloze)(spec, inputs, target, dist.raw(target.shape, target.support)[0]).double()
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(0.0, 1.6 / (p[0].numel() if p.dim() > 1 else 4) ** 0.5)
    assert sum(p.numel() for p in net.parameters()) == spec.parameters(inputs, target, net.out.out_features)
    family: Family = builder(dist)(dist, target.shape, target.support)
    values = {i.name: torch.randint(0, i.classes, (1, *i.shape)).expand(rows, *i.shape) for i in inputs}
    return AnyOrder(net, family, values, rows, torch.zeros(target.shape, dtype=torch.int64))


def states(target: Input) -> Tensor:
    count = target.support.count or 0
    each = itertools.product(range(count), repeat=torch.Size(target.shape).numel())
    return torch.tensor(list(each)).view(-1, *target.shape)


def along(model: AnyOrder, x: Tensor, order: tuple[int, ...], known: int = 0) -> Tensor:
    """log p of the entries after the first `known` of an order, by definition: [N]."""
    total = torch.zeros(len(x), dtype=torch.float64)
    for turn in range(known, len(order)):
        hidden = torch.ones(len(order), dtype=torch.bool)
        hidden[list(order[:turn])] = False
        raw = model.raw(x, hidden.expand(len(x), -1).reshape(x.shape))
        total += model.family(raw).log_prob(x.double()).reshape(len(x), -1)[:, order[turn]]
    return total


CASES = [(PIXELS, Bernoulli()), (LETTERS, Categorical(classes=3))]


@pytest.mark.parametrize(("target", "dist"), CASES, ids=("pixels", "letters"))
@torch.no_grad()
def test_the_mixture_is_normalised_and_both_estimates_are_unbiased(target: Input, dist: Dist) -> None:
    x = states(target)
    model = subject(target, dist, rows=len(x))
    size = x[0].numel()
    orders = list(itertools.permutations(range(size)))
    log_p = torch.stack([along(model, x, order) for order in orders])  # [D!, N]
    assert float(log_p.exp().mean(0).sum()) == pytest.approx(1, abs=1e-9)
    assert float(log_p.std(0).max()) > 0.01  # the orders do disagree
    times = 400
    wide, many = model.repeat(times), x.repeat(times, *([1] * len(target.shape)))
    for found, expected in (
        (wide.log_prob(many).exp(), log_p.exp().mean(0)),
        (wide.log_prob(many), log_p.mean(0)),
        (wide.bound(many), log_p.mean(0)),
    ):
        draws = found.view(times, len(x))
        z = (draws.mean(0) - expected) / (draws.std(0) / times**0.5 + 1e-9)
        assert float(z.abs().max()) < 4.5
    assert (log_p.mean(0) <= log_p.exp().mean(0).log() + 1e-12).all()


@torch.no_grad()
def test_entries_that_are_not_there_are_left_out() -> None:
    target = LETTERS
    x = states(target)
    model = subject(target, Categorical(classes=3), rows=len(x))
    known = torch.tensor([True, False, True]).expand(len(x), 3)
    other = torch.where(known, x, (x + 1) % 3)
    for score in (model.log_prob, model.bound):
        torch.manual_seed(3)
        one = score(x, known)
        torch.manual_seed(3)
        assert torch.equal(one, score(other, known))
    times = 400
    wide = model.repeat(times)
    exact = torch.stack(
        [along(model, x, (a, b, 1)) - along(model, x, (a, b, 1), known=2) for a, b in ((0, 2), (2, 0))]
    )
    draws = wide.bound(x.repeat(times, 1), known.repeat(times, 1)).view(times, len(x))
    z = (draws.mean(0) - exact.mean(0)) / (draws.std(0) / times**0.5 + 1e-9)
    assert float(z.abs().max()) < 4.5
    assert torch.equal(model.bound(x, torch.zeros_like(known)), torch.zeros(len(x), dtype=torch.float64))


@pytest.mark.parametrize("known", [(), (1,), (0, 3), (1, 2, 3)], ids=str)
@torch.no_grad()
def test_draws_given_any_entries_follow_the_mixture_over_the_rest(known: tuple[int, ...]) -> None:
    x = states(PIXELS)
    model = subject(PIXELS, Bernoulli(), rows=len(x))
    given = torch.tensor([1, 0, 1, 1]).view(2, 2)
    mask = torch.zeros(4, dtype=torch.bool)
    mask[list(known)] = True
    mask = mask.view(2, 2)
    rest = [i for i in range(4) if i not in known]
    log_p = [along(model, x, (*known, *order), len(known)) for order in itertools.permutations(rest)]
    agrees = (x[:, mask] == given[mask]).all(1)
    expected = torch.stack(log_p).exp().mean(0) * agrees
    assert float(expected.sum()) == pytest.approx(1, abs=1e-9)
    rows = 20_000
    wide = subject(PIXELS, Bernoulli(), rows=rows)
    draws, density = wide.draw(given=given.expand(rows, 2, 2), known=mask.expand(rows, 2, 2))
    assert density is None
    index = (draws.flatten(1) * torch.tensor([8, 4, 2, 1])).sum(1)
    found = torch.bincount(index, minlength=16) / rows
    assert float((found - expected).abs().sum()) / 2 <= 0.02


@pytest.mark.parametrize("inputs", [(), (LABEL, WORDS)], ids=("alone", "given"))
@torch.no_grad()
def test_hidden_entries_are_not_seen_and_the_others_are(inputs: Inputs) -> None:
    target = Input("target", (2, 3, 4), Support(0, 9, integer=True))
    spec = CROSS if inputs else SPEC
    model = subject(target, Categorical(classes=10), spec, inputs, rows=5)
    x = torch.randint(0, 10, (5, 2, 3, 4))
    hidden = torch.rand(5, 2, 3, 4) < 0.5
    raw = model.raw(x, hidden)
    assert torch.equal(model.raw(torch.where(hidden, 9 - x, x), hidden), raw)
    assert (model.raw(torch.where(hidden, x, 9 - x), hidden) - raw).abs().min() > 0
    if inputs:
        for name, item in zip(("y", "t"), inputs, strict=True):
            moved = AnyOrder(
                model.net,
                model.family,
                {**model.values, name: (model.values[name] + 1) % item.classes},
                5,
                model.like,
            )
            assert (moved.raw(x, hidden) - raw).abs().max() > 1e-3


def test_orders_are_uniform_and_begin_with_what_is_known() -> None:
    torch.manual_seed(0)
    ranks, order = random_orders(torch.zeros(3000, 3, dtype=torch.bool))
    assert torch.equal(order.gather(1, ranks), torch.arange(3).expand(3000, 3))
    counts = torch.bincount(order[:, 0] * 3 + order[:, 1], minlength=9).double()
    assert float(((counts[counts > 0] - 500).square() / 500).sum()) < 20.5
    first = torch.rand(50, 6) < 0.4
    ranks, _ = random_orders(first)
    assert torch.equal(ranks < first.sum(1, keepdim=True), first)


MODEL = """
gendsl: 1
data: {source: memory, rows: 40, columns: {a: {shape: [1, 2, 2], dtype: uint8}}, bind: {x: {column: a, as: [{binarize: static}]}}}
train: {batch_size: 10}
ordering: {x: {type: any}}
decoder: {x: {dist: bernoulli, net: {type: transformer, layers: 1, width: 8, heads: 2}}}
"""


@torch.no_grad()
def test_a_model_exponentiates_the_density_of_an_order_and_averages_the_bound() -> None:
    """log_prob walks an order, of which exp sums to one in the mean; the loss takes one pass."""
    torch.manual_seed(0)
    model = build(analyse(loads(MODEL))).double()
    perturb(model, 1.5)
    x = states(Input("x", (1, 2, 2), BINARY)).double()
    times = 400
    log_p = model.log_prob({"x": x.repeat(times, 1, 1, 1)}).view(times, 16)
    each = log_p.exp().sum(1)
    assert float(each.mean()) == pytest.approx(1, abs=5 * float(each.std()) / times**0.5 + 1e-9)
    batch = model.batch({"x": x.repeat(times, 1, 1, 1)})
    torch.manual_seed(1)
    loss = float(model.loss("model", batch).total)
    torch.manual_seed(1)
    bound = model.distribution("decoder.x", {}, len(batch)).bound(batch.values["x"])  # type: ignore[attr-defined]
    assert loss == pytest.approx(-float(bound.mean()), rel=1e-12)
