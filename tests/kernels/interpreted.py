"""The planar kernels in Triton's interpreter, against the reference in float64.

Not collected by name: `test_planar_kernels.py` runs this file in a process of its own, because
TRITON_INTERPRET is read when a kernel is declared. By hand: `TRITON_INTERPRET=1 python -m pytest
tests/kernels/interpreted.py`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gendsl.kernels import planar_launch, planar_triton
from gendsl.kernels.planar import planar_stack
from gendsl.kernels.planar_reference import layers
from gendsl.kernels.table import INTERPRETED
from tests.kernels.planar_cases import LAYOUTS, Stack, close, error, gradients, in_float64, inputs

assert INTERPRETED, "run with TRITON_INTERPRET=1"
each_layout = pytest.mark.parametrize("layout", LAYOUTS)
SIZES = ((1, 1, 1), (3, 2, 17), (17, 3, 3), (65, 2, 5), (130, 2, 65))
SENTINEL = 777.0


def triton_stack(*values: Tensor) -> tuple[Tensor, Tensor]:
    return planar_stack(*values, kernels="triton")


def parity(stack: Stack, values: list[Tensor] | tuple[Tensor, ...]) -> None:
    """Every result may be off by 8 times what the float32 reference is off by, and by 8 roundings."""
    exact = gradients(layers, in_float64(values))
    plain = gradients(layers, values)
    for x, y, z in zip(gradients(stack, values), plain, exact, strict=True):
        assert error(x, z) <= 8 * max(torch.finfo(x.dtype).eps, error(y, z))


def strided(x: Tensor) -> Tensor:
    """The same values with other strides, the last one 2 for a matrix: a slice of something larger."""
    rows = torch.cat([x.detach(), torch.full_like(x, torch.nan)], -1)
    return rows[..., : x.shape[-1]].requires_grad_()


def padded(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A contiguous tensor of zeros that lies between sentinels."""
    size = torch.Size(shape).numel()
    buffer = torch.full((size + 512,), SENTINEL, dtype=dtype)
    buffer[256 : 256 + size] = 0
    return buffer[256 : 256 + size].view(shape)


def intact(x: Tensor) -> bool:
    whole = x.new_empty(0).set_(x.untyped_storage())
    return bool((whole[:256] == SENTINEL).all() and (whole[256 + x.numel() :] == SENTINEL).all())


def check_launches(layout: str) -> None:
    """Forward and backward launched directly: padded buffers, strided inputs, several tiles a program."""
    B, K, D = 11, 3, 5
    tiles = planar_launch.Tiling(rows=2, columns=8, warps=4, programs=2)
    values = inputs(B, K, D, layout)
    expected = gradients(layers, values)
    z, u, w, b = (strided(x).detach() for x in values)
    generator = torch.Generator().manual_seed(1)  # as in `gradients`
    grad, grad_log_det = (torch.randn(s, generator=generator, dtype=torch.float64) for s in ((B, D), (B,)))
    grad, grad_log_det = strided(grad).detach(), torch.stack([grad_log_det] * 2, 1)[:, 0]
    results = tuple(padded(shape, torch.float64) for shape in ((B, D), (B,), (K, B)))
    planar_launch.forward_into(results, z, u, w, b, tiles)
    lead = (2,) if layout == "shared" else (B,)
    found = tuple(padded(s, torch.float64) for s in ((B, D), (*lead, K, D), (*lead, K, D), (*lead, K)))
    planar_launch.backward_into(found, results[0], results[2], u, w, grad, grad_log_det, tiles)
    assert all(intact(x) for x in (*results, *found)), "written outside"
    gz, *rest = found
    close([*results[:2], gz, *((x.sum(0) for x in rest) if layout == "shared" else rest)], expected, 1e-12)


@each_layout
@pytest.mark.parametrize(("B", "K", "D"), SIZES)
def test_forward_and_every_gradient(B: int, K: int, D: int, layout: str) -> None:
    parity(triton_stack, inputs(B, K, D, layout, torch.float32))


@each_layout
def test_launches(layout: str) -> None:
    check_launches(layout)


@each_layout
def test_strides(layout: str) -> None:
    values = inputs(5, 2, 3, layout, torch.float32)
    wide = [strided(x) for x in values]
    parity(triton_stack, wide)
    z, u, w, b = (x.detach() for x in values)
    turned = [z.mT.contiguous().mT, u.mT.contiguous().mT, w.mT.contiguous().mT, b]
    parity(triton_stack, [x.requires_grad_() for x in turned])
    leaves = [x.requires_grad_() for x in (z, u, w, b)]
    found = torch.autograd.grad(sum(x.sum() for x in triton_stack(*leaves)), leaves)  # expanded gradients
    expected = torch.autograd.grad(sum(x.sum() for x in layers(*leaves)), leaves)
    close(found, expected, 1e-5)


@each_layout
def test_an_empty_batch(layout: str) -> None:
    values = inputs(0, 2, 3, layout, torch.float32)
    found = gradients(triton_stack, values)
    assert [x.shape for x in found] == [x.shape for x in gradients(layers, values)]
    assert not any(x.any() for x in found)


@each_layout
def test_saturated_still_and_reversing_layers(layout: str) -> None:
    z, u, w, b = (x.detach().clone() for x in inputs(6, 4, 3, layout, torch.float32))
    b[..., 0], b[..., 1] = 60.0, -1e30
    u[..., 2, :] = 0
    w[..., 3, :] = 0.5 * u[..., 3, :]
    u[..., 3, :] *= -30
    values = [x.requires_grad_() for x in (z, u, w, b)]
    parity(triton_stack, values)
    assert all(x.isfinite().all() for x in gradients(triton_stack, values))


def test_log_det_keeps_its_accuracy_near_the_identity() -> None:
    z, u, w, b = inputs(4, 2, 3, "shared", torch.float32)
    values = (z, u.detach() * 1e-6, w, b)
    assert error(triton_stack(*values)[1], layers(*in_float64(values))[1]) < 1e-5


@each_layout
def test_first_and_second_derivatives_are_those_of_finite_differences(layout: str) -> None:
    values = inputs(1, 2, 2, layout)
    assert torch.autograd.gradcheck(triton_stack, values)
    assert torch.autograd.gradgradcheck(triton_stack, values)


@each_layout
def test_gradient_of_a_gradient_penalty(layout: str) -> None:
    values = inputs(3, 2, 4, layout)

    def penalty(stack: Stack) -> tuple[Tensor, ...]:
        out, log_det = stack(*values)
        (slope,) = torch.autograd.grad(out.square().sum() + log_det.sum(), values[0], create_graph=True)
        return torch.autograd.grad(slope.norm(dim=1).square().sum(), values)

    close(penalty(triton_stack), penalty(layers), 1e-12)


def test_forward_mode_and_transforms_are_the_references() -> None:
    values = tuple(x.detach() for x in inputs(3, 2, 2, "per_sample"))
    tangents = tuple(x.detach() for x in inputs(3, 2, 2, "per_sample", seed=5))
    moved = torch.func.jvp(triton_stack, values, tangents)[1]
    close(moved, torch.func.jvp(layers, values, tangents)[1], 1e-12)
    by_row = torch.func.jacrev(lambda z: triton_stack(z, *values[1:])[1])(values[0])
    close([by_row], [torch.func.jacrev(lambda z: layers(z, *values[1:])[1])(values[0])], 1e-12)
    stacked = [torch.stack(pair) for pair in zip(values, tangents, strict=True)]
    close([x[1] for x in torch.func.vmap(triton_stack)(*stacked)], layers(*tangents), 1e-12)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(values[0], tangents[0])
        tangent = torch.autograd.forward_ad.unpack_dual(triton_stack(dual, *values[1:])[0]).tangent
    assert tangent.any()


@each_layout
def test_operators_keep_their_contract(layout: str) -> None:
    values = inputs(3, 2, 4, layout, torch.float32)
    torch.library.opcheck(torch.ops.gendsl.planar_stack.default, values)
    out, log_det, a = torch.ops.gendsl.planar_stack(*(x.detach() for x in values))
    arguments = (out, a, values[1].detach(), values[2].detach(), out, log_det)
    torch.library.opcheck(torch.ops.gendsl.planar_stack_backward.default, arguments)


def test_compiles_and_exports_whole() -> None:
    values = inputs(5, 2, 3, "shared", torch.float32)
    compiled = torch.compile(triton_stack, backend="aot_eager", fullgraph=True)
    close(gradients(compiled, values), gradients(triton_stack, values), 0.0)

    class Module(torch.nn.Module):
        def forward(self, z: Tensor, u: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
            return planar_stack(z, u, w, b, kernels="triton")

    exported = torch.export.export(Module(), tuple(x.detach() for x in values))
    assert "gendsl.planar_stack" in str(exported.graph)


def test_autocast_is_raised_to_float32() -> None:
    values = inputs(3, 2, 4, "shared", torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(triton_stack, values)
        raised = torch.ops.gendsl.planar_stack(*(x.detach().bfloat16() for x in values))
    close(found, gradients(triton_stack, values), 0.0)
    assert raised[0].dtype == torch.float32


def test_runs_repeat_bit_for_bit() -> None:
    values = inputs(65, 2, 5, "shared", torch.float32)
    assert all(map(torch.equal, gradients(triton_stack, values), gradients(triton_stack, values)))


MUTANTS = {
    "sign of the log-determinant": ("log_det += _log_abs_1p", "log_det -= _log_abs_1p"),
    "gradient of u through the determinant": ("gu = g * t[:, None] + gc[:, None] * w", "gu = g * t[:, None]"),
    "gradient of w through the activation": ("gw = z * ga[:, None] + gc", "gw = gc"),
    "gradient of w at the layer's input": ("z = z - u * t[:, None]", "z = z"),
    "gradient of z through the determinant": (" - 2.0 * c * t * gc", ""),
    "stride of z": ("rows[:, None] * z_row", "rows[:, None] * D"),
    "stride of u": ("p_rows[:, None] * u_row", "p_rows[:, None] * D"),
    "stride between layers of w": ("w_ptr += w_layer", "w_ptr += D"),
    "stride of b": ("b_ptr += b_layer", "b_ptr += K"),
    "stride of the gradient": ("rows[:, None] * g_row", "rows[:, None] * D"),
    "stride of the log-determinant's gradient": ("rows * l_row", "rows"),
    "mask of u's load": ("u_row + cols, mask=p_tile, other=0.0)", "u_row + cols)"),
    "mask of the output's store": ("cols, z, mask=tile)", "cols, z)"),
    "mask of the log-determinant's store": ("log_det, mask=live)", "log_det)"),
    "mask of a gradient's store": ("cols, g, mask=tile)", "cols, g)"),
    "mask of tanh's arguments' store": ("rows, a, mask=live)", "rows, a)"),
    "sum over tiles": (" + tl.load(gw_ptr + at, mask=p_tile, other=0.0)", ""),
    "rows of a later tile": ("(program + i * tl.num_programs(0))", "(program + i)"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_is_found(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(planar_triton.__file__).read_text()
    before, after = MUTANTS[name]
    assert before in source
    path = tmp_path / "mutant.py"
    path.write_text(source.replace(before, after))
    spec = importlib.util.spec_from_file_location("mutant", path)
    assert spec is not None
    assert spec.loader is not None
    mutant = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mutant)
    monkeypatch.setattr(planar_launch, "planar_triton", mutant)
    with pytest.raises(AssertionError, match=r"relative error|written outside"):
        _ = [check_launches(layout) for layout in LAYOUTS]
