"""The fused kernels on a GPU, beside the same operation in eager PyTorch and under torch.compile.

    python -m benchmarks.gpu --dry-run        what would be measured, and the least time that bytes and
    operations allow python -m benchmarks.gpu --json out.json  measure, on the current CUDA or ROCm device

The least time is static: the operands read and written once, over the data sheet's bandwidth, or the
operations over its float32 rate, whichever is longer. It is a lower bound for any implementation, not a
measurement of ours.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from gendsl.kernels.planar import planar_stack
from gendsl.kernels.planar_reference import layers

Stack = Callable[..., tuple[Tensor, Tensor]]
FLOAT = 4  # bytes


@dataclass(frozen=True)
class Device:
    """A data sheet: bytes and float32 operations a second, outside the matrix units."""

    name: str
    bandwidth: float
    rate: float


DEVICES = (
    Device("A100 SXM 80 GB", 2.04e12, 19.5e12),
    Device("H100 SXM", 3.35e12, 67e12),
    Device("MI300X", 5.3e12, 163e12),
)


@dataclass(frozen=True)
class Case:
    """A planar stack of K layers on B rows of D features, in float32."""

    B: int
    K: int
    D: int
    layout: str
    mode: str

    @property
    def moved(self) -> int:
        """Bytes that have to be read or written: each operand once, and the kept arguments of tanh."""
        B, K, D = self.B, self.K, self.D
        parameters = (2 * D + 1) * K * (1 if self.layout == "shared" else B)
        forward = 2 * B * D + B + B * K + parameters
        backward = 3 * B * D + B + B * K + 2 * parameters
        return FLOAT * (forward + (backward if self.mode == "forward+backward" else 0))

    @property
    def operations(self) -> int:
        """Additions and multiplications, with 20 for each tanh and logarithm."""
        inner = 0 if self.layout == "shared" else 2 * self.D
        forward = 4 * self.D + inner + 40
        backward = 14 * self.D + inner + 40
        return self.B * self.K * (forward + (backward if self.mode == "forward+backward" else 0))

    def least_seconds(self, device: Device) -> float:
        return max(self.moved / device.bandwidth, self.operations / device.rate)

    def inputs(self) -> list[Tensor]:
        rows = () if self.layout == "shared" else (self.B,)
        shapes = (self.B, self.D), (*rows, self.K, self.D), (*rows, self.K, self.D), (*rows, self.K)
        return [torch.randn(shape, device="cuda").mul_(0.3).requires_grad_() for shape in shapes]


SIZES = (
    (4096, 16, 64, "shared"),
    (65536, 32, 64, "shared"),
    (65536, 16, 256, "shared"),
    (128, 16, 16, "per_sample"),
    (4096, 16, 16, "per_sample"),
    (16384, 16, 64, "per_sample"),
)
CASES = tuple(Case(*size, mode) for size in SIZES for mode in ("forward", "forward+backward"))


def implementations() -> dict[str, Stack]:
    def fused(z: Tensor, u: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return planar_stack(z, u, w, b, kernels="triton")

    return {"triton": fused, "eager": layers, "compile": torch.compile(layers, fullgraph=True, dynamic=False)}


def milliseconds(stack: Stack, values: Sequence[Tensor], backward: bool) -> tuple[float, float, float]:
    """Median and the 20 % and 80 % quantiles of one step."""
    from triton.testing import do_bench

    def step() -> None:
        if not backward:
            with torch.no_grad():
                stack(*values)
            return
        results = stack(*values)
        torch.autograd.grad(results, values, [torch.ones_like(x) for x in results])

    median, low, high = do_bench(step, warmup=50, rep=200, quantiles=[0.5, 0.2, 0.8])
    return median, low, high


def plan() -> list[str]:
    """The lines of a dry run."""
    devices = "".join(f"{device.name:>18}" for device in DEVICES)
    lines = [
        "Would measure triton, eager and compile. Least time in microseconds, static, from data sheets:",
        f"{'layout':<12}{'B':>7}{'K':>4}{'D':>5}  {'mode':<18}{'MB':>9}{'Gflop':>8}{devices}",
    ]
    for case in CASES:
        times = "".join(f"{case.least_seconds(device) * 1e6:>18.1f}" for device in DEVICES)
        lines.append(
            f"{case.layout:<12}{case.B:>7}{case.K:>4}{case.D:>5}  {case.mode:<18}"
            f"{case.moved / 1e6:>9.2f}{case.operations / 1e9:>8.2f}{times}"
        )
    return lines


def measure(case: Case) -> dict[str, object]:
    """One row: milliseconds of each implementation with quantiles, and the bandwidth that ours reaches."""
    values = case.inputs()
    row: dict[str, object] = asdict(case)
    for name, stack in implementations().items():
        median, low, high = milliseconds(stack, values, case.mode == "forward+backward")
        row |= {f"{name}_ms": median, f"{name}_ms_20": low, f"{name}_ms_80": high}
        if name == "triton":
            row["triton_gb_per_s"] = case.moved / median / 1e6
    return row


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--dry-run", action="store_true", help="only say what would be measured")
    parser.add_argument("--json", type=Path, help="also write the rows, with the device's name, to this file")
    arguments = parser.parse_args()
    if arguments.dry_run:
        print("\n".join(plan()))
        return
    if not torch.cuda.is_available():
        parser.error("no CUDA or ROCm device: use --dry-run")
    torch.manual_seed(0)
    rows = []
    for case in CASES:
        rows.append(measure(case))
        print(json.dumps(rows[-1]), flush=True)
    if arguments.json:
        about = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
        arguments.json.write_text(json.dumps({**about, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
