"""Laws of the networks: facts against modules, causality by Jacobians, gradients, parents, dtypes."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gendsl.nn.head import Head
from gendsl.nn.ordering import rank_tensor
from gendsl.schema import registry
from gendsl.schema.components import net_ar, net_grid, net_seq, ordering
from gendsl.schema.components.net import Mlp, Net, Ref, head_bill, head_parameters
from gendsl.schema.components.net_tokens import TokenNet
from gendsl.schema.components.net_wave import WaveNet
from gendsl.schema.facts import BINARY, COUNTS, Input, Inputs, Shape, Support, categories, numel

OUTPUTS, BATCH = 3, 6
VECTOR, GRID = Input("z", (6,)), Input("x", (1, 8, 8), Support(0, 16, integer=True))
LABEL, WORDS = Input("y", (), categories(5), labels=True), Input("t", (4,), categories(7), labels=True)
CODES, COLOUR = Input("c", (4, 4), categories(9), labels=True), Input("r", (3, 7, 6))
INPUTS: dict[str, Inputs] = {
    "none": (),
    "vector": (VECTOR,),
    "numbers": (Input("a", ()), Input("n", (3,), COUNTS), Input("b", (4,), BINARY)),
    "label": (LABEL,),
    "words": (WORDS,),
    "grid": (GRID,),
    "codes": (CODES, VECTOR),
    "colour": (COLOUR,),
    "several": (GRID, VECTOR, LABEL, WORDS),
    "two grids": (GRID, Input("w", (2, 4, 4)), CODES, Input("s", (3, 2, 2, 2))),
}
TARGETS: dict[str, Input | None] = {
    "critic": None,
    "number": Input("target", ()),
    "vector": Input("target", (5,)),
    "label": Input("target", (3,), categories(4), labels=True),
    "codes": Input("target", (4, 4), categories(6), labels=True),
    "pixels": Input("target", (1, 8, 8), BINARY),
    "odd": Input("target", (2, 7, 6)),
    "ordinals": Input("target", (3, 4, 3), Support(0, 16, integer=True)),
}
NETS = [
    m.model_validate(e)
    for m in registry.table("net").values()
    if issubclass(m, Net) and not m.energy
    for e in m.examples
]
"""Networks of features; those that are energies have laws of their own."""
DIRECT = [n for n in NETS if not n.autoregressive]
ALL = [(n, i, t) for n, i, t in itertools.product(NETS, INPUTS, TARGETS)]
BUILDABLE = [(n, i, t) for n, i, t in ALL if n.problem(INPUTS[i], TARGETS[t]) is None]
SOME = [c for c in BUILDABLE if (list(INPUTS).index(c[1]) + list(TARGETS).index(c[2])) % 5 == 0]
"""A fifth of the table, with every row and column of it."""
TRAINED = [(n, i, t) for n, i, t in SOME if n.parameters(INPUTS[i], TARGETS[t], OUTPUTS) > 0]
ORDERINGS = [
    ordering.Natural(),
    ordering.Reverse(),
    ordering.Raster(),
    ordering.Serpentine(),
    ordering.Spiral(),
    ordering.Time(),
    ordering.Random(seed=2),
]


def name(value: object) -> str:
    if isinstance(value, registry.Component):
        return value.tag + "".join(f"-{v}" for v in value.model_dump(exclude_defaults=True).values())[:40]
    return str(value)


def build(
    spec: Net, inputs: Inputs, target: Input | None, order: ordering.Ordering | None = None
) -> nn.Module:
    module, function = spec.build.split(":")
    builder: Callable[..., nn.Module] = getattr(importlib.import_module(module), function)
    if not spec.autoregressive:
        return builder(spec, inputs, None if target is None else target.shape)
    if target is None:
        return builder(spec, inputs, None, OUTPUTS, torch.arange(1))
    if order is None:
        grid = len(target.shape) in (2, 3)
        order = ordering.Raster() if grid else ordering.Natural()
    return builder(spec, inputs, target, OUTPUTS, rank_tensor(order, target.shape))


def values_of(inputs: Inputs, batch: int = BATCH) -> dict[str, Tensor]:
    return {i.name: value_of(i, batch) for i in inputs}


def value_of(item: Input, batch: int = BATCH) -> Tensor:
    if item.support.integer:
        high = item.support.count or 20
        return torch.randint(0, high, (batch, *item.shape))
    return torch.randn(batch, *item.shape)


def randomise(module: nn.Module) -> nn.Module:
    """Parameters at which no law holds by the accident of an initialisation."""
    with torch.no_grad():
        for p in module.parameters():
            fan = p[0].numel() if p.dim() > 1 else 4
            p.normal_(0.0, 1.3 / fan**0.5)
    return module


def run(module: nn.Module, spec: Net, values: dict[str, Tensor], x: Tensor | None) -> Tensor:
    out = module(values, x) if spec.autoregressive else module(values)
    assert isinstance(out, Tensor)
    return out


def case(spec: Net, inputs: str, target: str) -> tuple[nn.Module, dict[str, Tensor], Tensor | None]:
    torch.manual_seed(0)
    head = TARGETS[target]
    module = randomise(build(spec, INPUTS[inputs], head))
    if spec.random:
        calm(module)
    return module, values_of(INPUTS[inputs]), None if head is None else value_of(head)


def calm(module: nn.Module) -> None:
    """Without what makes a network's output random: its noise, and what happens in training only."""
    module.eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("strength"):
                parameter.zero_()


def norm(value: Tensor) -> float:
    return float(value.detach().double().norm())


def test_the_registry_has_the_nets_of_the_language() -> None:
    assert {"mlp", "conv_down", "conv_up", "resnet", "gated_pixelcnn", "made", "ref"} | {
        "rnn",
        "lstm",
        "gru",
        "transformer",
    } <= set(registry.table("net"))
    assert Ref.model_validate({"name": "trunk"}).name == "trunk"
    assert net_ar.Made.build.startswith("gendsl.nn.networks.")
    assert net_grid.ConvUp.autoregressive is False
    assert "any" not in (net_seq.Gru().orderings() or ("any",))


@pytest.mark.parametrize(("spec", "inputs"), list(itertools.product(NETS, INPUTS)), ids=name)
def test_a_net_has_a_problem_or_is_as_its_facts_say(spec: Net, inputs: str) -> None:
    torch.manual_seed(0)
    for head in TARGETS.values():
        check_facts(spec, INPUTS[inputs], head)


def check_facts(spec: Net, parents: Inputs, head: Input | None) -> None:
    why = spec.problem(parents, head)
    if why is not None:
        assert spec.tag in why
        assert len(why) > 30
        with pytest.raises(ValueError) as error:
            build(spec, parents, head)
        assert str(error.value) == why
        return
    module = build(spec, parents, head)
    x = None if head is None else value_of(head)
    out = run(module, spec, values_of(parents), x)
    outputs = OUTPUTS if spec.autoregressive else 0
    assert sum(p.numel() for p in module.parameters()) == spec.parameters(parents, head, outputs)
    if spec.autoregressive:
        assert head is not None
        assert out.shape == (BATCH, OUTPUTS, *head.shape)
    else:
        shape = None if head is None else head.shape
        assert out.shape == (BATCH, *spec.features(parents, head))
        assert spec.features(parents, head) == spec.features(parents, shape)
        assert spec.parameters(parents, shape) == spec.parameters(parents, head)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize(("spec", "inputs", "target"), TRAINED, ids=name)
def test_every_parameter_gets_a_gradient(spec: Net, inputs: str, target: str) -> None:
    module, values, x = case(spec, inputs, target)
    out = run(module, spec, values, x)
    (out * torch.randn_like(out)).sum().backward()
    first = spec.autoregressive and target == "number"  # a single entry has nothing before it to read
    for key, p in module.named_parameters():
        assert p.grad is not None, key
        assert first or norm(p.grad) > 0, key


@pytest.mark.parametrize(("spec", "inputs", "target"), SOME, ids=name)
def test_every_parent_moves_the_output(spec: Net, inputs: str, target: str) -> None:
    module, values, x = case(spec, inputs, target)
    out = run(module, spec, values, x)
    for item in INPUTS[inputs]:
        other = (values[item.name] + 1) % item.classes if item.labels else value_of(item)
        moved = run(module, spec, {**values, item.name: other}, x)
        assert norm(moved - out) > 0.01 * norm(out), item.name


@pytest.mark.parametrize(("spec", "inputs", "target"), SOME, ids=name)
def test_rows_are_independent_and_double_precision_agrees(spec: Net, inputs: str, target: str) -> None:
    module, values, x = case(spec, inputs, target)
    out = run(module, spec, values, x)
    row = run(module, spec, {k: v[:1] for k, v in values.items()}, None if x is None else x[:1])
    assert norm(row - out[:1]) <= 1e-5 * norm(out[:1])
    none = run(module, spec, {k: v[:0] for k, v in values.items()}, None if x is None else x[:0])
    assert none.shape == (0, *out.shape[1:])
    exact = run(module.double(), spec, values, x)
    assert exact.dtype == torch.float64
    assert norm(exact - out) <= 1e-5 * norm(exact)


@pytest.mark.parametrize(("spec", "inputs", "target"), TRAINED, ids=name)
def test_costs_are_good_to_a_factor_of_two(spec: Net, inputs: str, target: str) -> None:
    module = case(spec, inputs, target)[0].double()  # in single precision some fused layers go uncounted
    parents, head = INPUTS[inputs], TARGETS[target]
    stated = spec.bill(parents, head, OUTPUTS if spec.autoregressive else 0)
    numbers = []
    for batch in (1, 3):
        values, x = values_of(parents, batch), None if head is None else value_of(head, batch)
        numbers.append(saved(partial(run, module, spec, values, x), spec.autoregressive))
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        run(module, spec, values, x)
    assert within(counter.get_total_flops() / 3, stated.flops), "flops"
    assert within((numbers[1] - numbers[0]) / 2, stated.activations), "activations"
    assert spec.flops(parents, head, OUTPUTS) >= stated.flops > 0 or not counter.get_total_flops()
    assert spec.activations(parents, head, OUTPUTS) >= stated.activations


def within(measured: float, stated: float) -> bool:
    return measured / 2 <= stated <= 2 * measured


def saved(function: Callable[[], Tensor], final: bool) -> int:
    """How many numbers autograd keeps for the backward pass, each storage once; a head keeps features."""
    kept: dict[int, Tensor] = {}

    def pack(value: Tensor) -> Tensor:
        kept[value.untyped_storage().data_ptr()] = value
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        out = function() if final else function().square()
        total = sum(v.untyped_storage().nbytes() // v.element_size() for v in kept.values())
    assert out.requires_grad
    return total


SMALL: list[Shape] = [(5,), (2, 3), (2, 2, 2), (3, 2, 2)]
BLIND: list[Shape] = [(4, 4), (1, 5, 4), (2, 3, 4), (3, 4, 3)]
"""Large enough to have blind spots, for nets that are local."""
AUTOREGRESSIVE = [
    (spec, order, shape, inputs, labels)
    for spec in NETS
    if spec.autoregressive
    for order in ORDERINGS
    if order.tag in (spec.orderings() or ())
    for shape in (SMALL if len(spec.orderings() or ()) > 1 else BLIND)
    for inputs, labels in (("none", False), ("none", True), ("several", False))
    if order.problem(shape) is None and spec.problem(INPUTS[inputs], shape) is None
]


def influence(module: nn.Module, inputs: Inputs, target: Input) -> Tensor:
    """|d raw_i / d x_j| summed over a batch, [D, D]; labels are differentiated through their mixture."""
    entries = numel(target.shape)
    x = torch.randn(8, *target.shape, dtype=torch.float64)
    if target.labels:
        x = torch.rand(8, *target.shape, target.classes, dtype=torch.float64)
    x.requires_grad_()
    raw = module(values_of(inputs, 8), x)
    raw = (raw * torch.randn(8, OUTPUTS, *target.shape, dtype=torch.float64)).sum(1).reshape(8, entries)
    rows = [torch.autograd.grad(raw[:, i].sum(), x, retain_graph=True)[0] for i in range(entries)]
    return torch.stack([r.abs().reshape(8, entries, -1).sum((0, 2)) for r in rows])


@pytest.mark.parametrize(("spec", "order", "shape", "inputs", "labels"), AUTOREGRESSIVE, ids=name)
def test_an_entry_depends_on_all_the_entries_before_it_and_on_no_other(
    spec: Net, order: ordering.Ordering, shape: Shape, inputs: str, labels: bool
) -> None:
    torch.manual_seed(0)
    target = Input("target", shape, categories(3) if labels else Support(), labels)
    if isinstance(spec, net_ar.Made):  # a dead unit would hide a dependence
        spec = spec.model_copy(update={"activation": "silu"})
        assert spec.complete(numel(shape))
    module = build(spec, INPUTS[inputs], target, order).double()
    draws = 3 if spec.tag == "gated_pixelcnn" else 1  # its output layers are relus
    seen = sum(influence(randomise(module), INPUTS[inputs], target) for _ in range(draws))
    rank = rank_tensor(order, shape)
    before = rank[None, :] < rank[:, None]
    assert (seen[~before] == 0).all()
    if isinstance(spec, TokenNet) and isinstance(spec.frame, Mlp):  # entries of an instant are independent
        instant = torch.arange(numel(shape)) // shape[1]
        assert (seen[instant[None, :] == instant[:, None]] == 0).all()
        before = instant[None, :] < instant[:, None]
    assert (seen[before] > 0).all()


@pytest.mark.parametrize("spec", [n for n in NETS if n.autoregressive], ids=name)
def test_the_first_entry_depends_on_the_parents(spec: Net) -> None:
    torch.manual_seed(0)
    framed = isinstance(spec, TokenNet) and spec.frame is not None
    target = Input("target", (3, 4) if framed else (2, 3, 4))
    order = ordering.Time() if framed else ordering.Raster()
    module = randomise(build(spec, (LABEL, WORDS), target, order))
    x, words = value_of(target, 1).expand(5, *target.shape), value_of(WORDS, 1).expand(5, -1)
    raw = module({"y": torch.arange(5), "t": words}, x).flatten(2)[:, :, 0]
    assert norm(raw - raw.mean(0)) > 0.01 * norm(raw)


@pytest.mark.parametrize("spec", [n for n in DIRECT if n.tag in ("mlp", "conv_down", "resnet")], ids=name)
def test_second_derivatives(spec: Net) -> None:
    torch.manual_seed(0)
    item = Input("x", (1, 5, 5))
    module = randomise(build(spec, (item, LABEL), None))
    head = randomise(Head(spec.features((item, LABEL), None), (1,)))
    labels = torch.tensor([1, 4])

    def score(x: Tensor, *weights: Tensor) -> Tensor:
        del weights
        out: Tensor = head(module({"x": x, "y": labels})).tanh()
        return out

    weights = [p for p in module.parameters() if p.dim() > 1][-1:]
    module.double()
    head.double()
    x = torch.randn(2, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(score, (x, *weights), fast_mode=True)
    gradient = torch.autograd.grad(score(x).sum(), x, create_graph=True)[0]
    (gradient.flatten(1).norm(dim=1) - 1).square().sum().backward()
    reached = [p for p in module.parameters() if p.grad is not None and norm(p.grad) > 0]
    assert len(reached) >= len(weights)


HEADS: list[tuple[Shape, Shape]] = [
    ((5,), (2, 6)),
    ((5,), (2,)),
    ((4, 3, 2), (2, 3, 3, 2)),
    ((4, 3, 2), (6, 3, 2)),
    ((4, 3, 2), (2, 3, 3, 3)),
    ((4, 3, 2), (3, 2)),
]


@pytest.mark.parametrize(("features", "raw"), HEADS, ids=name)
def test_the_head_is_as_its_facts_say(features: Shape, raw: Shape) -> None:
    torch.manual_seed(0)
    head = Head(features, raw)
    h = torch.randn(4, *features)
    assert head(h).shape == (4, *raw)
    assert sum(p.numel() for p in head.parameters()) == head_parameters(features, raw)
    with FlopCounterMode(display=False) as counter:
        head(h)
    assert counter.get_total_flops() == 4 * head_bill(features, raw).flops
    torch.manual_seed(0)
    small = Head(features, raw, scale=0.01)(h)
    assert norm(small) == pytest.approx(0.01 * norm(head(h) - head(torch.zeros_like(h))), rel=1e-3)


@pytest.mark.parametrize(
    ("net", "shape", "stated"),
    [
        (WaveNet(layers=2, width=6), (12,), (4, "entries")),
        (WaveNet(layers=1, stacks=2, kernel=3, width=6), (12,), (5, "entries")),
        (WaveNet(layers=2, width=6, frame=Mlp(hidden=())), (9, 2), (4, "instants")),
        (WaveNet(layers=2, width=6), (5,), None),
        (net_seq.Gru(width=6), (12,), None),
    ],
    ids=name,
)
def test_the_last_entry_depends_on_as_many_before_it_as_is_stated(
    net: Net, shape: Shape, stated: tuple[int, str] | None
) -> None:
    assert net.reach(shape) == stated
    torch.manual_seed(0)
    module = build(net, (), Input("target", shape), ordering.Natural()).double()
    x = torch.randn(1, *shape, dtype=torch.float64, requires_grad=True)
    last = module({}, x).flatten(2)[..., -1].square().sum()
    seen = (torch.autograd.grad(last, x)[0][0].reshape(shape[0], -1) != 0).any(1)
    found = seen.nonzero()[:, 0].tolist()
    assert found == list(range(max(0, shape[0] - 1 - (stated[0] if stated else shape[0])), shape[0] - 1))
