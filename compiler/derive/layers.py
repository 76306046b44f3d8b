"""Flow layers of a factor, looked at for messages."""

from __future__ import annotations

from gendsl.compiler.graph import Factor
from gendsl.schema.components.flow import FlowLayer
from gendsl.schema.components.flow_shape import Chain
from gendsl.schema.facts import Cost
from gendsl.schema.nodes import Path


def one_way(factor: Factor) -> tuple[str, Path] | None:
    """The first layer without an inverse, for messages: its tag and where it is written, chains looked into."""
    found = _one_way(factor.flow, (*factor.path, "stack" if factor.base is not None else "flow"))
    return None if found is None else (found[0].tag, found[1])


def _one_way(layers: tuple[FlowLayer, ...], path: Path) -> tuple[FlowLayer, Path] | None:
    for i, layer in enumerate(layers):
        if layer.inverse_cost is Cost.NONE:
            inside = _one_way(layer.stack, (*path, i, "stack")) if isinstance(layer, Chain) else None
            return inside or (layer, (*path, i))
    return None
