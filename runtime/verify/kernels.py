"""Fused operators: what a model gets, in its own precision, against the definition in float64."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gendsl.kernels.attention import attention
from gendsl.kernels.attention import reference as attention_reference
from gendsl.kernels.planar import planar_stack
from gendsl.kernels.planar_reference import layers
from gendsl.nn.networks.transformer import Attention
from gendsl.nn.transforms.planar import PlanarFlow, invertible
from gendsl.runtime.verify.certificate import Certificate, at_most
from gendsl.runtime.verify.subject import Subject

BOUND, POWER = 1e-4, 1e-3
"""In float32; a float64 model is held to the same."""
ROWS, TOKENS = 33, 7


def certificates(subject: Subject) -> Iterator[Certificate]:
    """kernel of every planar stack: output, log-determinant and gradients; of every network's attention, likewise."""
    placed = {p.op: p for p in subject.graph.placements}
    owners: dict[str, Attention] = {}
    for path, module in subject.model.named_modules():
        if isinstance(module, Attention):
            owners.setdefault(_owner(path), module)
    for owner, module in owners.items():
        with subject.draws(f"kernels/{owner}"):
            error = attention_error(module, subject.model)
        placement = placed["attention"]
        note = f"{placement.implementation} ({placement.reason}), output and gradients, "
        note += str(subject.model.dtype).removeprefix("torch.")
        yield at_most(f"kernel:attention:{owner}", error, BOUND, POWER, note)
    for path, module in subject.model.named_modules():
        if isinstance(module, PlanarFlow) and "planar_stack" in placed:
            name = _named(subject, path)
            with subject.draws(f"kernels/{name}"):
                error = planar_error(module, subject.model)
            placement = placed["planar_stack"]
            dtype = str(subject.model.dtype).removeprefix("torch.")
            note = f"{placement.implementation} ({placement.reason}), outputs and gradients, {dtype}"
            yield at_most(f"kernel:planar_stack:{name}", error, BOUND, POWER, note)


def _named(subject: Subject, path: str) -> str:
    """encoder.z.stack.layers.0 -> encoder.z.flow[0]."""
    factor, _, index = path.partition(".stack.layers.")
    key = "stack" if subject.graph.factors[factor].base is not None else "flow"
    return f"{factor}.{key}[{index}]"


def _owner(path: str) -> str:
    """decoder.x.net.blocks.0.attend -> decoder.x, the factor or critic whose module it is."""
    return ".".join(path.split(".")[:2])


def attention_error(module: Attention, like: torch.nn.Module) -> float:
    """The largest error of output and gradients relative to their norms, for queries, keys and values of its sizes."""
    tensor = next(like.parameters())
    size = (ROWS, module.heads, TOKENS, module.query.out_features // module.heads)
    exact = [torch.randn(size, dtype=torch.float64, device=tensor.device, requires_grad=True) for _ in "qkv"]
    found = [t.detach().to(tensor.dtype).requires_grad_() for t in exact]
    wanted = attention_reference(*exact, causal=module.causal)
    given = attention(*found, causal=module.causal, twice=module.twice, kernels=module.kernels)
    return _compare((wanted,), exact, (given,), found)


def planar_error(module: PlanarFlow, like: torch.nn.Module) -> float:
    """The largest error of outputs and gradients relative to their norms; shared and own parameters."""
    tensor = next(like.parameters())
    worst = 0.0
    for lead in ((), (ROWS,)):
        size = (*lead, module.repeat, module.size)
        u, w = (
            torch.randn(size, dtype=torch.float64, device=tensor.device) / module.size**0.5 for _ in range(2)
        )
        b = torch.randn(size[:-1], dtype=torch.float64, device=tensor.device)
        z = torch.randn(ROWS, module.size, dtype=torch.float64, device=tensor.device)
        exact = [t.requires_grad_() for t in (z, invertible(u, w).detach(), w, b)]
        found = [t.detach().to(tensor.dtype).requires_grad_() for t in exact]
        worst = max(
            worst, _compare(layers(*exact), exact, planar_stack(*found, kernels=module.kernels), found)
        )
    return worst


def _compare(
    exact: tuple[Tensor, ...], at: list[Tensor], found: tuple[Tensor, ...], by: list[Tensor]
) -> float:
    weights = [torch.randn_like(t) for t in exact]
    wanted = torch.autograd.grad([(t * w).sum() for t, w in zip(exact, weights, strict=True)], at)
    given = torch.autograd.grad([(t * w.to(t.dtype)).sum() for t, w in zip(found, weights, strict=True)], by)
    pairs = zip((*exact, *wanted), (*found, *given), strict=True)
    return max(float(((b.double() - a).norm() / a.norm()).detach()) for a, b in pairs)
