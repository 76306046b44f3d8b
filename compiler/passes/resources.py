"""Resources: parameters (exact), memory and work of training (estimates), and threads (a rule of the spec alone)."""

from __future__ import annotations

from gendsl.compiler.graph import Graph, How, Resources
from gendsl.compiler.passes.objective import bound_of
from gendsl.compiler.passes.routes import states
from gendsl.errors import SpecError
from gendsl.schema.facts import numel

PROCESS = 350 * 2**20
"""Resident bytes of a process that has imported torch and nothing else."""

TENSORS_PER_PARAMETER = 5
"""Weight, gradient, two moments of Adam, and a temporary."""

MANY_FLOPS = 50_000_000_000
"""A training step with more work than this uses two threads.

Below it a second thread gains little on an idle machine and loses much on a busy one: threads that wait for each other
spin, and steps of 5 GFLOP took twenty times as long.
"""


def resources(graph: Graph) -> Graph:
    """Parameters, memory and work of one training step."""
    bills = [f.bill for f in graph.factors.values()] + [c.bill for c in graph.critics.values()]
    parameters = sum(b.parameters for b in bills)
    rows = graph.spec.train.batch_size * _rows(graph)
    passes = 3 + 3 * sum(c.spec.steps for c in graph.critics.values())
    flops = rows * passes * sum(b.flops for b in bills)
    kept = rows * 4 * sum(b.activations for b in bills) * (2 if graph.critics else 1)
    memory = PROCESS + 4 * TENSORS_PER_PARAMETER * parameters + kept + _data(graph)
    threads = graph.spec.run.threads
    if threads == "auto":
        threads = 2 if flops > MANY_FLOPS else 1
    return graph.update(resources=Resources(parameters, memory, flops, threads))


def _rows(graph: Graph) -> int:
    """How many rows of the latents' descendants one row of data becomes."""
    rows = bound_of(graph).samples if any(r.how in (How.CLOSED, How.SAMPLED) for r in graph.routes.values()) else 1
    for name, route in graph.routes.items():
        if route.how in (How.ENUMERATED, How.SUMMED):
            rows *= states(graph, name)
    return rows


def _data(graph: Graph) -> int:
    """Resident bytes of the columns that are bound."""
    if graph.source is None:
        return 0
    shapes = [v.column.shape for v in graph.variables.values() if v.column is not None]
    return sum(8 * numel(shape) for shape in shapes) * graph.source.rows


def refuse_too_large(graph: Graph, available: int) -> None:
    """Raises SpecError where training would need more memory than there is; nothing has been allocated yet."""
    need = graph.resources.memory
    if need <= available:
        return
    biggest = max(graph.factors.values(), key=lambda f: f.bill.parameters + f.bill.activations)
    raise SpecError(
        [
            graph.spec.diagnostic(
                "GD601",
                f"training needs about {need / 2**30:.1f} GiB, and this machine has {available / 2**30:.1f} GiB",
                biggest.path,
                on="key",
                help=f"{biggest.name} is the largest part ({biggest.bill.parameters:,} parameters): make it smaller, "
                f"or train.batch_size ({graph.spec.train.batch_size})",
            )
        ]
    )
