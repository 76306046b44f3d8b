"""Triton kernels of the planar stack, forward and backward; `planar_launch` launches them.

One program holds a tile of rows in registers and runs all K layers over it. The backward is reversible: it
starts at the stack's output and takes layer after layer off, z <- z - u_k tanh_k, so that only the output and
the arguments a of tanh, [K, B], are kept. Equations and gradients: `gendsl.kernels.planar_cpu`. Shared
parameters get their gradient as one partial sum per program, added up afterwards: no atomics, so a run
repeats bit for bit.

Everything is in the inputs' dtype, float32 or float64. Offsets that grow with the batch are 64-bit. tanh and
log1p are written with exp and log, which the interpreter has too. Importing this module imports triton.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]  # triton has no types
def _tanh(a: tl.tensor) -> tuple[tl.tensor, tl.tensor]:
    # tanh and its slope 1 - tanh^2, the latter without cancellation where tanh is near 1
    e = tl.exp(-2.0 * tl.abs(a))
    t = (1.0 - e) / (1.0 + e)
    return tl.where(a < 0, -t, t), 4.0 * e / ((1.0 + e) * (1.0 + e))


@triton.jit  # type: ignore[untyped-decorator]  # triton has no types
def _log_abs_1p(x: tl.tensor) -> tl.tensor:
    # log |1 + x| with the rounding error of 1 + x put back, to first order
    y = 1.0 + x
    return tl.log(tl.abs(y)) - ((y - 1.0) - x) / tl.where(y == 0, 1.0, y)


@triton.jit  # type: ignore[untyped-decorator]  # triton has no types
def planar_forward(
    z_ptr: tl.tensor,
    u_ptr: tl.tensor,
    w_ptr: tl.tensor,
    b_ptr: tl.tensor,
    out_ptr: tl.tensor,
    log_det_ptr: tl.tensor,
    a_ptr: tl.tensor,
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
        a = tl.sum(z * w, 1) + b
        t, h = _tanh(a)
        z = z + u * t[:, None]
        log_det += _log_abs_1p(tl.sum(u * w, 1) * h)
        tl.store(a_ptr + rows, a, mask=live)
        u_ptr += u_layer
        w_ptr += w_layer
        b_ptr += b_layer
        a_ptr += B
    tl.store(out_ptr + rows[:, None] * D + cols, z, mask=tile)
    tl.store(log_det_ptr + rows, log_det, mask=live)


@triton.jit  # type: ignore[untyped-decorator]  # triton has no types
def planar_backward(
    out_ptr: tl.tensor,
    a_ptr: tl.tensor,
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
    a_last: tl.tensor,
    u_last: tl.tensor,
    w_last: tl.tensor,
    u_row: tl.tensor,
    u_layer: tl.tensor,
    w_row: tl.tensor,
    w_layer: tl.tensor,
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
        a_k = a_ptr + a_last
        into_k = into * K + (K - 1)
        for _ in range(K):
            u = tl.load(u_k + p_rows[:, None] * u_row + cols, mask=p_tile, other=0.0)
            w = tl.load(w_k + p_rows[:, None] * w_row + cols, mask=p_tile, other=0.0)
            a = tl.load(a_k + rows, mask=live, other=0.0)
            t, h = _tanh(a)
            c = tl.sum(u * w, 1)
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
            a_k -= B
            into_k -= 1
        tl.store(gz_ptr + rows[:, None] * D + cols, g, mask=tile)
        tl.debug_barrier()  # the next tile reads the partial sums that this one wrote
