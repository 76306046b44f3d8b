"""Laws of the planar stack's reference: the Jacobian, every derivative, the dtypes and the layouts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gendsl.kernels.planar import planar_stack
from gendsl.kernels.planar_reference import layers, reference
from tests.kernels.planar_cases import LAYOUTS, SIZES, close, error, gradients, in_float64, inputs

each_layout = pytest.mark.parametrize("layout", LAYOUTS)


def jacobian(stack, z: Tensor, *parameters: Tensor) -> Tensor:
    """[B, D, D], from reverse mode; a row's output depends on that row alone."""
    outputs = stack(z, *parameters)[0].sum(0)
    rows = [torch.autograd.grad(x, z, retain_graph=True)[0] for x in outputs]
    return torch.stack(rows, 1)


@each_layout
@pytest.mark.parametrize(("B", "K", "D"), [(3, 1, 1), (5, 4, 3), (4, 16, 16)])
@pytest.mark.parametrize("stack", [reference, layers])
def test_log_det_is_the_jacobians(stack, B: int, K: int, D: int, layout: str) -> None:
    values = inputs(B, K, D, layout)
    _, log_det = stack(*values)
    expected = torch.linalg.slogdet(jacobian(stack, *values)).logabsdet
    assert expected.abs().median() > 0.3
    assert error(log_det, expected) < 1e-10


def test_log_det_of_a_map_that_reverses_orientation() -> None:
    z, u, w, b = inputs(6, 1, 3, "shared")
    u = (-2.5 * w / (w * w).sum()).detach()
    values = (z, u, w, b)
    sign, expected = torch.linalg.slogdet(jacobian(reference, *values))
    assert (sign < 0).any()
    close([reference(*values)[1], layers(*values)[1]], [expected, expected], 1e-10)


@each_layout
@pytest.mark.parametrize(("B", "K", "D"), SIZES)
def test_written_out_derivatives_are_autograds(B: int, K: int, D: int, layout: str) -> None:
    values = inputs(B, K, D, layout)
    close(gradients(reference, values), gradients(layers, values), 1e-10)


@each_layout
def test_float32_is_as_accurate_as_the_definition(layout: str) -> None:
    values = inputs(128, 16, 16, layout, torch.float32)
    close(gradients(reference, values), gradients(layers, in_float64(values)), 2e-6)


def test_log_det_keeps_its_accuracy_near_the_identity() -> None:
    values = inputs(9, 3, 4, "per_sample", torch.float32)
    values = [values[0], values[1] * 1e-6, *values[2:]]
    expected = layers(*in_float64(values))[1]
    assert expected.abs().max() < 1e-4
    assert error(reference(*values)[1], expected) < 1e-5


@each_layout
def test_first_and_second_derivatives_are_those_of_finite_differences(layout: str) -> None:
    values = inputs(2, 2, 2, layout)
    assert torch.autograd.gradcheck(reference, values)
    assert torch.autograd.gradgradcheck(reference, values)


@each_layout
def test_gradient_of_a_gradient_penalty(layout: str) -> None:
    values = inputs(5, 3, 4, layout)

    def penalty(stack) -> tuple[Tensor, ...]:
        out, log_det = stack(*values)
        (slope,) = torch.autograd.grad(out.square().sum() + log_det.sum(), values[0], create_graph=True)
        return torch.autograd.grad(slope.norm(dim=1).square().sum(), values)

    close(penalty(reference), penalty(layers), 1e-10)


@each_layout
def test_forward_mode_and_transforms(layout: str) -> None:
    values = tuple(x.detach() for x in inputs(3, 2, 4, layout))
    tangents = tuple(x.detach() for x in inputs(3, 2, 4, layout, seed=5))
    _, (moved, moved_log_det) = torch.func.jvp(planar_stack, values, tangents)
    step = 1e-6
    ahead = planar_stack(*(x + step * v for x, v in zip(values, tangents, strict=True)))
    behind = planar_stack(*(x - step * v for x, v in zip(values, tangents, strict=True)))
    close([moved, moved_log_det], [(a - b) / (2 * step) for a, b in zip(ahead, behind, strict=True)], 1e-7)
    stacked = [torch.stack([x, v]) for x, v in zip(values, tangents, strict=True)]
    mapped = torch.func.vmap(planar_stack)(*stacked)
    close([x[1] for x in mapped], planar_stack(*tangents), 1e-12)
    by_transform = torch.func.grad(lambda z: planar_stack(z, *values[1:])[1].sum())(values[0])
    leaf = values[0].clone().requires_grad_()
    by_tape = torch.autograd.grad(planar_stack(leaf, *values[1:])[1].sum(), leaf)[0]
    assert error(by_transform, by_tape) < 1e-12


@each_layout
def test_strides_do_not_matter(layout: str) -> None:
    values = inputs(7, 3, 5, layout)
    strided = [x.detach().mT.contiguous().mT if x.dim() > 1 else x.detach() for x in values]
    wide = [torch.cat([x, x], -1)[..., : x.shape[-1]].requires_grad_() for x in strided]
    assert not any(x.is_contiguous() for x in wide if x.dim() > 1)
    close(gradients(reference, wide), gradients(layers, values), 1e-10)


@each_layout
def test_an_empty_batch(layout: str) -> None:
    values = inputs(0, 3, 4, layout)
    out, log_det = planar_stack(*values)
    assert (out.shape, log_det.shape) == ((0, 4), (0,))
    found = torch.autograd.grad(out.sum() + log_det.sum(), values)
    assert all(g.shape == x.shape and not g.any() for g, x in zip(found, values, strict=True))


@each_layout
def test_lower_precision_is_raised_to_float32(layout: str) -> None:
    values = [x.detach() for x in inputs(4, 3, 5, layout, torch.bfloat16)]
    expected = planar_stack(*(x.float() for x in values))
    close(planar_stack(*values), expected, 0.0)
    assert all(x.dtype == torch.float32 for x in planar_stack(*values))
    assert planar_stack(values[0].double(), *values[1:])[0].dtype == torch.float64


@each_layout
def test_autocast_changes_nothing(layout: str) -> None:
    values = inputs(9, 4, 6, layout, torch.float32)
    expected = gradients(planar_stack, values)
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(planar_stack, values)
    close(found, expected, 0.0)


@each_layout
def test_compiles_and_exports_whole(layout: str) -> None:
    values = inputs(5, 2, 3, layout, torch.float32)
    compiled = torch.compile(planar_stack, backend="aot_eager", fullgraph=True)
    close(gradients(compiled, values), gradients(planar_stack, values), 1e-6)

    class Module(torch.nn.Module):
        def forward(self, z: Tensor, u: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
            return planar_stack(z, u, w, b)

    plain = tuple(x.detach() for x in values)
    close(torch.export.export(Module(), plain).module()(*plain), planar_stack(*plain), 1e-6)


@pytest.mark.parametrize("change", ["z", "u", "w", "b", "mixed", "none"])
def test_shapes_that_do_not_fit_are_refused(change: str) -> None:
    z, u, w, b = inputs(4, 3, 5, "per_sample")
    wrong = {
        "z": (z[:, :4], u, w, b),
        "u": (z, u[:, :2], w, b),
        "w": (z, u, w[:3], b),
        "b": (z, u, w, b[:, :2]),
        "mixed": (z, u[0], w[0], b),
        "none": (z, u[:, :0], w[:, :0], b[:, :0]),
    }
    with pytest.raises(ValueError, match=r"planar_stack needs z \[B, D\].*found z \["):
        planar_stack(*wrong[change])
