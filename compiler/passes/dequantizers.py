"""Learned dequantizers: the factor of each `dequantize: {how: variational}`, and where it cannot stand."""

from __future__ import annotations

from collections.abc import Iterator

from gendsl.compiler.graph import Factor, Graph, Role
from gendsl.errors import Diagnostic, SpecError
from gendsl.schema.components.flow import estimates
from gendsl.schema.components.net import Bill
from gendsl.schema.components.step import Dequantize
from gendsl.schema.facts import UNIT, Cost, Density, Input, Offers, numel
from gendsl.schema.nodes import Path


def dequantizers(graph: Graph) -> Graph:
    """Adds `dequantizer.x` for every variable that is dequantized by a learned density."""
    problems: list[Diagnostic] = []
    factors = dict(graph.factors)
    for name, path, step in _steps(graph):
        why = _misplaced(graph, name)
        if why:
            problems.append(
                graph.spec.diagnostic(
                    "GD407",
                    f"{name} cannot be dequantized by a learned density: {why}",
                    (*path, "how"),
                    help="write as: [dequantize], which draws uniform numbers",
                )
            )
            continue
        built = _factor(graph, name, path, step)
        if isinstance(built, Diagnostic):
            problems.append(built)
        else:
            factors[built.name] = built
    if problems:
        raise SpecError(problems)
    return graph.update(factors=factors)


def _steps(graph: Graph) -> Iterator[tuple[str, Path, Dequantize]]:
    for name, binding in graph.spec.data.bind.items() if graph.spec.data is not None else ():
        for i, step in enumerate(binding.as_):
            if isinstance(step, Dequantize) and step.how == "variational":
                yield name, ("data", "bind", name, "as", i), step


def _misplaced(graph: Graph, name: str) -> str:
    """Why the bound does not hold, or is not built, for this variable; empty where it does."""
    variable = graph.variables[name]
    if variable.role is not Role.OBSERVED:
        return f"it is {variable.role}, and only what is modelled has a probability to bound"
    if variable.missing:
        return "it has missing entries"
    if name in graph.spec.energy:
        return "it has an energy"
    if graph.seen_by(name):
        return f"{', '.join(graph.seen_by(name))} sees it, and compares it as it is"
    if any(name in f.parents for f in graph.side("c")):
        return "it is corrupted"
    if name not in graph.scored or name in {
        o for o, t in graph.spec.objective.reconstruction.items() if t.in_
    }:
        return "no term is its log-density"
    return ""


def _factor(graph: Graph, name: str, path: Path, step: Dequantize) -> Factor | Diagnostic:
    shape = graph.variables[name].shape
    assert shape is not None
    inputs = (Input(name, shape, UNIT),)
    net, layers = step.network(), step.layers()
    why = (
        "an autoregressive one reads what it gives: use a direct net"
        if net.autoregressive or net.energy
        else net.problem(inputs, shape)
    )
    if why is not None:
        at = (*path, "net") if step.net is not None else path
        return graph.spec.diagnostic(
            "GD403", f"the dequantizer of {name}: {why}", graph.spec.mentioned(at, why)
        )
    features = net.features(inputs, shape)
    bill, inner = net.bill(inputs, shape), shape
    for i, layer in enumerate(layers):
        at = (*path, "flow", i) if step.flow is not None else path
        why = layer.problem(inner)
        if why is None and layer.forward_cost is Cost.NONE:
            why = "it cannot go from the base to the variable, and u is drawn"
        if why is None and layer.base_shape(inner) != inner:
            why = "it changes the shape, and u has the shape of the column"
        if why is not None:
            return graph.spec.diagnostic("GD408", f"{layer.tag} cannot dequantize {name}: {why}", at)
        bill += layer.bill(inner, numel(features) if layer.amortized else 0)
    return Factor(
        name=f"dequantizer.{name}",
        side="d",
        head=name,
        parents=(name,),
        path=path,
        net=net,
        flow=layers,
        inputs=inputs,
        features=features,
        offers=Offers(density=Density.OWN, rsample=True, estimated=bool(estimates(layers, shape))),
        bill=bill + Bill(),
    )
