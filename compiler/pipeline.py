"""The way of a spec through the compiler: lower, then every pass in order, the graph verified after each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gendsl.compiler.graph import Graph
from gendsl.compiler.lower import lower
from gendsl.compiler.passes.adversaries import adversaries
from gendsl.compiler.passes.energies import energies
from gendsl.compiler.passes.networks import networks
from gendsl.compiler.passes.objective import objective
from gendsl.compiler.passes.offers import offers
from gendsl.compiler.passes.placement import placement
from gendsl.compiler.passes.players import players
from gendsl.compiler.passes.queries import queries
from gendsl.compiler.passes.resources import refuse_too_large, resources
from gendsl.compiler.passes.roles import cycles, roles
from gendsl.compiler.passes.routes import routes
from gendsl.compiler.passes.settings import settings
from gendsl.compiler.passes.shapes import columns, shapes
from gendsl.compiler.passes.supports import supports
from gendsl.errors import SpecError
from gendsl.schema.components.source_base import SourceFacts
from gendsl.schema.spec import Spec

PASSES: tuple[Callable[[Graph], Graph], ...] = (
    roles,
    cycles,
    columns,
    shapes,
    supports,
    networks,
    offers,
    energies,
    routes,
    adversaries,
    objective,
    players,
    settings,
    queries,
    resources,
    placement,
)
"""Each is a pure function; one that refuses raises SpecError with every problem it found."""


def analyse(
    spec: Spec,
    *,
    base: Path | None = None,
    device: str = "cpu",
    memory: int | None = None,
    facts: SourceFacts | None = None,
) -> Graph:
    """The graph of a spec after every pass, without torch.

    `base` is the folder that relative data paths start from (the spec's own if not given), `memory` the bytes that
    training may take (unlimited if not given). `facts`: what is known of the data source, which is then not asked, and
    may be absent. Raises SpecError.
    """
    if base is None:
        file = spec.document.file if spec.document is not None else None
        base = Path(file).parent if file is not None and Path(file).exists() else Path()
    try:
        graph = lower(spec, base, facts).update(device=device)
        for step in PASSES:
            graph = step(graph)
            graph.verify()
        if memory is not None:
            refuse_too_large(graph, memory)
    except SpecError as error:
        raise SpecError(
            error.diagnostics, spec.document.sources if spec.document is not None else None
        ) from None
    return graph
