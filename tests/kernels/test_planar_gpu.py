"""The planar kernels on a device, for who has one: `pytest -m gpu`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.gpu import CASES, DEVICES, plan
from gendsl.kernels.chooser import choose
from gendsl.kernels.planar import planar_stack
from gendsl.kernels.planar_reference import layers
from gendsl.kernels.table import PLANAR_STACK
from tests.kernels.planar_cases import LAYOUTS, close, error, gradients, in_float64, inputs

on_gpu = (
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA or ROCm device"),
)


def marked(test):
    for mark in on_gpu:
        test = mark(test)
    return test


def triton_stack(*values: Tensor) -> tuple[Tensor, Tensor]:
    return planar_stack(*values, kernels="triton")


def on_device(values) -> list[Tensor]:
    return [x.detach().cuda().requires_grad_() for x in values]


@marked
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("B", "K", "D"), [(1, 1, 1), (33, 3, 5), (100, 8, 17), (4099, 16, 64), (300, 4, 2048)]
)
def test_forward_and_every_gradient(B: int, K: int, D: int, dtype: torch.dtype, layout: str) -> None:
    values = inputs(B, K, D, layout, dtype)
    exact, plain = gradients(layers, in_float64(values)), gradients(layers, values)
    found = gradients(triton_stack, on_device(values))
    for x, y, z in zip(found, plain, exact, strict=True):
        assert error(x.cpu(), z) <= 16 * max(torch.finfo(dtype).eps, error(y, z))


@marked
def test_auto_takes_the_kernel() -> None:
    values = on_device(inputs(5, 3, 4, "shared", torch.float32))
    assert choose(PLANAR_STACK, values[0], (("D", 4), ("K", 3)), "auto").implementation == "triton"
    close(planar_stack(*values), triton_stack(*values), 0.0)


@marked
@pytest.mark.parametrize("layout", LAYOUTS)
def test_second_derivatives_and_repetition(layout: str) -> None:
    values = on_device(inputs(2, 2, 3, layout))
    assert torch.autograd.gradcheck(triton_stack, values)
    assert torch.autograd.gradgradcheck(triton_stack, values)
    large = on_device(inputs(5000, 4, 33, layout, torch.float32))
    assert all(map(torch.equal, gradients(triton_stack, large), gradients(triton_stack, large)))


@marked
def test_compiles_whole() -> None:
    values = on_device(inputs(513, 4, 33, "shared", torch.float32))
    compiled = torch.compile(triton_stack, fullgraph=True, dynamic=True)
    close(gradients(compiled, values), gradients(triton_stack, values), 1e-6)


@marked
def test_offsets_beyond_31_bits() -> None:
    rows = 2**31 // 64 + 1000
    if torch.cuda.mem_get_info()[0] < rows * 64 * 4 * 2.2:
        pytest.skip("needs 19 GB of free memory")
    z = torch.zeros(rows, 64, device="cuda")
    u, b = torch.full((1, 64), 0.1, device="cuda"), torch.ones(1, device="cuda")
    out, _ = planar_stack(z, u, u, b, kernels="triton")
    close([out[-1]], [layers(z[-1:], u, u, b)[0][0]], 1e-5)


def test_a_dry_run_needs_no_device() -> None:
    lines = plan()
    assert len(lines) == len(CASES) + 2
    assert all(case.least_seconds(device) > 0 for case in CASES for device in DEVICES)
