"""Fused operators: each a plain PyTorch reference, Triton kernels, and one function that picks between them.

Import from the modules: `gendsl.kernels.table` (what exists, without torch), `gendsl.kernels.planar`
and `gendsl.kernels.attention` (the operators). Nothing here imports triton until a Triton kernel is launched.
"""
