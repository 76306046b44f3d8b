"""Which fused operators there are, and the rule that places one. For the compiler too: no torch, no triton.

A policy is the spec's `run.kernels`: `auto` takes the Triton kernel where it can run, `reference` never does,
and `triton` insists: where the kernel cannot run, that is an error with the reason and not a quiet fallback.
An operator that torch does well by itself has no Triton kernel: `auto` takes torch's, `triton` is an error.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from gendsl.errors import GendslError

Policy = Literal["auto", "reference", "triton"]
Implementation = Literal["reference", "triton", "torch"]

INSTALLED = find_spec("triton") is not None
"""Whether triton can be imported."""
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Whether Triton kernels run in its interpreter, on CPU tensors. Triton too reads this only once."""


class KernelError(GendslError):
    """`kernels: triton` was asked for where the Triton kernel cannot run. The message gives the reason."""


@dataclass(frozen=True)
class KernelOp:
    """A fused operator: what its Triton kernels accept. `limits` bounds sizes by their letters in `sizes`.

    `torchs` names the function of torch that serves where there are no Triton kernels of ours.
    """

    name: str
    summary: str
    sizes: str
    dtypes: tuple[str, ...] = ()
    limits: tuple[tuple[str, int], ...] = ()
    torchs: str | None = None


@dataclass(frozen=True)
class Placement:
    """The implementation that an operator gets, and why."""

    op: str
    implementation: Implementation
    reason: str


PLANAR_STACK = KernelOp(
    name="planar_stack",
    summary="K planar layers and their log-determinant in one pass",
    sizes="z [B, D]; u, w [K, D] or [B, K, D]; b [K] or [B, K]",
    dtypes=("float32", "float64"),
    limits=(("D", 2048), ("K", 1024)),
)
ATTENTION = KernelOp(
    name="attention",
    summary="softmax(q k^T / sqrt(E)) v of every head, causal or not",
    sizes="q [B, H, T, E]; k, v [B, H, S, E]",
    torchs="scaled_dot_product_attention",
)
OPS: tuple[KernelOp, ...] = (PLANAR_STACK, ATTENTION)


def operator(name: str) -> KernelOp:
    """The operator called `name`. Raises LookupError."""
    for op in OPS:
        if op.name == name:
            return op
    raise LookupError(f"no fused operator {name!r}; there are: {', '.join(op.name for op in OPS)}")


def decide(
    op: KernelOp,
    device: str,
    policy: Policy,
    dtype: str | None = None,
    sizes: tuple[tuple[str, int], ...] = (),
) -> Placement:
    """The rule. `device` is a type ("cpu", "cuda"); `dtype` and `sizes`, where known, are held against `op`.

    Raises KernelError under the policy `triton` if the kernel cannot run, ValueError for an unknown policy.
    """
    if policy == "reference":
        return Placement(op.name, "reference", "asked for")
    if policy not in ("auto", "triton"):
        raise ValueError(f"unknown kernel policy {policy!r}: auto, reference or triton")
    if op.torchs is not None and policy == "auto":
        return Placement(op.name, "torch", op.torchs)
    if op.torchs is not None:
        raise KernelError(f"kernels: triton, but {op.name} has no Triton kernel: torch's {op.torchs} serves")
    if policy == "auto" and device == "cpu":
        return Placement(op.name, "reference", "CPU")
    reason = _refusal(op, device, dtype, sizes)
    if reason is None:
        return Placement(op.name, "triton", "asked for" if policy == "triton" else "CUDA device")
    if policy == "triton":
        raise KernelError(f"kernels: triton, but {op.name} cannot use its Triton kernel: {reason}")
    return Placement(op.name, "reference", reason)


def place(op_name: str, device: str, policy: Policy) -> Placement:
    """Where an operator will run, as far as that is known before a tensor exists.

    `device` is the spec's: "cpu", "cuda", "cuda:1", or "auto", which only the run itself resolves. ROCm
    devices are called "cuda" in PyTorch. Raises KernelError and ValueError as `decide`, LookupError for an
    unknown operator.
    """
    op = operator(op_name)
    if op.torchs is not None:
        return decide(op, device, policy)
    if device == "auto" and policy == "auto":
        return Placement(op.name, "reference", "CPU; triton where the run finds a CUDA device")
    if device == "auto" and policy == "triton":
        return Placement(op.name, "triton", "asked for; an error where the run finds no CUDA device")
    return decide(op, device.partition(":")[0], policy)


def _refusal(op: KernelOp, device: str, dtype: str | None, sizes: tuple[tuple[str, int], ...]) -> str | None:
    if not INSTALLED:
        return "triton is not installed"
    if device != "cuda" and not (device == "cpu" and INTERPRETED):
        return (
            "it needs a CUDA or ROCm device, not the CPU"
            if device == "cpu"
            else f"no kernel for device {device}"
        )
    if dtype is not None and dtype not in op.dtypes:
        return f"dtype {dtype} is none of {', '.join(op.dtypes)}"
    for letter, limit in op.limits:
        for name, size in sizes:
            if name == letter and size > limit:
                return f"{letter} = {size} is over {limit}"
    return None
