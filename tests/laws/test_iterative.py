"""Laws of the flow layers that are solved numerically: residual and continuous.

What every layer obeys is in test_transforms; here are estimates without bias, contraction, the fixed point's gradient,
the order of the solver, and the solver that is an extra.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gendsl.nn.building import builder
from gendsl.nn.transforms.continuous import ContinuousFlow
from gendsl.nn.transforms.stack import Transform
from gendsl.runtime.verify import flows
from gendsl.runtime.verify.flows import Case
from gendsl.runtime.verify.subject import perturb
from gendsl.schema.components.flow import FlowLayer, Permute
from gendsl.schema.components.flow_iterative import Continuous, Residual
from gendsl.schema.components.flow_shape import Chain

CONTEXTS = [0, 3]


def case(spec: FlowLayer, size: int, context: int) -> Case:
    """The layer away from the identity, float64, with twelve rows."""
    torch.manual_seed(1)
    layer: Transform = builder(spec)(spec, (size,), context, "auto").double()
    perturb(layer, 0.3)
    x = torch.randn(12, size, dtype=torch.float64)
    return Case(spec.tag, spec, layer, x, torch.randn(12, context).double() if context else None)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize(
    "spec",
    [
        Residual(hidden=(16,), log_det="estimate", terms=2),
        Continuous(hidden=(16,), trace="estimate", steps=4),
    ],
    ids=["residual", "continuous"],
)
def test_an_estimated_log_det_has_no_bias(spec: FlowLayer, context: int) -> None:
    """Against the Jacobian, within five standard errors of 200 estimates; twice the number must show."""
    found = case(spec, 5, context)
    assert spec.estimated((5,))
    assert flows.bias(found) < flows.BIAS_BOUND
    name = "inverse" if flows.inwards(spec) else "forward"
    right = getattr(found.layer, name)

    def wrong(y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, log_det = right(y, context)
        return x, 2 * log_det

    setattr(found.layer, name, wrong)
    assert flows.bias(found) > flows.BIAS_BOUND


def test_small_layers_are_exact() -> None:
    assert not Residual().estimated((64,))
    assert Residual().estimated((65,))
    assert not Residual(log_det="exact").estimated((65,))
    assert Continuous().estimated((65,))
    assert Chain(stack=(Permute(), Residual(log_det="estimate"))).estimated((4,))


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e3])
def test_a_residual_layer_contracts_at_extreme_parameters(size: float) -> None:
    """|g(a) - g(b)| <= lipschitz |a - b| whatever the weights."""
    spec = Residual(hidden=(16, 16), lipschitz=0.9)
    layer = case(spec, 5, 0).layer
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(size).add_(size * torch.randn_like(parameter))
        a, b = torch.randn(2, 500, 5, dtype=torch.float64)
        b = a + 0.3 * (b - a)
        moved = (layer.inverse(a)[0] - a) - (layer.inverse(b)[0] - b)
        assert (moved.norm(dim=1) <= 0.9 * (a - b).norm(dim=1) + 1e-12).all()
        assert layer.inverse(a)[1].isfinite().all()


def test_gradients_through_a_fixed_point() -> None:
    """Of the samples and their log-determinant, by inputs and parameters, against finite differences."""
    found = case(Residual(hidden=(8,)), 3, 3)
    layer = found.layer
    assert found.context is not None
    x, read = found.x[:2].requires_grad_(), found.context[:2].requires_grad_()
    names = [n for n, _ in layer.named_parameters()]
    values = [p.detach().requires_grad_() for p in layer.parameters()]

    def forward(x: Tensor, read: Tensor, *values: Tensor) -> tuple[Tensor, Tensor]:
        held = dict(zip(names, values, strict=True))
        moved: tuple[Tensor, Tensor] = torch.func.functional_call(layer, held, (x, read))
        return moved

    assert torch.autograd.gradcheck(
        forward, (x, read, *values), rtol=1e-4, atol=1e-7, check_undefined_grad=False
    )


def stepped(spec: Continuous, context: int = 0) -> tuple[Case, ContinuousFlow]:
    found = case(spec, 5, context)
    assert isinstance(found.layer, ContinuousFlow)
    return found, found.layer


@torch.no_grad()
def test_the_error_of_rk4_falls_with_the_fourth_power_of_the_steps() -> None:
    found, layer = stepped(Continuous(hidden=(16,)))
    ends = []
    for steps in (4, 8, 64):
        layer.spec = Continuous(hidden=(16,), steps=steps)
        ends.append(torch.cat([t.flatten() for t in layer(found.x)]))
    coarse, fine = ((end - ends[2]).norm() for end in ends[:2])
    assert 10 < coarse / fine < 24
    assert fine / ends[2].norm() < Continuous(steps=8).error


@torch.no_grad()
def test_an_adaptive_solver_agrees_with_the_fixed_one() -> None:
    pytest.importorskip("torchdiffeq")
    found, layer = stepped(Continuous(hidden=(16,), steps=40), 3)
    y, log_det = layer(found.x, found.context)
    layer.spec = Continuous(hidden=(16,), solver="dopri5", tolerance=1e-8)
    other, other_log_det = layer(found.x, found.context)
    assert torch.allclose(other, y, rtol=1e-5, atol=1e-6)
    assert torch.allclose(other_log_det, log_det, rtol=1e-5, atol=1e-6)
    assert torch.allclose(layer.inverse(y, found.context)[0], found.x, rtol=1e-5, atol=1e-5)


def test_an_adaptive_solver_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "gendsl[continuous]" in (Continuous(solver="dopri5").problem((4,)) or "")
    assert Continuous().problem((4,)) is None
