"""The graph as a picture in text: mermaid and Graphviz dot. Solid edges are p, dashed ones q, dotted ones channels."""

from __future__ import annotations

from collections.abc import Iterator

from gendsl.compiler.explain import layer_words
from gendsl.compiler.graph import Factor, Graph, Role

OBSERVED = (Role.OBSERVED, Role.PARTIAL, Role.CONDITION)


def edges(graph: Graph) -> Iterator[tuple[str, str, str, str]]:
    """(parent, head, side, label) of every edge between variables."""
    for factor in directed(graph):
        for parent in factor.parents:
            yield parent, factor.head, factor.side, built(factor)


def directed(graph: Graph) -> list[Factor]:
    """Every factor but the energies, which multiply the factor of their variable and have no direction."""
    return [factor for factor in graph.factors.values() if factor.side != "e"]


def built(factor: Factor) -> str:
    """The distribution, with the flow on top of it (`planar x 16 on normal`); `flow` for a bijection of a variable."""
    if factor.dist is None:
        return factor.channel.tag if factor.channel is not None else "flow"
    layers = ", ".join(layer_words(layer) for layer in factor.flow)
    return f"{layers} on {factor.dist.tag}" if layers else factor.dist.tag


def mermaid(graph: Graph) -> str:
    """A mermaid flowchart; observed variables are shaded."""
    lines = ["flowchart TD"]
    for name, variable in graph.variables.items():
        lines.append(f"  {name}(({name}))" + (":::observed" if variable.role in OBSERVED else ""))
    arrows = {"p": "-->", "q": "-.->", "c": "-.->"}
    for parent, head, side, what in edges(graph):
        lines.append(f"  {parent} {arrows[side]}|{side}: {what}| {head}")
    for critic in graph.critics.values():
        lines.append(f"  critic_{critic.name}{{{{{critic.name}}}}}")
        lines += [f"  {seen} --- critic_{critic.name}" for seen in critic.spec.sees]
    for energy in graph.side("e"):
        lines += [
            f"  energy_{energy.head}[{energy.name}]",
            *(f"  {v} --- energy_{energy.head}" for v in (energy.head, *energy.parents)),
        ]
    lines.append("  classDef observed fill:#ccc,stroke:#333")
    return "\n".join(lines) + "\n"


def dot(graph: Graph) -> str:
    """A Graphviz digraph; observed variables are shaded."""
    lines = ["digraph model {", "  node [shape=circle];"]
    for name, variable in graph.variables.items():
        shade = ' [style=filled, fillcolor="#cccccc"]' if variable.role in OBSERVED else ""
        lines.append(f'  "{name}"{shade};')
    styles = {"p": "solid", "q": "dashed", "c": "dotted"}
    for parent, head, side, what in edges(graph):
        lines.append(f'  "{parent}" -> "{head}" [style={styles[side]}, label="{what}"];')
    for critic in graph.critics.values():
        lines.append(f'  "adversary.{critic.name}" [shape=hexagon];')
        lines += [f'  "{seen}" -> "adversary.{critic.name}" [arrowhead=none];' for seen in critic.spec.sees]
    for energy in graph.side("e"):
        lines.append(f'  "{energy.name}" [shape=box];')
        lines += [f'  "{v}" -> "{energy.name}" [arrowhead=none];' for v in (energy.head, *energy.parents)]
    return "\n".join([*lines, "}"]) + "\n"


def text(graph: Graph) -> str:
    """One line for each edge, adversary and energy."""
    lines = [f"{parent} -> {head}   {side}, {what}" for parent, head, side, what in edges(graph)]
    roots = [f"-> {f.head}   {f.side}, {built(f)}" for f in directed(graph) if not f.parents and f.dist]
    seen = [f"{', '.join(c.spec.sees)} -- {c.name}   adversary" for c in graph.critics.values()]
    seen += [f"{', '.join((f.head, *f.parents))} -- {f.name}   energy" for f in graph.side("e")]
    return "\n".join([*roots, *lines, *seen]) + "\n"
