"""Which implementation a call gets: the rule of `gendsl.kernels.table`, given a tensor."""

from __future__ import annotations

from torch import Tensor

from gendsl.kernels.derivatives import transformed
from gendsl.kernels.table import KernelOp, Placement, Policy, decide


def choose(op: KernelOp, x: Tensor, sizes: tuple[tuple[str, int], ...], policy: Policy) -> Placement:
    """The implementation for a call whose tensors are like `x`, with the reason.

    `sizes` are pairs of a letter of `op.sizes` and its value. Under torch.func transforms and forward-mode
    differentiation every policy gives the reference: a custom operator would drop the tangent.

    Raises KernelError under the policy `triton` if the kernel cannot run, ValueError for an unknown policy.
    """
    placement = decide(op, x.device.type, policy, str(x.dtype).removeprefix("torch."), sizes)
    if placement.implementation != "reference" and transformed():
        return Placement(op.name, "reference", "forward-mode differentiation or a torch.func transform")
    return placement
