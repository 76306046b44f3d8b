"""Cross-compilation of the planar kernels without a GPU, and what the binaries say of themselves.

`python -m tests.kernels.aot` prints the measured figures as JSON, to renew `budget.json` from (see its test).
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import triton
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from gendsl.kernels import planar_launch, planar_triton

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
SHARED_LIMIT = {"sm_80": 166_912, "sm_90": 232_448, "sm_100": 232_448, "gfx942": 65_536}  # bytes per block
D = 64
B = 65536


@dataclass(frozen=True)
class Figures:
    """Registers of a thread, spills (stack bytes and spill instructions), shared bytes of a block."""

    registers: int
    spills: int
    shared: int


@dataclass(frozen=True)
class Binary:
    """A compiled kernel with its disassembly."""

    figures: Figures
    text: str


def cases() -> list[tuple[str, str, bool]]:
    """(kernel, target, shared parameters): both layouts on sm_90, per sample on the other targets."""
    names = ("planar_forward", "planar_backward")
    wanted = [(name, "sm_90", shared) for name in names for shared in (True, False)]
    return wanted + [(name, target, False) for target in TARGETS if target != "sm_90" for name in names]


def key(name: str, target: str, shared: bool) -> str:
    return f"{name}/{'shared' if shared else 'per_sample'}/D{D}/{target}"


def compile_kernel(name: str, target: str, shared: bool, columns: int = D, ones: bool = False) -> Binary:
    """Compile one kernel for float32 rows of `columns`, with the tiling and constants that a launch chooses.

    A launch makes a constant of an integer 1 and notes multiples of 16. Here parameters are dense and B, D
    are multiples of 16; with `ones`, B, K and the tiles are 1.
    """
    kernel = getattr(planar_triton, name)
    tiles = planar_launch.tiling(B, columns, shared)
    constants = {
        "D": columns,
        "SHARED": shared,
        "ROWS": tiles.rows,
        "COLUMNS": tiles.columns,
        "b_layer": 1,
        "l_row": 1,
    }
    if ones:
        constants |= {"B": 1, "K": 1, "TILES": 1, "z_row": 1, "u_layer": 1, "w_layer": 1, "g_row": 1}
    constants = {argument: value for argument, value in constants.items() if argument in kernel.arg_names}
    signature = {
        argument: "constexpr" if argument in constants else "*fp32" if argument.endswith("_ptr") else "i32"
        for argument in kernel.arg_names
    }
    attributes = {
        (i,): [["tt.divisibility", 16]]
        for i, argument in enumerate(kernel.arg_names)
        if signature[argument] != "constexpr" and argument not in ("K", "TILES", "b_row")
    }
    compiled = triton.compile(
        ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=attributes),
        target=TARGETS[target],
        options={"num_warps": tiles.warps, "enable_fp_fusion": True},
    )
    if target.startswith("sm_"):
        return _nvidia(compiled.asm["cubin"], compiled.metadata.shared)
    return _amd(compiled.asm["amdgcn"], compiled.metadata.shared)


def _nvidia(cubin: bytes, shared: int) -> Binary:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(cubin)
        usage = _tool("cuobjdump", "--dump-resource-usage", path)
        text = _tool("nvdisasm", "-c", path)
    found = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", usage))
    spills = int(found["STACK"]) + int(found["LOCAL"]) + len(re.findall(r"\b(?:LDL|STL)\b", text))
    return Binary(Figures(int(found["REG"]), spills, shared), text)


def _amd(text: str, shared: int) -> Binary:
    found = dict(re.findall(r"\.(vgpr_count|vgpr_spill_count|sgpr_spill_count):\s+(\d+)", text))
    spills = int(found["vgpr_spill_count"]) + int(found["sgpr_spill_count"])
    return Binary(Figures(int(found["vgpr_count"]), spills, shared), text)


def _tool(name: str, option: str, path: Path) -> str:
    command = [getattr(knobs.nvidia, name).path, option, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> None:
    figures = {key(*case): asdict(compile_kernel(*case).figures) for case in cases()}
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
