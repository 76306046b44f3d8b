"""The chain that corrupts and denoises in turn, x~ ~ C(x~ | x), x ~ p(x | x~) (Bengio et al. 2013, section 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gendsl.compiler.graph import Role, Variable
from gendsl.compiler.plans.chain import chain_of
from gendsl.compiler.plans.sample import drawn

if TYPE_CHECKING:
    from gendsl.nn.inference import Trace
    from gendsl.nn.model import Model

State = Mapping[str, Tensor]


def noise(model: Model, rows: int) -> dict[str, Tensor]:
    """The state before the first step, from torch's generator: every value of a bounded support equally probable,
    standard normal numbers on the reals (their absolute value on the half line), 0 for counts.
    """
    chain = chain_of(model.graph)
    assert chain is not None
    return {name: _noise(model, model.graph.variables[name], rows) for name in chain.state}


def _noise(model: Model, variable: Variable, rows: int) -> Tensor:
    support = variable.support
    assert support is not None
    assert variable.shape is not None
    size = (rows, *variable.shape)
    dtype = torch.int64 if support.integer and variable.labels else model.dtype
    if support.count is not None:
        return torch.randint(int(support.low), int(support.high) + 1, size, device=model.device).to(dtype)
    if support.integer:
        return torch.zeros(size, dtype=dtype, device=model.device)
    if support.low > -torch.inf and support.high < torch.inf:
        return support.low + (support.high - support.low) * torch.rand(size, dtype=dtype, device=model.device)
    value = torch.randn(size, dtype=dtype, device=model.device)
    if support.low > -torch.inf:
        return support.low + value.abs()
    return support.high - value.abs() if support.high < torch.inf else value


def run(
    model: Model,
    state: State,
    steps: int,
    given: State,
    temperature: float = 1.0,
    known: State | None = None,
) -> dict[str, Tensor]:
    """`steps` steps from `state` [N, *shape each]; the last draw of every observed variable.

    `given`: conditions. `known`: masks of entries of the state that never move (in-painting).
    """
    values: dict[str, Tensor] = {}
    held = dict(state)
    for _ in range(steps):
        values = step(model, state, given, temperature)
        for name, mask in (known or {}).items():
            values[name] = torch.where(mask, held[name], values[name].to(held[name].dtype))
        state = {name: values[name] for name in state}
    return values


def step(model: Model, state: State, given: State, temperature: float = 1.0) -> dict[str, Tensor]:
    """One step: corrupt the state, read the codes, draw every observed variable."""
    graph, chain = model.graph, chain_of(model.graph)
    assert chain is not None
    values = {**given, **state}
    rows = len(next(iter(state.values())))
    for name in graph.order("q"):
        if name in chain.channels:
            values[name] = model.channel(name)(values[graph.factors[f"corruption.{name}"].parents[0]])
        elif graph.variables[name].role is Role.LATENT and graph.q(name) is not None:
            values[name] = model.distribution(f"encoder.{name}", values, rows).draw()[0]
    codes = {name: values[name] for name in chain.codes}
    return model.ancestral(rows, given, drawn(graph), temperature, latents=codes)


@torch.no_grad()
def onward(trace: Trace) -> dict[str, Tensor]:
    """The state that follows a trace's corrupted one: a draw of p(x | x~), without gradient."""
    chain = chain_of(trace.graph)
    assert chain is not None
    codes = {name: trace.values[name][: trace.rows] for name in chain.codes}
    values = trace.model.ancestral(trace.rows, trace.batch.values, drawn(trace.graph), latents=codes)
    return {name: values[name].to(trace.batch.values[name].dtype) for name in chain.state}
