"""Flow layers of a factor, looked at for messages."""

from __future__ import annotations

from gendsl.compiler.graph import Factor, Graph
from gendsl.errors import Diagnostic
from gendsl.schema.components.flow import FlowLayer, estimates
from gendsl.schema.components.flow_shape import Chain
from gendsl.schema.facts import Cost
from gendsl.schema.nodes import Path


def one_way(factor: Factor) -> tuple[str, Path] | None:
    """The first layer without an inverse, for messages: its tag and where it is written, chains looked into."""
    found = _one_way(factor.flow, factor.layers)
    return None if found is None else (found[0].tag, found[1])


def no_inverse(
    graph: Graph, factor: Factor, where: str, related: tuple[tuple[str, Path], ...] = ()
) -> Diagnostic | None:
    """log of the factor is needed `where` it says, and one of its layers has no inverse; None where all have."""
    layer = one_way(factor)
    if layer is None:
        return None
    tag, path = layer
    use, advice = "here", ""
    if factor.section != "encoder":
        use = "in a flow section" if factor.base is not None else f"in a {factor.section}"
        advice = "; it is fine inside encoder"
    return graph.spec.diagnostic(
        "GD503",
        f"{tag} cannot be used {use}: log {factor.side}({factor.head}) is needed {where}, and {tag} has no "
        f"closed-form inverse{advice}",
        path,
        help="use layers with an inverse, such as coupling",
        related=related,
    )


def estimated(graph: Graph) -> tuple[str, ...]:
    """The layers, in every factor whose density is computed, whose log-determinant is an estimate."""
    found: list[str] = []
    for factor in graph.factors.values():
        shape = graph.variables[factor.head].shape
        if factor.offers.estimated and factor.flow and shape is not None:
            found += [layer.tag for layer in estimates(factor.flow, shape)]
    return tuple(dict.fromkeys(found))


def _one_way(layers: tuple[FlowLayer, ...], path: Path) -> tuple[FlowLayer, Path] | None:
    for i, layer in enumerate(layers):
        if layer.inverse_cost is Cost.NONE:
            inside = _one_way(layer.stack, (*path, i, "stack")) if isinstance(layer, Chain) else None
            return inside or (layer, (*path, i))
    return None
