"""Laws of the flow layers: bills, round trips, log-determinants, gradients, contexts, shapes, starts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from gendsl.nn.building import builder
from gendsl.nn.transforms.coupling import build_coupling
from gendsl.nn.transforms.linear import LUMatrix
from gendsl.nn.transforms.permute import Permutation
from gendsl.nn.transforms.stack import Stack, Transform
from gendsl.schema import registry
from gendsl.schema.components.flow import Coupling, FlowLayer, base_of
from gendsl.schema.facts import REAL, Cost, Shape, numel

ROWS = 5
SHAPES: tuple[Shape, ...] = ((), (3,), (2, 2, 4))
CONTEXTS = (0, 3)
NUMERIC = 1e-9
"""The error of a solution in steps at these parameters, near the identity, where log |det| is as small as 0.015:
`FlowLayer.error` is stated for parameters far from it, and a factor of 1.01 would pass by it.
"""


@dataclass(frozen=True)
class Case:
    """A layer at one of its examples, on a shape, with a context of some width."""

    spec: FlowLayer
    shape: Shape
    context: int

    def __str__(self) -> str:
        words = [str(v) for v in self.spec.model_dump(exclude_defaults=True).values()]
        return f"{'-'.join(words)[:60]}-{'x'.join(map(str, self.shape))}-{self.context}"

    @property
    def conditional(self) -> bool:
        return self.spec.bill(self.shape, 3) != self.spec.bill(self.shape, 0)


def cases() -> Iterator[Case]:
    for model in registry.table("flow").values():
        for example in model.examples:
            spec = model.model_validate(example)
            assert isinstance(spec, FlowLayer)
            for shape in SHAPES:
                for context in CONTEXTS:
                    if spec.problem(shape) is None:
                        yield Case(spec, shape, context)


CASES = list(cases())
every = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)


def layer(spec: FlowLayer, shape: Shape, context: int = 0, spread: float = 0.05) -> Stack:
    """The layer at drawn parameters, in evaluation."""
    module: Transform = builder(spec)(spec, shape, context, "reference")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    return Stack([module], [context > 0], spec.base_shape(shape)).eval()


def make(case: Case) -> tuple[Stack, Tensor | None]:
    return layer(case.spec, case.shape, case.context), torch.randn(
        ROWS, case.context
    ) if case.context else None


def base_values(case: Case, rows: int = ROWS) -> Tensor:
    """Values on the base's side, inside its support."""
    inner = case.spec.base_support(REAL)
    if inner is None:
        inner = REAL
    x = torch.randn(rows, *base_of((case.spec,), case.shape))
    if inner == REAL:
        return x
    low = inner.low if math.isfinite(inner.low) else 0.0
    if not math.isfinite(inner.high):
        return low + x.exp()
    return low + (inner.high - low) * torch.sigmoid(x)


def pairs(case: Case) -> tuple[Stack, Tensor | None, Tensor, Tensor, Tensor]:
    """(module, context, x, y, log-determinant) in whichever direction the layer has."""
    module, context = make(case)
    if case.spec.forward_cost is not Cost.NONE:
        x = base_values(case)
        y, log_det = module(x, context)
        return module, context, x, y, log_det
    y = torch.randn(ROWS, *case.shape)
    x, log_det = module.inverse(y, context)
    return module, context, x, y, -log_det


@every
def test_bill_counts_the_parameters(case: Case) -> None:
    module, _ = make(case)
    assert sum(p.numel() for p in module.parameters()) == case.spec.bill(case.shape, case.context).parameters


@every
def test_shapes_and_round_trip(case: Case) -> None:
    module, context, x, y, log_det = pairs(case)
    assert y.shape == (ROWS, *case.shape)
    assert x.shape == (ROWS, *base_of((case.spec,), case.shape))
    assert log_det.shape == (ROWS,)
    if Cost.NONE in (case.spec.forward_cost, case.spec.inverse_cost):
        return
    back, inverse_log_det = module.inverse(y, context)
    # solving for entries in turn passes each one's rounding on to the next
    both = case.spec.forward_cost is case.spec.inverse_cost
    bound = max(1e-11 if both else 1e-9, NUMERIC if case.spec.error else 0.0)
    torch.testing.assert_close(back, x, rtol=bound, atol=bound)
    torch.testing.assert_close(inverse_log_det, -log_det, rtol=bound, atol=bound)


@every
def test_log_determinant_is_the_jacobians(case: Case) -> None:
    module, context, x, y, log_det = pairs(case)
    outwards = case.spec.forward_cost is not Cost.NONE
    start = (x if outwards else y).detach()

    def image(value: Tensor) -> Tensor:
        return (module if outwards else module.inverse)(value, context)[0].reshape(ROWS, -1).sum(0)

    matrices = (
        torch.autograd.functional.jacobian(image, start).movedim(1, 0).reshape(ROWS, numel(case.shape), -1)
    )
    expected = torch.linalg.slogdet(matrices)[1] * (1 if outwards else -1)
    bound = max(1e-10, NUMERIC if case.spec.error else 0.0)
    torch.testing.assert_close(log_det.detach(), expected, rtol=bound, atol=bound)


@every
def test_a_direction_without_a_closed_form_is_refused(case: Case) -> None:
    module, context = make(case)
    value = torch.randn(ROWS, *case.shape)
    if case.spec.inverse_cost is Cost.NONE:
        with pytest.raises(TypeError, match="cannot go"):
            module.inverse(value, context)
    if case.spec.forward_cost is Cost.NONE:
        with pytest.raises(TypeError, match="cannot go"):
            module(value, context)


@every
def test_gradients_reach_every_parameter(case: Case) -> None:
    module, context, _, _, _ = pairs(case)
    parameters = {n: p for n, p in module.named_parameters() if p.numel()}
    if not parameters:
        return
    rows = 64
    wide = None if context is None else torch.randn(rows, case.context)
    if case.spec.forward_cost is not Cost.NONE:
        out, log_det = module(base_values(case, rows), wide)
    else:
        out, log_det = module.inverse(torch.randn(rows, *case.shape), wide)
    loss = (out**3).sum() + (log_det * torch.randn(rows)).sum()
    for name, gradient in zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True):
        assert bool(torch.isfinite(gradient).all()), name
        assert float(gradient.abs().max()) > 0, name


@every
def test_the_context_moves_the_output(case: Case) -> None:
    module, context, x, y, _ = pairs(case)
    if context is None:
        return
    outwards = case.spec.forward_cost is not Cost.NONE
    other = module(x, context + 1)[0] if outwards else module.inverse(y, context + 1)[0]
    assert bool((other != (y if outwards else x)).any()) == case.conditional


@every
def test_the_start_is_finite(case: Case) -> None:
    module: Transform = builder(case.spec)(case.spec, case.shape, case.context, "reference")
    context = torch.randn(ROWS, case.context) if case.context else None
    if case.spec.forward_cost is not Cost.NONE:
        stack = Stack([module], [case.context > 0], case.spec.base_shape(case.shape))
        out, log_det = stack(base_values(case), context)
        assert bool(torch.isfinite(out).all())
        assert bool(torch.isfinite(log_det).all())


def of(tag: str, **keys: Any) -> FlowLayer:
    found = registry.table("flow")[tag].model_validate(keys)
    assert isinstance(found, FlowLayer)
    return found


@pytest.mark.parametrize("tag", ["masked_ar", "inverse_ar"])
def test_the_order_of_entries_is_natural(tag: str) -> None:
    module = layer(of(tag, hidden=[8]), (4,))
    x = torch.randn(1, 4)
    for move in (module.forward, module.inverse):
        matrix = torch.autograd.functional.jacobian(lambda v, m=move: m(v)[0][0], x)[:, 0]
        assert bool((matrix.triu(1) == 0).all())
        assert bool((matrix.tril(-1) != 0)[torch.tril_indices(4, 4, -1).unbind()].all())


@pytest.mark.parametrize("inverse", [False, True])
def test_actnorm_starts_from_the_first_training_batch(inverse: bool) -> None:
    for shape in ((3,), (2, 2, 4)):
        module: Transform = builder(of("actnorm"))(of("actnorm"), shape, 0, "reference")
        values = 3.0 + 2.0 * torch.randn(50, *shape)
        move = module.inverse if inverse else module
        module.eval()
        torch.testing.assert_close(move(values)[0], values, rtol=0, atol=0)
        module.train()
        out = move(values)[0].reshape(50, shape[0], -1)
        torch.testing.assert_close(out.mean((0, 2)), torch.zeros(shape[0]), rtol=0, atol=1e-12)
        torch.testing.assert_close(out.var((0, 2), correction=0), torch.ones(shape[0]), rtol=1e-12, atol=0)
        kept = module.state_dict()
        fresh: Transform = builder(of("actnorm"))(of("actnorm"), shape, 0, "reference")
        fresh.load_state_dict(kept)
        again = fresh.inverse(values * 5)[0] if inverse else fresh(values * 5)[0]
        torch.testing.assert_close(again, move(values * 5)[0], rtol=0, atol=0)


@pytest.mark.parametrize("inverse", [False, True])
def test_a_whitening_layer_starts_from_the_first_training_batch(inverse: bool) -> None:
    spec = of("lu_linear", start="whiten")
    module: Transform = builder(spec)(spec, (3,), 0, "reference")
    values = 3.0 + torch.randn(50, 3) @ torch.tensor([[2.0, 0.7, -0.3], [0.0, 0.5, 1.0], [0.0, 0.0, 0.2]])
    move = module.inverse if inverse else module
    module.eval()
    torch.testing.assert_close(move(values)[0], values, rtol=0, atol=0)
    module.train()
    out, log_det = move(values)
    torch.testing.assert_close(out.mean(0), torch.zeros(3), rtol=0, atol=1e-12)
    torch.testing.assert_close(out.T @ out / 50, torch.eye(3), rtol=0, atol=1e-12)
    expected = -0.5 * torch.logdet((values - values.mean(0)).T @ (values - values.mean(0)) / 50)
    torch.testing.assert_close(log_det, expected.expand(50))
    fresh: Transform = builder(spec)(spec, (3,), 0, "reference")
    fresh.load_state_dict(module.state_dict())
    again = fresh.inverse(values * 5)[0] if inverse else fresh(values * 5)[0]
    torch.testing.assert_close(again, move(values * 5)[0], rtol=0, atol=0)


@pytest.mark.parametrize("inverse", [False, True])
def test_a_whitening_layer_that_is_given_labels_whitens_the_rows_of_each(inverse: bool) -> None:
    spec = of("lu_linear", start="whiten", given=True)
    module: Transform = builder(spec)(spec, (3,), 4, "reference")
    label = torch.arange(90) % 3
    context = torch.randn(3, 4)[label]
    values = torch.randn(90, 3) * (1.0 + label[:, None]) + label[:, None]
    values[:, 1] += (label - 1.0) * values[:, 0]
    out, log_det = (module.inverse if inverse else module)(values, context)
    for each in range(3):
        mine, moved = values[label == each], out[label == each]
        torch.testing.assert_close(moved.mean(0), torch.zeros(3), rtol=0, atol=1e-9)
        torch.testing.assert_close(moved.T @ moved / 30, torch.eye(3), rtol=0, atol=1e-9)
        expected = -0.5 * torch.logdet(torch.cov(mine.T, correction=0))
        torch.testing.assert_close(log_det[label == each], expected.expand(30))
    module.eval()
    back = (module.forward if inverse else module.inverse)(out, context)[0]
    torch.testing.assert_close(back, values, rtol=1e-9, atol=1e-9)


def test_rows_of_a_context_of_their_own_are_moved_as_those_that_share_one() -> None:
    spec = of("lu_linear", given=True)
    module = layer(spec, (3,), 4, spread=0.3)
    x, context = torch.randn(80, 3), torch.randn(80, 4)
    whole, log_det = module(x, context)
    each = [module(x[i : i + 1], context[i : i + 1]) for i in range(80)]
    torch.testing.assert_close(whole, torch.cat([y for y, _ in each]))
    torch.testing.assert_close(log_det, torch.cat([d for _, d in each]))


def test_a_whitening_layer_takes_variances_alone_from_few_rows() -> None:
    spec = of("lu_linear", start="whiten")
    module: Transform = builder(spec)(spec, (4,), 0, "reference")
    values = 2.0 * torch.randn(4, 4)
    values[:, 3] = 7.0
    out = module.inverse(values)[0]
    torch.testing.assert_close(out.var(0, correction=0), torch.tensor([1.0, 1.0, 1.0, 0.0]))


def test_the_1x1_convolution_starts_at_a_rotation_that_a_checkpoint_holds() -> None:
    spec = of("inv_1x1_conv")
    module: Transform = builder(spec)(spec, (5,), 0, "reference")
    matrix = module(torch.eye(5))[0]
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(5), rtol=0, atol=1e-12)
    other: Transform = builder(spec)(spec, (5,), 0, "reference")
    assert not torch.equal(other(torch.eye(5))[0], matrix)
    other.load_state_dict(module.state_dict())
    torch.testing.assert_close(other(torch.eye(5))[0], matrix, rtol=0, atol=0)


@pytest.mark.parametrize("tag", ["radial", "sylvester", "planar"])
@pytest.mark.parametrize("size", [3.0, 30.0, 300.0])
def test_every_parameter_value_is_invertible(tag: str, size: float) -> None:
    """Image and log-determinant are finite, at the centre too; the radial inverse finds the way back."""
    spec = of(tag, repeat=1)
    for trial in range(20):
        module: Transform = builder(spec)(spec, (2,), 0, "reference")
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(size * torch.randn_like(parameter))
        x = torch.cat([size * torch.randn(50, 2), torch.randn(50, 2)])
        if tag == "radial":
            x[0] = next(module.parameters())[:2].detach()
        y, log_det = module(x)
        assert bool(torch.isfinite(y).all()), trial
        assert bool(torch.isfinite(log_det).all()), trial
        if tag == "radial":
            torch.testing.assert_close(module.inverse(y)[0], x, rtol=1e-6, atol=1e-6)


def test_a_spline_starts_at_the_identity_and_is_right_at_its_edges() -> None:
    from gendsl.nn.transforms.spline import knots, rational_quadratic

    bound, pieces = 3.0, 6
    points = torch.tensor([-bound, bound, 0.0, 1e6, -1e6])
    points = torch.cat(
        [points, torch.nextafter(points[:2], torch.zeros(2)), torch.nextafter(points[:2], points[3:])]
    )
    plain, slope = rational_quadratic(points, torch.zeros(len(points), 3 * pieces - 1), bound)
    torch.testing.assert_close(plain, points, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(slope, torch.zeros_like(points), rtol=0, atol=1e-13)
    raw = 2.0 * torch.randn(1, 3 * pieces - 1)
    points = torch.cat([points, knots(raw[:, :pieces], bound)[0], torch.linspace(-4, 4, 401)]).sort().values
    image, slope = rational_quadratic(points, raw.expand(len(points), -1), bound)
    back, opposite = rational_quadratic(image, raw.expand(len(points), -1), bound, inverse=True)
    torch.testing.assert_close(back, points, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(opposite, -slope, rtol=1e-9, atol=1e-9)
    assert bool((image.diff()[points.diff() > 0] >= 0).all())
    outside = points.abs() > bound
    assert torch.equal(image[outside], points[outside])
    assert torch.equal(slope[outside], torch.zeros(int(outside.sum())))
    y_knots = knots(raw[:, pieces : 2 * pieces], bound)[0]
    x_knots = knots(raw[:, :pieces], bound)[0]
    at, _ = rational_quadratic(x_knots, raw.expand(pieces + 1, -1), bound)
    torch.testing.assert_close(at, y_knots, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("size", [1.0, 30.0, 1000.0])
def test_a_spline_of_extreme_raw_numbers_stays_finite(size: float) -> None:
    from gendsl.nn.transforms.spline import rational_quadratic

    for dtype in (torch.float32, torch.float64):
        raw = (size * torch.randn(200, 23)).to(dtype).requires_grad_()
        value = torch.linspace(-6, 6, 200, dtype=dtype, requires_grad=True)
        for inverse in (False, True):
            image, slope = rational_quadratic(value, raw, 5.0, inverse=inverse)
            gradients = torch.autograd.grad(image.sum() + slope.sum(), (raw, value))
            assert all(bool(torch.isfinite(t).all()) for t in (image, slope, *gradients))


@pytest.mark.parametrize("how", [None, "reverse", "shuffle", "lu_linear"])
@pytest.mark.parametrize(
    ("mask", "shape"), [("half", (5,)), ("half", (6,)), ("checkerboard", (1, 4, 4)), ("channel", (4, 2, 2))]
)
def test_two_couplings_transform_most_entries_whatever_stands_between(
    how: str | None, mask: str, shape: tuple[int, ...]
) -> None:
    """A reversal of a checkerboard keeps its colours, one of halves exchanges them: neither may undo the alternation."""
    spec = Coupling(mask=mask, repeat=2, between=how, hidden=(8,), transform="additive")
    stack = build_coupling(spec, shape, 0, "auto")
    for parameter in stack.parameters():
        torch.nn.init.normal_(parameter) if parameter.dim() > 1 else parameter.data.normal_()
    if how == "lu_linear":
        for layer in stack.modules():
            if isinstance(layer, LUMatrix):
                for parameter in layer.parameters():
                    parameter.data.zero_()
    one, other = torch.randn(2, 1, *shape)
    bijection = stack(torch.cat([one, other]))[0]
    order = next((m.order for m in stack.modules() if isinstance(m, Permutation)), torch.arange(one.numel()))
    moved = bijection.flatten(1) - torch.cat([one, other]).flatten(1)[:, order]
    assert float((moved.abs() > 1e-6).all(0).float().mean()) >= 0.75
