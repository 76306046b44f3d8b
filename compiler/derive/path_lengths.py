"""path_length: how evenly a decoder maps its latents (Karras et al. 2020, eq. 4)."""

from __future__ import annotations

from collections.abc import Iterator

from gendsl.compiler.graph import Graph, Kind, Role, Term


def path_lengths(graph: Graph) -> Iterator[Term]:
    """The regularisers that are asked for, of decoders whose samples have a gradient in real-valued latents."""
    for name in graph.spec.objective.path_length:
        above = movable(graph, name)
        if not above:
            continue
        yield Term(
            f"path_length.{name}",
            f"E[(|J^T y| - a)^2], J = d{name}/d{_inner(graph, name, above)}, a its running mean",
            "model",
            Kind.NONE,
            f"unevenness of the map to {name}",
            "one direction y, every so many steps and times that many",
            auxiliary=True,
            path=("objective", "path_length", name),
        )


def movable(graph: Graph, name: str) -> tuple[str, ...]:
    """The real-valued latent parents of a decoder with a network whose samples have a gradient; empty if none."""
    factor = graph.p(name)
    if factor is None or factor.net is None or factor.autoregressive or not factor.offers.rsample:
        return ()
    latents_above = (v for v in graph.ancestors("p", name) if graph.variables[v].role is Role.LATENT)
    if not all((own := graph.p(v)) is not None and own.offers.sample for v in latents_above):
        return ()
    latents = (graph.variables[p] for p in factor.parents if graph.variables[p].role is Role.LATENT)
    return tuple(v.name for v in latents if v.support is not None and not v.support.integer)


def _inner(graph: Graph, name: str, above: tuple[str, ...]) -> str:
    factor = graph.p(name)
    assert factor is not None
    assert factor.net is not None
    return "w" if factor.net.styled else ", ".join(above)
