"""Launching the planar kernels: how rows are tiled, which buffers are allocated, which strides are passed.

Importing this module imports triton.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from gendsl.kernels import planar_triton


@dataclass(frozen=True)
class Tiling:
    """Rows and columns that one program holds, its warps, and the most programs that share out a batch.

    The last counts for the backward of shared parameters, which keeps one partial sum for each program.
    """

    rows: int
    columns: int
    warps: int
    programs: int


def tiling(B: int, D: int, shared: bool) -> Tiling:
    """Eight elements for each thread; more rows for shared parameters, whose partial sums cost writes.

    264 programs are two for each of an H100's 132 processors.
    """
    columns = triton.next_power_of_2(D)
    warps = 8 if shared else 4
    rows = max(1, min(16 * warps, 256 * warps // columns))
    return Tiling(rows, columns, warps, max(1, min(triton.cdiv(B, rows), 264)))


def forward(
    z: Tensor, u: Tensor, w: Tensor, b: Tensor, tiles: Tiling | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Output [B, D], log |det| [B] and the arguments of tanh [K, B]; inputs as in `planar_stack`."""
    results = z.new_empty(z.shape), z.new_empty(z.shape[0]), z.new_empty(b.shape[-1], z.shape[0])
    forward_into(results, z, u, w, b, tiles or tiling(z.shape[0], z.shape[1], u.dim() == 2))
    return results


def forward_into(
    results: tuple[Tensor, Tensor, Tensor], z: Tensor, u: Tensor, w: Tensor, b: Tensor, tiles: Tiling
) -> None:
    """Launch the forward kernel into `results`: output, log |det| and arguments of tanh, all contiguous."""
    (B, D), K = z.shape, b.shape[-1]
    if B == 0:
        return
    z, u, w = _inner(z), _inner(u), _inner(w)
    strides = (z.stride(0), *_strides(u), *_strides(w), b.stride(0) if b.dim() == 2 else 0, b.stride(-1))
    with torch.cuda.device(z.get_device()):
        planar_triton.planar_forward[(triton.cdiv(B, tiles.rows),)](
            *(z, u, w, b, *results, B, K, *strides),
            **_constants(D, u, tiles),
            num_warps=tiles.warps,
            enable_fp_fusion=True,
        )


def backward(
    out: Tensor,
    a: Tensor,
    u: Tensor,
    w: Tensor,
    grad: Tensor,
    grad_log_det: Tensor,
    tiles: Tiling | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients on z, u, w, b from the forward's results `out` and `a` and the gradients on its outputs."""
    (B, D), K = out.shape, a.shape[0]
    tiles = tiles or tiling(B, D, u.dim() == 2)
    gz = torch.empty_like(out)
    if u.dim() == 3:
        gu, gw, gb = out.new_empty(B, K, D), out.new_empty(B, K, D), out.new_empty(B, K)
        backward_into((gz, gu, gw, gb), out, a, u, w, grad, grad_log_det, tiles)
        return gz, gu, gw, gb
    partial = tiles.programs, K, D
    gu, gw, gb = out.new_zeros(partial), out.new_zeros(partial), out.new_zeros(partial[:2])
    backward_into((gz, gu, gw, gb), out, a, u, w, grad, grad_log_det, tiles)
    return gz, gu.sum(0), gw.sum(0), gb.sum(0)


def backward_into(
    results: tuple[Tensor, Tensor, Tensor, Tensor],
    out: Tensor,
    a: Tensor,
    u: Tensor,
    w: Tensor,
    grad: Tensor,
    grad_log_det: Tensor,
    tiles: Tiling,
) -> None:
    """Launch the backward kernel into `results`, gradients on z, u, w, b, all contiguous.

    For shared parameters the last three are zeros [programs, K, D], [programs, K, D] and [programs, K].
    """
    (B, D), K = out.shape, a.shape[0]
    if B == 0:
        return
    total = triton.cdiv(B, tiles.rows)
    programs = min(tiles.programs, total) if u.dim() == 2 else total
    u, w, grad = _inner(u), _inner(w), _inner(grad)
    last = ((K - 1) * B, (K - 1) * u.stride(-2), (K - 1) * w.stride(-2))
    strides = (*_strides(u), *_strides(w), grad.stride(0), grad_log_det.stride(0))
    with torch.cuda.device(out.get_device()):
        planar_triton.planar_backward[(programs,)](
            *(out, a, u, w, grad, grad_log_det, *results),
            *(B, K, triton.cdiv(total, programs), *last, *strides),
            **_constants(D, u, tiles),
            num_warps=tiles.warps,
            enable_fp_fusion=True,
        )


def _inner(x: Tensor) -> Tensor:
    """x with its last dimension dense, which the kernels take for granted; other strides stay."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _strides(x: Tensor) -> tuple[int, int]:
    """A parameter's strides from row to row, 0 if it is shared, and from layer to layer."""
    return (x.stride(0) if x.dim() == 3 else 0, x.stride(-2))


def _constants(D: int, u: Tensor, tiles: Tiling) -> dict[str, int | bool]:
    return {"D": D, "SHARED": u.dim() == 2, "ROWS": tiles.rows, "COLUMNS": tiles.columns}
