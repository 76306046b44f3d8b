"""Laws of the flow layers, over the registry: every entry x its examples x shapes x context (none, 5).

All at drawn parameters: the median |log_det| is above 0.3 and the context moves the output by more than 10 %.
"""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gendsl.nn.transforms.planar import MARGIN, SHIFT, PlanarFlow, invertible
from gendsl.nn.transforms.stack import Stack, Transform
from gendsl.runtime.verify import flows
from gendsl.runtime.verify.flows import LOG_DET_POWER, ROUND_TRIP_POWER, Case
from gendsl.runtime.verify.subject import perturb
from gendsl.schema.components.flow import Coupling, FlowLayer, Permute, Planar, base_of
from gendsl.schema.facts import REAL, Cost, Shape, Support, numel
from gendsl.schema.registry import table

SHAPES: list[Shape] = [(5,), (2, 4, 4)]
CONTEXTS = [0, 5]
LAYERS = [m.model_validate(e) for m in table("flow").values() if issubclass(m, FlowLayer) for e in m.examples]
CASES = [
    (layer, shape, context)
    for layer, shape, context in itertools.product(LAYERS, SHAPES, CONTEXTS)
    if layer.problem(shape) is None and (context == 0 or flows.conditional(layer, shape, context))
]
ROWS = 12
SOLVED = 1e-2
"""How much smaller than `FlowLayer.error`, which holds for trained parameters, the errors are at the drawn ones."""
BOTH = [c for c in CASES if Cost.NONE not in (c[0].forward_cost, c[0].inverse_cost)]
TRAINED = [c for c in CASES if c[0].bill(c[1], c[2]).parameters > 0]


def name(value: object) -> str:
    if isinstance(value, FlowLayer):
        return value.tag + "".join(f"-{v}" for v in value.model_dump(exclude_defaults=True).values())
    return str(value)


def build(spec: FlowLayer, shape: Shape, context: int) -> Transform:
    module, function = spec.build.split(":")
    found: Callable[..., Transform] = getattr(importlib.import_module(module), function)
    return found(spec, shape, context, "auto")


def case(spec: FlowLayer, shape: Shape, context: int) -> Case:
    """The layer at drawn parameters, float64, with inputs."""
    torch.manual_seed(1)
    layer = build(spec, shape, context).double()
    perturb(layer, 0.3)
    layer.eval()
    read = torch.randn(ROWS, context, dtype=torch.float64) if context else None
    x = inside(spec.base_support(REAL), torch.randn(ROWS, *base_of((spec,), shape), dtype=torch.float64))
    with torch.no_grad():
        x = layer(x, read)[0] if flows.inwards(spec) else x
    drawn, _, reached = flows.moved(Case(name(spec), spec, layer, x, read))
    assert reached
    return drawn


def inside(support: Support | None, x: Tensor) -> Tensor:
    """Real numbers, brought into a support."""
    if support is None or support == REAL:
        return x
    if math.isfinite(support.high):
        return support.low + (support.high - support.low) * torch.sigmoid(x)
    return support.low + x.exp()


def test_every_layer_has_a_case() -> None:
    assert {c[0].tag for c in CASES} == set(table("flow"))


@pytest.mark.parametrize(("spec", "shape", "context"), CASES, ids=name)
def test_parameters_are_as_billed(spec: FlowLayer, shape: Shape, context: int) -> None:
    layer = build(spec, shape, context)
    assert sum(p.numel() for p in layer.parameters()) == spec.bill(shape, context).parameters


@pytest.mark.parametrize(("spec", "shape", "context"), CASES, ids=name)
def test_log_det_is_that_of_the_jacobian(spec: FlowLayer, shape: Shape, context: int) -> None:
    found = case(spec, shape, context)
    assert flows.log_det_error(found) < max(1e-10, SOLVED * spec.error)
    y, log_det = found.run(found.x, found.context)
    assert y.shape == (ROWS, *shape)
    assert log_det.shape == (ROWS,)


@pytest.mark.parametrize(("spec", "shape", "context"), BOTH, ids=name)
def test_round_trip(spec: FlowLayer, shape: Shape, context: int) -> None:
    found = case(spec, shape, context)
    assert found.back is not None
    # solving for entries in turn passes each one's rounding on to the next
    bound = max(SOLVED * spec.error, 1e-11 if found.both else 1e-8)
    assert flows.round_trip_error(found) < bound
    y, log_det = found.run(found.x, found.context)
    back = found.back(y, found.context)[1]
    assert torch.allclose(back, -log_det, rtol=bound, atol=bound)


@pytest.mark.parametrize(("spec", "shape", "context"), CASES, ids=name)
def test_directions_are_as_stated(spec: FlowLayer, shape: Shape, context: int) -> None:
    found = case(spec, shape, context)
    for cost, direction in (
        (spec.forward_cost, found.layer.forward),
        (spec.inverse_cost, found.layer.inverse),
    ):
        if cost is Cost.NONE:
            with pytest.raises(TypeError, match="cannot go"):
                direction(found.x, found.context)
        else:
            assert direction(found.x, found.context)[0].isfinite().all()


@pytest.mark.parametrize(("spec", "shape", "context"), TRAINED, ids=name)
def test_gradients_reach_every_parameter_and_the_inputs(spec: FlowLayer, shape: Shape, context: int) -> None:
    found = case(spec, shape, context)
    found.x.requires_grad_()
    if found.context is not None:
        found.context.requires_grad_()
    y, log_det = found.run(found.x, found.context)
    (y.square().sum() + log_det.square().sum()).backward()
    for label, parameter in found.layer.named_parameters():
        assert parameter.grad is not None, label
        assert parameter.grad.abs().sum() > 0, label
    assert found.x.grad is not None
    if found.context is not None:
        assert found.context.grad is not None
        assert (found.context.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize(("spec", "shape", "context"), [c for c in TRAINED if c[2]], ids=name)
def test_the_context_of_a_row_moves_that_row_only(spec: FlowLayer, shape: Shape, context: int) -> None:
    found = case(spec, shape, context)
    assert found.context is not None
    sway = flows.reach(found)[1]
    assert sway is not None
    assert sway > 0.1
    other = found.context.clone()
    other[0] += 1.0
    before, after = found.run(found.x, found.context)[0], found.run(found.x, other)[0]
    assert (after[0] - before[0]).abs().max() > 1e-3
    assert torch.allclose(after[1:], before[1:], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("spec", "shape", "context"), CASES, ids=name)
def test_float32_follows_float64(spec: FlowLayer, shape: Shape, context: int) -> None:
    found = case(spec, shape, context)
    y, log_det = found.run(found.x, found.context)
    found.layer.float()
    read = None if found.context is None else found.context.float()
    small_y, small_log_det = found.run(found.x.float(), read)
    assert small_y.dtype == torch.float32
    assert (small_y.double() - y).norm() < 5e-4 * y.norm()
    assert (small_log_det.double() - log_det).norm() <= 5e-4 * log_det.norm()


@pytest.mark.parametrize(("spec", "shape", "context"), [c for c in CASES if c[0].amortized], ids=name)
def test_a_layer_that_is_not_amortized_has_the_parameters_of_no_context(
    spec: FlowLayer, shape: Shape, context: int
) -> None:
    layer = spec.model_copy(update={"amortized": False})
    assert layer.bill(shape, 0).parameters == spec.bill(shape, 0).parameters


# -- the certificates see what they say they see -------------------------------------------------------------


@pytest.mark.parametrize(("spec", "shape", "context"), TRAINED, ids=name)
def test_a_planted_error_in_log_det_shows(spec: FlowLayer, shape: Shape, context: int) -> None:
    found = case(spec, shape, context)
    forward = found.layer.forward

    def wrong(x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y, log_det = forward(x, context)
        power = max(LOG_DET_POWER, 10 * spec.error)
        return y, log_det * (1 + power) if bool(log_det.any()) else log_det + power

    found.layer.forward = wrong  # type: ignore[method-assign]
    assert flows.log_det_error(found) > max(flows.LOG_DET_BOUND, spec.error)


@pytest.mark.parametrize(("spec", "shape", "context"), BOTH, ids=name)
def test_a_planted_error_in_the_inverse_shows(spec: FlowLayer, shape: Shape, context: int) -> None:
    found = case(spec, shape, context)
    inverse = found.layer.inverse

    def wrong(y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, log_det = inverse(y, context)
        return x * (1 + max(ROUND_TRIP_POWER, 10 * spec.error)), log_det

    found.layer.inverse = wrong  # type: ignore[method-assign]
    assert flows.round_trip_error(found) > max(flows.ROUND_TRIP_BOUND, spec.error)


def folded(w_dot_u: float) -> Case:
    """One planar layer of five dimensions whose u is u = (w.u) w / |w|^2, put in without the constraint."""
    layer = PlanarFlow(5, 1, 0, "auto").double()
    w = torch.tensor([0.5, -0.3, 0.8, 0.1, -0.6], dtype=torch.float64)
    layer.numbers = torch.nn.Parameter(torch.cat([w_dot_u * w / (w @ w), w, torch.tensor([0.2]).double()]))
    torch.manual_seed(3)
    return Case("planar", Planar(), layer, torch.randn(ROWS, 5, dtype=torch.float64), None)


def test_a_planar_layer_that_folds_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert flows.folding(folded(-40.0)) == 0.0
    monkeypatch.setattr("gendsl.nn.transforms.planar.invertible", lambda u, w: u)
    assert flows.folding(folded(-0.99)) == 0.0
    assert flows.folding(folded(-1.0 - flows.FOLD_POWER)) > 0.0


# -- planar and its constraint -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("factor", [-1000.0, -10.0, -1.0, -1e-3, 0.0, 1e-3, 1.0, 10.0])
@pytest.mark.parametrize("size", [1e-12, 1e-3, 1.0, 10.0])
def test_planar_is_invertible_at_extreme_parameters(dtype: torch.dtype, factor: float, size: float) -> None:
    """u = factor w: w.u^ > -1, the map is increasing along w, and its log-determinant is finite."""
    torch.manual_seed(0)
    w = torch.randn(6, dtype=dtype)
    w = size * w / w.norm()
    moved = invertible(factor * w, w)
    assert moved.isfinite().all()
    assert float((moved.double() * w.double()).sum()) > -1.0
    layer = PlanarFlow(6, 1, 0, "auto").to(dtype)
    layer.numbers = torch.nn.Parameter(torch.cat([factor * w, w, torch.zeros(1, dtype=dtype)]))
    along = torch.linspace(-3, 3, 401, dtype=torch.float64).view(-1, 1) * (w / w.norm()).double()
    y, log_det = layer(along.to(dtype))
    assert log_det.isfinite().all()
    steps = (y.double() @ (w / w.norm()).double()).diff()
    assert (steps >= -1e-3 * (6 / 400)).all() if dtype == torch.float32 else (steps > 0).all()


@pytest.mark.parametrize("length", [1e-2, 0.3, 1.0, 5.0, 100.0])
@pytest.mark.parametrize("product", [-50.0, -3.0, -1.0, -0.5, 2.0])
def test_planar_constraint_is_about_the_product_whatever_the_length_of_w(
    length: float, product: float
) -> None:
    """w.u^ is one function of w.u: |w|, which popular code divides by instead of its square, does not matter."""
    torch.manual_seed(0)
    w = torch.randn(6, dtype=torch.float64)
    w = length * w / w.norm()
    across = torch.randn(6, dtype=torch.float64)
    across -= (across @ w) / w.square().sum() * w
    moved = invertible(product * w / w.square().sum() + across, w)
    wanted = MARGIN - 1 + torch.nn.functional.softplus(torch.tensor(product + SHIFT, dtype=torch.float64))
    assert float(moved @ w) == pytest.approx(float(wanted), rel=1e-9)
    assert float(moved @ w) > -1.0


def test_planar_with_u_zero_is_the_identity_and_log_det_zero() -> None:
    torch.manual_seed(0)
    layer = PlanarFlow(4, 3, 0, "auto").double()
    numbers = torch.randn(3, 9, dtype=torch.float64)
    numbers[:, :4] = 0.0
    layer.numbers = torch.nn.Parameter(numbers.flatten())
    x = torch.randn(ROWS, 4, dtype=torch.float64)
    y, log_det = layer(x)
    assert torch.allclose(y, x, rtol=0, atol=1e-14)
    assert log_det.abs().max() < 1e-14


def test_planar_constraint_leaves_what_is_orthogonal_to_w() -> None:
    torch.manual_seed(0)
    u, w = torch.randn(2, 20, 6, dtype=torch.float64)
    moved = invertible(u, w)
    along = ((moved - u) * w).sum(1, keepdim=True) * w / w.square().sum(1, keepdim=True)
    assert torch.allclose(moved - u, along, atol=1e-12)


# -- couplings, permutations, stacks -------------------------------------------------------------------------


@pytest.mark.parametrize("mask", ["half", "checkerboard", "channel"])
def test_a_coupling_leaves_the_part_under_its_mask(mask: str) -> None:
    spec = Coupling.model_validate({"mask": mask, "hidden": [8]})
    found = case(spec, (2, 4, 4), 0)
    y = found.layer(found.x)[0]
    same = (y == found.x).all(0)
    assert int(same.sum()) == numel((2, 4, 4)) // 2


def test_two_couplings_move_everything() -> None:
    found = case(Coupling.model_validate({"repeat": 2, "hidden": [8]}), (5,), 0)
    assert not (found.layer(found.x)[0] == found.x).any()


@pytest.mark.parametrize("how", ["reverse", "shuffle"])
def test_permutations_keep_every_entry(how: str) -> None:
    found = case(Permute.model_validate({"how": how}), (2, 4, 4), 0)
    y, log_det = found.layer(found.x)
    assert torch.equal(y.flatten(1).sort(1).values, found.x.flatten(1).sort(1).values)
    assert not torch.equal(y, found.x)
    assert (log_det == 0).all()


def test_a_stack_goes_from_its_last_layer_to_its_first() -> None:
    torch.manual_seed(0)
    specs: list[FlowLayer] = [Coupling(hidden=(8,)), Permute(), Coupling(hidden=(8,), repeat=2)]
    layers = [case(s, (5,), 3 if s.tag == "coupling" else 0).layer for s in specs]
    stack = Stack(layers, [True, False, False])
    x, context = torch.randn(2, ROWS, 5, dtype=torch.float64)[:, :, :5]
    context = context[:, :3]
    with pytest.raises((RuntimeError, KeyError)):
        stack(x, context)
    layers[2] = case(specs[2], (5,), 0).layer
    stack = Stack(layers, [True, False, False])
    a, one = layers[2](x)
    b, two = layers[1](a)
    c, three = layers[0](b, context)
    y, log_det = stack(x, context)
    assert torch.equal(y, c)
    assert torch.allclose(log_det, one + two + three)
    back, inverse = stack.inverse(y, context)
    assert torch.allclose(back, x, atol=1e-12)
    assert torch.allclose(inverse, -log_det, atol=1e-12)
