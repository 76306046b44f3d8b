"""Laws of sampling with caches: it gives what whole passes give, with the arithmetic of about one pass."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from gendsl.nn.building import builder
from gendsl.nn.distributions import Family
from gendsl.nn.factor import Sequential
from gendsl.nn.ordering import rank_tensor, turns
from gendsl.nn.stepping import Stepping, Whole, walk
from gendsl.schema import registry
from gendsl.schema.components import dist, net_ar, ordering
from gendsl.schema.components.net import Net
from gendsl.schema.components.net_tokens import TokenNet
from gendsl.schema.facts import BINARY, Input, Inputs, Support, categories

LABEL, WORDS = Input("y", (), categories(5), labels=True), Input("t", (4,), categories(7), labels=True)
INPUTS: dict[str, Inputs] = {
    "none": (),
    "several": (Input("x", (1, 6, 5)), Input("z", (3,)), LABEL, WORDS),
    "words": (WORDS,),
}
CASES: dict[str, tuple[Input, dist.Dist]] = {
    "reals": (Input("target", (5,)), dist.Normal(scale="per_dimension")),
    "number": (Input("target", ()), dist.Normal()),
    "labels": (Input("target", (4,), categories(6), labels=True), dist.Categorical(classes=6)),
    "pixels": (Input("target", (1, 4, 5), BINARY), dist.Bernoulli()),
    "colour": (Input("target", (3, 4, 3), Support(0, 16, integer=True)), dist.Categorical(classes=17)),
    "frames": (Input("target", (3, 4)), dist.Normal()),
    "keys": (Input("target", (5, 4), BINARY), dist.Bernoulli()),
    "codes": (Input("target", (4, 3), categories(5), labels=True), dist.Categorical(classes=5)),
}
NETS = [
    m.model_validate(e)
    for m in registry.table("net").values()
    if issubclass(m, net_ar.AutoregressiveNet)
    for e in m.examples
]
STEPPED = [n for n in NETS if n.cached]
"""Those that keep what they have computed."""
ORDERS = [ordering.Natural(), ordering.Raster(), ordering.Spiral(), ordering.Random(seed=1)]
TABLE = [
    (net, order, case, inputs)
    for net, order, case, inputs in itertools.product(STEPPED, ORDERS, CASES, INPUTS)
    if order.tag in (net.orderings() or ())
    and order.problem(CASES[case][0].shape) is None
    and net.problem(INPUTS[inputs], CASES[case][0]) is None
]
SOME = list({(repr(c[0]), c[2]): c for c in sorted(TABLE, key=lambda c: (len(repr(c)) * 7) % 11)}.values())
"""Every net on every case once, with one of its orderings and inputs; the one with two stacks on all inputs."""
SOME += [c for c in TABLE if c[0].tag == "gated_pixelcnn" and c[2] == "colour" and c not in SOME]


def name(value: object) -> str:
    if isinstance(value, Input):
        return "x".join(map(str, value.shape))
    return value.tag if isinstance(value, registry.Component) else str(value)


def randomise(module: nn.Module) -> None:
    with torch.no_grad():
        for p in module.parameters():
            p.normal_(0.0, 1.3 / (p[0].numel() if p.dim() > 1 else 4) ** 0.5)


def factor(net: Net, order: ordering.Ordering, case: str, inputs: str, rows: int) -> Sequential:
    """A factor with drawn parameters on drawn parents."""
    torch.manual_seed(3)
    target, spec = CASES[case]
    family: Family = builder(spec)(spec, target.shape, target.support)
    ranks = rank_tensor(order, target.shape)
    module = builder(net)(net, INPUTS[inputs], target, spec.raw(target.shape, target.support)[0], ranks)
    randomise(module)
    randomise(family)
    values = {
        i.name: torch.randint(0, i.classes, (rows, *i.shape)) if i.labels else torch.randn(rows, *i.shape)
        for i in INPUTS[inputs]
    }
    like = torch.zeros(target.shape, dtype=torch.int64 if target.support.integer else torch.float32)
    return Sequential(module, family, values, rows, turns(ranks), like)


def double(factor: Sequential) -> Sequential:
    like = factor.like.double() if factor.like.is_floating_point() else factor.like
    values = {k: v.double() if v.is_floating_point() else v for k, v in factor.values.items()}
    return Sequential(factor.net.double(), factor.family.double(), values, factor.rows, factor.turns, like)


@pytest.mark.parametrize(("net", "order", "case", "inputs"), SOME, ids=name)
def test_samples_with_caches_are_those_of_whole_passes(
    net: Net, order: ordering.Ordering, case: str, inputs: str
) -> None:
    subject = factor(net, order, case, inputs, rows=6)
    teacher(subject)
    exact = double(subject)
    with torch.no_grad():
        for temperature, prefix in (
            (1.0, None),
            (0.7, exact.draw()[0].reshape(6, -1)[:, exact.turns][:, :2]),
        ):
            torch.manual_seed(1)
            whole = exact.draw(temperature, cached=False, prefix=prefix)
            torch.manual_seed(1)
            cached = exact.draw(temperature, prefix=prefix)
            if prefix is not None:
                assert torch.equal(cached[0].reshape(6, -1)[:, exact.turns][:, :2], prefix)
            if CASES[case][0].support.integer:
                assert torch.equal(whole[0], cached[0])
            torch.testing.assert_close(whole, cached, rtol=1e-9, atol=1e-9)
        torch.manual_seed(2)
        assert case != "reals" or not torch.equal(exact.draw(0.7, prefix=prefix)[0], cached[0])


def teacher(subject: Sequential) -> None:
    """In single precision the raw numbers agree along given values."""
    with torch.no_grad():
        value = subject.draw()[0].reshape(6, -1)
        stepper = walk(subject.net, dict(subject.values), 6, subject.turns, subject.like)
        assert not isinstance(stepper, Whole)
        whole = subject.net(dict(subject.values), value.view(6, *subject.like.shape))
        whole = whole.reshape(6, whole.shape[1], -1)
        last: Tensor | None = None
        found = []
        for entry in subject.turns.tolist():
            found.append(stepper.next(last))
            last = value[:, entry]
        raw = torch.stack(found, 2)
        expected = whole[:, :, subject.turns]
        assert raw.shape == expected.shape
        assert float((raw - expected).abs().max()) <= 1e-5 * float(expected.abs().max())
        assert float(expected.abs().max()) > 0


@pytest.mark.parametrize("net", STEPPED, ids=name)
def test_a_walk_is_the_arithmetic_of_about_one_pass(net: Net) -> None:
    order, inputs = ordering.Raster(), "none" if net.tag != "transformer" else "words"
    framed = isinstance(net, TokenNet) and net.frame is not None
    subject = double(factor(net, order, "keys" if framed else "pixels", inputs, 2))
    if isinstance(net, net_ar.Made) and not net.hidden:
        return
    assert isinstance(subject.net, Stepping)
    value = subject.draw()[0]
    subject.net.requires_grad_(False)
    with FlopCounterMode(display=False) as one, torch.no_grad():
        subject.net(dict(subject.values), value)
    with FlopCounterMode(display=False) as many, torch.no_grad():
        stepper, last = subject.net.stepper(dict(subject.values), 2), None
        for entry in subject.turns.tolist():
            stepper.next(last)
            last = value.flatten(1)[:, entry]
    assert many.get_total_flops() <= 1.6 * one.get_total_flops()


@pytest.mark.parametrize("net", [n for n in NETS if n.tag in ("made", "gru", "transformer")], ids=name)
def test_gradients_flow_through_draws(net: Net) -> None:
    framed = isinstance(net, TokenNet) and net.frame is not None
    subject = double(factor(net, ordering.Natural(), "frames" if framed else "reals", "words", rows=4))
    found = []
    for cached in (False, True):
        torch.manual_seed(0)
        draw, density = subject.draw(cached=cached)
        assert density is not None
        weights = [p for p in subject.net.parameters() if p.requires_grad]
        grads = torch.autograd.grad((draw * draw).sum() + density.sum(), weights, allow_unused=True)
        found.append([torch.zeros_like(w) if g is None else g for g, w in zip(grads, weights, strict=True)])
    torch.testing.assert_close(found[0], found[1], rtol=1e-8, atol=1e-8)
    assert sum(float(g.abs().sum()) for g in found[0]) > 0


@pytest.mark.parametrize("net", NETS, ids=name)
def test_a_net_says_whether_it_has_a_walk_of_its_own(net: Net) -> None:
    framed = isinstance(net, TokenNet) and net.frame is not None
    inputs = "words" if getattr(net, "cross", None) else "none"
    subject = factor(net, ordering.Raster(), "keys" if framed else "pixels", inputs, 1)
    assert isinstance(net, net_ar.AutoregressiveNet)
    with torch.no_grad():
        walked = walk(subject.net, dict(subject.values), 1, subject.turns, subject.like)
    assert isinstance(subject.net, Stepping) == net.cached == (not isinstance(walked, Whole))


PIXELS, FRAMES = Input("target", (2, 2, 1), BINARY), Input("target", (2, 2), BINARY)
ENUMERATED = [
    (net, order, target)
    for net in NETS
    for order in (*ORDERS, ordering.Time(), ordering.Serpentine(), ordering.Permutation(order=(2, 0, 3, 1)))
    for target in (PIXELS, FRAMES)
    if order.tag in (net.orderings() or ())
    and order.problem(target.shape) is None
    and net.problem((WORDS,), target) is None
    and (target is PIXELS or (isinstance(net, TokenNet) and net.frame is not None))
]


@pytest.mark.parametrize(("net", "order", "target"), ENUMERATED, ids=name)
@torch.no_grad()
def test_a_tiny_model_sums_to_one_and_its_draws_follow_it(
    net: Net, order: ordering.Ordering, target: Input
) -> None:
    torch.manual_seed(0)
    ranks = rank_tensor(order, target.shape)
    module = builder(net)(net, (WORDS,), target, 1, ranks).double()
    randomise(module)
    states = torch.tensor(list(itertools.product(range(2), repeat=4))).view(-1, *target.shape)
    words = torch.randint(0, 7, (1, 4))
    family: Family = builder(dist.Bernoulli())(dist.Bernoulli(), target.shape, BINARY)
    like = torch.zeros(target.shape, dtype=torch.int64)

    def model(rows: int) -> Sequential:
        return Sequential(module, family, {"t": words.expand(rows, 4)}, rows, turns(ranks), like)

    p = model(16).log_prob(states).exp()
    assert float(p.sum()) == pytest.approx(1, abs=1e-9)
    draws = model(8000).draw()[0].flatten(1)
    found = torch.bincount((draws * torch.tensor([8, 4, 2, 1])).sum(1), minlength=16) / 8000
    assert float((found - p).abs().sum()) / 2 <= 0.04
