"""Triton kernels of the planar stack, forward and backward, and the functions that launch them.

One program holds a tile of rows in registers and runs all K layers over it. The backward is reversible: it
starts at the stack's output and takes layer after layer off, z <- z - u_k tanh_k, so that only the output and
the activations t [K, B] are kept. Equations and gradients: `gendsl.kernels.planar_cpu`. Shared parameters get
their gradient as one partial sum per program, added up afterwards: no atomics, so a run repeats bit for bit.

Everything is in the inputs' dtype, float32 or float64. Offsets that grow with the batch are 64-bit. tanh and
log1p are written with exp and log, which the interpreter has too. Importing this module imports triton.
"""

# ruff: noqa: PLR0917
from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit  # type: ignore[untyped-decorator]
def _tanh(x: tl.tensor) -> tl.tensor:
    e = tl.exp(-2.0 * tl.abs(x))
    t = (1.0 - e) / (1.0 + e)
    return tl.where(x < 0, -t, t)


@triton.jit  # type: ignore[untyped-decorator]
def _log_abs_1p(x: tl.tensor) -> tl.tensor:
    # log |1 + x| with the rounding error of 1 + x put back, to first order
    y = 1.0 + x
    return tl.log(tl.abs(y)) - ((y - 1.0) - x) / tl.where(y == 0, 1.0, y)


@triton.jit  # type: ignore[untyped-decorator]
def planar_forward(
    z_ptr: tl.tensor,
    u_ptr: tl.tensor,
    w_ptr: tl.tensor,
    b_ptr: tl.tensor,
    out_ptr: tl.tensor,
    log_det_ptr: tl.tensor,
    t_ptr: tl.tensor,
    B: tl.tensor,
    K: tl.tensor,
    z_row: tl.tensor,
    u_row: tl.tensor,
    u_layer: tl.tensor,
    w_row: tl.tensor,
    w_layer: tl.tensor,
    b_row: tl.tensor,
    b_layer: tl.tensor,
    D: tl.constexpr,
    SHARED: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    cols = tl.arange(0, COLUMNS)[None, :]
    live = rows < B
    tile = live[:, None] & (cols < D)
    if SHARED:
        p_rows = tl.zeros((1,), tl.int64)
        p_live = p_rows == 0
    else:
        p_rows = rows
        p_live = live
    p_tile = p_live[:, None] & (cols < D)
    z = tl.load(z_ptr + rows[:, None] * z_row + cols, mask=tile, other=0.0)
    log_det = tl.zeros((ROWS,), z_ptr.dtype.element_ty)
    for _ in range(K):
        u = tl.load(u_ptr + p_rows[:, None] * u_row + cols, mask=p_tile, other=0.0)
        w = tl.load(w_ptr + p_rows[:, None] * w_row + cols, mask=p_tile, other=0.0)
        b = tl.load(b_ptr + p_rows * b_row, mask=p_live, other=0.0)
        t = _tanh(tl.sum(z * w, 1) + b)
        z = z + u * t[:, None]
        log_det += _log_abs_1p(tl.sum(u * w, 1) * ((1.0 - t) * (1.0 + t)))
        tl.store(t_ptr + rows, t, mask=live)
        u_ptr += u_layer
        w_ptr += w_layer
        b_ptr += b_layer
        t_ptr += B
    tl.store(out_ptr + rows[:, None] * D + cols, z, mask=tile)
    tl.store(log_det_ptr + rows, log_det, mask=live)


@triton.jit  # type: ignore[untyped-decorator]
def planar_backward(
    out_ptr: tl.tensor,
    t_ptr: tl.tensor,
    u_ptr: tl.tensor,
    w_ptr: tl.tensor,
    g_ptr: tl.tensor,
    l_ptr: tl.tensor,
    gz_ptr: tl.tensor,
    gu_ptr: tl.tensor,
    gw_ptr: tl.tensor,
    gb_ptr: tl.tensor,
    B: tl.tensor,
    K: tl.tensor,
    TILES: tl.tensor,
    t_last: tl.tensor,
    u_row: tl.tensor,
    u_layer: tl.tensor,
    u_last: tl.tensor,
    w_row: tl.tensor,
    w_layer: tl.tensor,
    w_last: tl.tensor,
    g_row: tl.tensor,
    l_row: tl.tensor,
    D: tl.constexpr,
    SHARED: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    program = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, COLUMNS)[None, :]
    for i in range(TILES):
        rows = (program + i * tl.num_programs(0)) * ROWS + tl.arange(0, ROWS)
        live = rows < B
        tile = live[:, None] & (cols < D)
        if SHARED:
            p_rows = tl.zeros((1,), tl.int64)
            p_live = p_rows == 0
            into = p_rows + program
        else:
            p_rows = rows
            p_live = live
            into = rows
        p_tile = p_live[:, None] & (cols < D)
        z = tl.load(out_ptr + rows[:, None] * D + cols, mask=tile, other=0.0)
        g = tl.load(g_ptr + rows[:, None] * g_row + cols, mask=tile, other=0.0)
        grad_log_det = tl.load(l_ptr + rows * l_row, mask=live, other=0.0)
        u_k = u_ptr + u_last
        w_k = w_ptr + w_last
        t_k = t_ptr + t_last
        into_k = into * K + (K - 1)
        for _ in range(K):
            u = tl.load(u_k + p_rows[:, None] * u_row + cols, mask=p_tile, other=0.0)
            w = tl.load(w_k + p_rows[:, None] * w_row + cols, mask=p_tile, other=0.0)
            t = tl.load(t_k + rows, mask=live, other=0.0)
            c = tl.sum(u * w, 1)
            h = (1.0 - t) * (1.0 + t)
            gc = tl.where(live, grad_log_det * h / (1.0 + c * h), 0.0)
            z = z - u * t[:, None]
            ga = h * tl.sum(g * u, 1) - 2.0 * c * t * gc
            gu = g * t[:, None] + gc[:, None] * w
            gw = z * ga[:, None] + gc[:, None] * u
            gb = ga
            at = into_k[:, None] * D + cols
            if SHARED:
                gu = tl.sum(gu, 0)[None, :] + tl.load(gu_ptr + at, mask=p_tile, other=0.0)
                gw = tl.sum(gw, 0)[None, :] + tl.load(gw_ptr + at, mask=p_tile, other=0.0)
                gb = tl.sum(ga, 0) + tl.load(gb_ptr + into_k, mask=p_live, other=0.0)
            tl.store(gu_ptr + at, gu, mask=p_tile)
            tl.store(gw_ptr + at, gw, mask=p_tile)
            tl.store(gb_ptr + into_k, gb, mask=p_live)
            g = g + ga[:, None] * w
            u_k -= u_layer
            w_k -= w_layer
            t_k -= B
            into_k -= 1
        tl.store(gz_ptr + rows[:, None] * D + cols, g, mask=tile)
        tl.debug_barrier()  # the next tile reads the partial sums that this one wrote


@dataclass(frozen=True)
class Tiling:
    """Rows and columns that one program holds, its warps, and the most programs of a backward with partial sums."""

    rows: int
    columns: int
    warps: int
    programs: int


def tiling(B: int, D: int, shared: bool) -> Tiling:
    """Eight elements for each thread; more rows for shared parameters, whose partial sums are written once a tile.

    264 programs are two for each of an H100's 132 processors.
    """
    columns = triton.next_power_of_2(D)
    warps = 8 if shared else 4
    rows = max(1, min(16 * warps, 256 * warps // columns))
    return Tiling(rows, columns, warps, max(1, min(triton.cdiv(B, rows), 264)))


def forward(
    z: Tensor, u: Tensor, w: Tensor, b: Tensor, tiles: Tiling | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Output [B, D], log |det| [B] and the activations [K, B]; shapes of the inputs as in `planar_stack`."""
    out = torch.empty_like(z, memory_format=torch.contiguous_format)
    log_det, t = z.new_empty(z.shape[0]), z.new_empty(b.shape[-1], z.shape[0])
    forward_into(out, log_det, t, z, u, w, b, tiles)
    return out, log_det, t


def forward_into(
    out: Tensor,
    log_det: Tensor,
    t: Tensor,
    z: Tensor,
    u: Tensor,
    w: Tensor,
    b: Tensor,
    tiles: Tiling | None = None,
) -> None:
    """Launch the forward kernel; out, log_det and t are contiguous."""
    (B, D), K = z.shape, b.shape[-1]
    if B == 0:
        return
    tiles = tiles or tiling(B, D, u.dim() == 2)
    z, u, w = _inner(z), _inner(u), _inner(w)
    with torch.cuda.device(z.get_device()):
        planar_forward[(triton.cdiv(B, tiles.rows),)](
            *(z, u, w, b, out, log_det, t, B, K, z.stride(0)),
            *(_row(u, 3), u.stride(-2), _row(w, 3), w.stride(-2), _row(b, 2), b.stride(-1)),
            **{"D": D, "SHARED": u.dim() == 2, "ROWS": tiles.rows, "COLUMNS": tiles.columns},
            num_warps=tiles.warps,
            enable_fp_fusion=True,
        )


def backward(
    out: Tensor,
    t: Tensor,
    u: Tensor,
    w: Tensor,
    grad: Tensor,
    grad_log_det: Tensor,
    tiles: Tiling | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients on z, u, w, b from the forward's output and activations and the gradients on its results."""
    (B, D), K = out.shape, t.shape[0]
    tiles = tiles or tiling(B, D, u.dim() == 2)
    gz = torch.empty_like(out)
    if u.dim() == 3:
        gu, gw, gb = out.new_empty(B, K, D), out.new_empty(B, K, D), out.new_empty(B, K)
        backward_into((gz, gu, gw, gb), out, t, u, w, grad, grad_log_det, tiles)
        return gz, gu, gw, gb
    gu, gw = out.new_zeros(2, tiles.programs, K, D).unbind(0)
    gb = out.new_zeros(tiles.programs, K)
    backward_into((gz, gu, gw, gb), out, t, u, w, grad, grad_log_det, tiles)
    return gz, gu.sum(0), gw.sum(0), gb.sum(0)


def backward_into(
    results: tuple[Tensor, Tensor, Tensor, Tensor],
    out: Tensor,
    t: Tensor,
    u: Tensor,
    w: Tensor,
    grad: Tensor,
    grad_log_det: Tensor,
    tiles: Tiling,
) -> None:
    """Launch the backward kernel into `results`, gradients on z, u, w, b, all contiguous.

    For shared parameters the last three are zeros [programs, K, D], [programs, K, D] and [programs, K].
    """
    (B, D), K = out.shape, t.shape[0]
    if B == 0:
        return
    total = triton.cdiv(B, tiles.rows)
    programs = min(tiles.programs, total) if u.dim() == 2 else total
    u, w, grad = _inner(u), _inner(w), _inner(grad)
    with torch.cuda.device(out.get_device()):
        planar_backward[(programs,)](
            *(out, t, u, w, grad, grad_log_det, *results, B, K, triton.cdiv(total, programs), (K - 1) * B),
            *(
                _row(u, 3),
                u.stride(-2),
                (K - 1) * u.stride(-2),
                _row(w, 3),
                w.stride(-2),
                (K - 1) * w.stride(-2),
            ),
            *(grad.stride(0), grad_log_det.stride(0)),
            **{"D": D, "SHARED": u.dim() == 2, "ROWS": tiles.rows, "COLUMNS": tiles.columns},
            num_warps=tiles.warps,
            enable_fp_fusion=True,
        )


def _inner(x: Tensor) -> Tensor:
    """x with its last dimension dense, which the kernels take for granted; other strides stay."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _row(x: Tensor, dimensions: int) -> int:
    """The batch stride of a parameter, 0 if it has no batch dimension."""
    return x.stride(0) if x.dim() == dimensions else 0
