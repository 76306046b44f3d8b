"""Optimisers and the average: exact resumption, clipping, schedules, and updates that follow the papers."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gendsl.errors import RunError
from gendsl.runtime import checkpoint
from gendsl.runtime.optimisers import Average, Optimiser, can_fuse
from gendsl.schema.components import optim

TOTAL = 12
SPECS: list[optim.OptimSpec] = [
    model.model_validate(example)
    for model in (optim.Adam, optim.AdamW, optim.SGD, optim.RMSprop)
    for example in model.examples
]
each_spec = pytest.mark.parametrize(
    "spec", SPECS, ids=lambda spec: f"{spec.tag}-{spec.schedule.tag}-{spec.clip}"
)


def model(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(5)
    net = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(12, 4), nn.Tanh(), nn.Linear(4, 2))
    net.register_parameter("unused", nn.Parameter(torch.ones(3)))
    return net.to(dtype).to(memory_format=torch.channels_last)


def loss(net: nn.Module, step: int) -> Tensor:
    generator = torch.Generator().manual_seed(step)
    dtype = next(net.parameters()).dtype
    x = torch.randn(6, 2, 3, 3, generator=generator).to(dtype)
    return ((net(x) - x.flatten(1)[:, :2]) ** 2).sum() * 3


def advance(net: nn.Module, optimiser: Optimiser, first: int, last: int) -> list[float]:
    norms = []
    for step in range(first, last):
        loss(net, step).backward()
        norms.append(float(optimiser.step(step)))
    return norms


def optimiser_of(net: nn.Module, spec: optim.OptimSpec) -> Optimiser:
    return Optimiser(net.named_parameters(), spec, TOTAL)


def bits(net: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in net.named_parameters()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@each_spec
@pytest.mark.parametrize("stop", [0, 1, 7])
def test_a_restored_optimiser_goes_on_to_the_bit(spec: optim.OptimSpec, stop: int, tmp_path: Path) -> None:
    straight = model()
    whole = optimiser_of(straight, spec)
    norms = advance(straight, whole, 0, TOTAL)

    net = model()
    before = optimiser_of(net, spec)
    implied = checkpoint.signature(before.tensors("optim"))
    advance(net, before, 0, stop)
    entry = checkpoint.save(
        tmp_path, stop, bits(net) | before.tensors("optim") | {"optim2/x": torch.ones(1)}, {}
    )

    back = checkpoint.load(entry).tensors
    assert {n: s for n, s in checkpoint.signature(back).items() if n.startswith("optim/")} == implied
    resumed = model()
    torch.nn.init.zeros_(resumed[2].weight)
    with torch.no_grad():
        for name, p in resumed.named_parameters():
            p.copy_(back[name])
    after = optimiser_of(resumed, spec)
    after.restore("optim", back)
    rest = advance(resumed, after, stop, TOTAL)

    assert rest == norms[stop:]
    assert equal(bits(resumed), bits(straight))
    assert equal(after.tensors("o"), whole.tensors("o"))
    assert not equal(bits(straight), bits(model()))


@each_spec
def test_state_is_as_large_as_the_spec_says(spec: optim.OptimSpec) -> None:
    net = model()
    state = [t for t in optimiser_of(net, spec).tensors("o").values() if t.dim() > 0]
    assert sum(t.numel() for t in state) == spec.state_copies() * sum(p.numel() for p in net.parameters())


def _plain(net: nn.Module, spec: optim.OptimSpec) -> torch.optim.Optimizer:
    given = {"lr": spec.lr, "weight_decay": spec.weight_decay, "foreach": False}
    match spec:
        case optim.Adam():
            return torch.optim.Adam(net.parameters(), betas=spec.betas, eps=spec.eps, **given)
        case optim.AdamW():
            return torch.optim.AdamW(net.parameters(), betas=spec.betas, eps=spec.eps, **given)
        case optim.SGD():
            return torch.optim.SGD(net.parameters(), momentum=spec.momentum, nesterov=spec.nesterov, **given)
        case optim.RMSprop():
            return torch.optim.RMSprop(
                net.parameters(), alpha=spec.alpha, eps=spec.eps, momentum=spec.momentum, **given
            )
    raise AssertionError(spec)


@each_spec
def test_steps_are_those_of_torch_with_clipping_and_schedule_by_hand(spec: optim.OptimSpec) -> None:
    ours, plain = model(torch.float64), model(torch.float64)
    optimiser, by_hand = optimiser_of(ours, spec), _plain(plain, spec)
    for step in range(TOTAL):
        loss(ours, step).backward()
        norm = optimiser.step(step)
        loss(plain, step).backward()
        gradients = [p.grad for p in plain.parameters() if p.grad is not None]
        expected = torch.sqrt(sum((g**2).sum() for g in gradients))
        torch.testing.assert_close(norm, expected, rtol=1e-7, atol=0)
        if spec.clip is not None and expected > spec.clip:
            for gradient in gradients:
                gradient.mul_(spec.clip / expected)
        for group in by_hand.param_groups:
            group["lr"] = spec.lr * spec.schedule.factor(step, TOTAL)
        assert optimiser.learning_rate(step) == by_hand.param_groups[0]["lr"]
        by_hand.step()
        by_hand.zero_grad()
    start = bits(model(torch.float64))
    for name, value in bits(ours).items():
        moved = bits(plain)[name] - start[name]
        assert float((value - start[name] - moved).norm()) <= 1e-5 * float(moved.norm()), name
    assert float((bits(ours)["0.weight"] - start["0.weight"]).norm()) > 0


@each_spec
@pytest.mark.parametrize("layout", ["transposed", "expanded", "strided"])
def test_gradients_of_any_layout_give_the_same_step(spec: optim.OptimSpec, layout: str) -> None:
    results = []
    for as_laid_out, by_attribute in itertools.product((True, False), repeat=2):
        weight = nn.Parameter(torch.linspace(-1, 1, 24).reshape(4, 6))
        optimiser = Optimiser([("weight", weight)], spec, TOTAL)
        for step in range(3):
            gradient = {
                "transposed": torch.arange(24.0).reshape(6, 4).t() - 3.5,
                "expanded": torch.tensor(2.0).expand(4, 6),
                "strided": (torch.arange(48.0).reshape(4, 12) - 20.5)[:, ::2],
            }[layout]
            assert gradient.stride() != weight.stride()
            given = gradient if as_laid_out else gradient.contiguous()
            if by_attribute:
                weight.grad = given
            optimiser.step(step, None if by_attribute else [given])
        results.append(weight.detach())
    assert all(torch.equal(r, results[0]) for r in results)
    assert float((results[0] - torch.linspace(-1, 1, 24).reshape(4, 6)).abs().min()) > 0


@each_spec
def test_a_parameter_without_a_gradient_stays(spec: optim.OptimSpec) -> None:
    net = model()
    optimiser = optimiser_of(net, spec)
    advance(net, optimiser, 0, 3)
    assert torch.equal(dict(net.named_parameters())["unused"], torch.ones(3))
    before = bits(net)
    assert float(optimiser.step(3)) == 0
    assert float(optimiser.step(3, [None] * len(before))) == 0
    assert equal(bits(net), before)
    assert all(p.grad is None for p in net.parameters())


def test_clipping_bounds_the_norm_of_all_gradients_together() -> None:
    spec = optim.SGD(lr=1.0, clip=0.5)
    for scale, length in ((10.0, 0.5), (0.01, 0.05)):
        a, b = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(()))
        norm = Optimiser([("a", a), ("b", b)], spec, 10).step(
            0, [scale * torch.tensor([3.0, 0, 0]), scale * torch.tensor(4.0)]
        )
        assert float(norm) == pytest.approx(5 * scale)
        assert torch.cat([a.detach(), b.detach()[None]]).norm().item() == pytest.approx(length, rel=1e-5)
        assert b.item() / a[0].item() == pytest.approx(4 / 3, rel=1e-5)


@each_spec
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_bad_gradient_shows_in_the_norm_and_can_be_skipped(spec: optim.OptimSpec, bad: float) -> None:
    net = model()
    optimiser = optimiser_of(net, spec)
    advance(net, optimiser, 0, 2)
    before, state = bits(net), {n: t.clone() for n, t in optimiser.tensors("o").items()}
    gradients = [torch.ones_like(p) for p in net.parameters()]
    gradients[1][0] = bad
    norm = optimiser.step(2, gradients, skip_bad=True)
    assert not torch.isfinite(norm)
    assert equal(bits(net), before)
    assert equal(optimiser.tensors("o"), state)
    assert all(p.grad is None for p in net.parameters())


def test_what_cannot_be_restored_is_named() -> None:
    net = model()
    optimiser = optimiser_of(net, optim.Adam())
    saved = optimiser.tensors("optim")
    with pytest.raises(RunError, match=r"optim/2\.bias/exp_avg"):
        optimiser.restore("optim", {n: t for n, t in saved.items() if n != "optim/2.bias/exp_avg"})
    with pytest.raises(RunError, match=r"optim/extra"):
        optimiser.restore("optim", saved | {"optim/extra": torch.ones(1)})
    with pytest.raises(RunError, match=r"optim/2\.bias/step"):
        optimiser.restore("optim", saved | {"optim/2.bias/step": torch.ones(2)})
    with pytest.raises(RunError, match=r"optim/2\.bias/step"):
        optimiser.restore("optim", saved | {"optim/2.bias/step": torch.tensor(1)})
    with pytest.raises(RunError, match="does not fit"):
        optimiser_of(net, optim.SGD(momentum=0.9)).restore("optim", saved)


def test_fused_where_it_exists() -> None:
    assert can_fuse(list(model().parameters()))
    assert not can_fuse([torch.ones(2), torch.ones(2, dtype=torch.complex64)])
    assert not can_fuse([torch.ones(4, 4)[:, ::2]])
    assert not can_fuse([torch.ones(2, device="meta")])


@pytest.mark.parametrize("named", [[], [("a", "same"), ("b", "same")]])
def test_each_parameter_once(named: list[tuple[str, Any]]) -> None:
    same = nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match="once"):
        Optimiser([(name, same) for name, _ in named], optim.Adam(), 1)


def _averaged(net: nn.Module, average: Average, first: int, last: int) -> None:
    optimiser = optimiser_of(net, optim.SGD(lr=1e-3))
    for step in range(first, last):
        loss(net, step).backward()
        optimiser.step(step)
        average.update()


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.999])
def test_an_average_follows_its_formula(decay: float) -> None:
    net = model(torch.float64)
    average = Average(net.named_parameters(), decay)
    expected = bits(net)
    for t in range(20):
        with torch.no_grad():
            for p in net.parameters():
                p.add_(torch.randn(p.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(t)))
        average.update()
        d = min(decay, (1 + t) / (10 + t))
        expected = {n: d * expected[n] + (1 - d) * p for n, p in bits(net).items()}
        torch.testing.assert_close(average.values, expected, rtol=1e-10, atol=1e-12)
    assert equal(average.values, bits(net)) == (decay == 0)


def test_a_restored_average_goes_on_to_the_bit(tmp_path: Path) -> None:
    straight = model()
    whole = Average(straight.named_parameters(), 0.9)
    _averaged(straight, whole, 0, 9)
    net = model()
    before = Average(net.named_parameters(), 0.9)
    implied = checkpoint.signature(before.tensors("ema"))
    _averaged(net, before, 0, 4)
    entry = checkpoint.save(tmp_path, 4, before.tensors("ema"), {})
    after = Average(net.named_parameters(), 0.9)
    after.restore("ema", checkpoint.load(entry, implied).tensors)
    _averaged(net, after, 4, 9)
    assert equal(after.tensors("e"), whole.tensors("e"))
    assert not equal(after.values, bits(net))
    with pytest.raises(RunError, match=r"ema/0\.bias.*8 in all"):
        after.restore("ema", {})


def test_swapped_evaluates_the_average_and_puts_back() -> None:
    net = model()
    average = Average(net.named_parameters(), 0.9)
    _averaged(net, average, 0, 5)
    own, mean = bits(net), {n: v.clone() for n, v in average.values.items()}
    places = [p.data_ptr() for p in net.parameters()]

    def fails() -> None:
        with average.swapped(net):
            assert equal(bits(net), mean)
            with average.swapped(net):
                assert equal(bits(net), mean)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert equal(bits(net), own)
    assert equal(average.values, mean)
    assert not equal(own, mean)
    assert [p.data_ptr() for p in net.parameters()] == places


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_decays_outside_their_range_are_refused(decay: float) -> None:
    with pytest.raises(ValueError, match="decay"):
        Average(model().named_parameters(), decay)
