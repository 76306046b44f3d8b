"""Which implementation an operator gets, and that asking costs neither torch nor triton."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from gendsl.errors import GendslError
from gendsl.kernels import table
from gendsl.kernels.chooser import choose
from gendsl.kernels.planar import planar_stack
from gendsl.kernels.table import OPS, PLANAR_STACK, KernelError, Placement, decide, place
from tests.kernels.planar_cases import inputs


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "INSTALLED", True)
    monkeypatch.setattr(table, "INTERPRETED", False)


def test_auto_takes_triton_on_a_cuda_device_alone() -> None:
    assert place("planar_stack", "cpu", "auto") == Placement("planar_stack", "reference", "CPU")
    assert place("planar_stack", "cuda:1", "auto") == Placement("planar_stack", "triton", "CUDA device")
    assert place("planar_stack", "mps", "auto").implementation == "reference"
    assert place("planar_stack", "auto", "auto").implementation == "reference"
    assert "CUDA" in place("planar_stack", "auto", "auto").reason


def test_reference_is_taken_when_asked_for() -> None:
    for device in ("cpu", "cuda", "auto"):
        assert place("planar_stack", device, "reference") == Placement(
            "planar_stack", "reference", "asked for"
        )


def test_triton_is_an_error_where_it_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert place("planar_stack", "cuda", "triton").implementation == "triton"
    with pytest.raises(KernelError, match="needs a CUDA or ROCm device"):
        place("planar_stack", "cpu", "triton")
    monkeypatch.setattr(table, "INSTALLED", False)
    with pytest.raises(GendslError, match="triton is not installed"):
        place("planar_stack", "cuda", "triton")
    assert place("planar_stack", "cuda", "auto") == Placement(
        "planar_stack", "reference", "triton is not installed"
    )


def test_dtypes_and_sizes_are_held_against_the_table() -> None:
    assert decide(PLANAR_STACK, "cuda", "auto", "float32", (("D", 64), ("K", 8))).implementation == "triton"
    refused = decide(PLANAR_STACK, "cuda", "auto", "bfloat16")
    assert (refused.implementation, refused.reason) == (
        "reference",
        "dtype bfloat16 is none of float32, float64",
    )
    assert decide(PLANAR_STACK, "cuda", "auto", "float32", (("D", 4096),)).reason == "D = 4096 is over 2048"
    with pytest.raises(KernelError, match="K = 5000 is over 1024"):
        decide(PLANAR_STACK, "cuda", "triton", "float32", (("K", 5000),))


def test_a_call_follows_the_policy() -> None:
    values = inputs(3, 2, 4, "shared")
    assert choose(PLANAR_STACK, values[0], (("D", 4),), "auto").implementation == "reference"
    with pytest.raises(KernelError, match="planar_stack cannot use its Triton kernel"):
        planar_stack(*values, kernels="triton")
    with pytest.raises(ValueError, match="unknown kernel policy 'fast'"):
        planar_stack(*values, kernels="fast")
    assert torch.equal(planar_stack(*values, kernels="reference")[0], planar_stack(*values)[0])


def test_unknown_operators_are_named() -> None:
    with pytest.raises(LookupError, match="planar_stack"):
        place("planar", "cpu", "auto")
    assert len({op.name for op in OPS}) == len(OPS)


def test_the_table_needs_no_torch_and_the_reference_no_triton() -> None:
    program = """
import sys
from gendsl.kernels.table import place
place("planar_stack", "cpu", "auto")
assert not {"torch", "triton"} & set(sys.modules)
import torch
from gendsl.kernels.planar import planar_stack
values = [torch.randn(s).requires_grad_() for s in ((3, 4), (2, 4), (2, 4), (2,))]
planar_stack(*values)[1].sum().backward()
assert "triton" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
