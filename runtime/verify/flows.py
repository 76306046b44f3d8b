"""Flow layers: the log-determinant against the autograd Jacobian, the round trip, and invertibility.

For y = f(x; c) with Jacobian J: log_det = log |det J|, in both directions if there are two; f^-1(f(x)) = x;
a layer without a closed-form inverse has det J of one sign along straight lines through the data and far
beyond (where det J changes its sign, the map folds).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from gendsl.compiler.graph import Factor, Graph
from gendsl.nn.factor import Flowed, FlowSection
from gendsl.nn.model import Model
from gendsl.nn.transforms.stack import Stack, Transform
from gendsl.runtime.verify.certificate import Certificate, at_most
from gendsl.runtime.verify.subject import Subject, first, parents_of
from gendsl.schema.components.flow import FlowLayer
from gendsl.schema.facts import Cost, numel

LOG_DET_BOUND, LOG_DET_POWER = 1e-7, 1e-6
ROUND_TRIP_BOUND, ROUND_TRIP_POWER = 1e-7, 1e-6
FOLD_POWER = 0.5
"""A planar layer with w.u = -(1 + 0.5), invertible down to -1, is seen to fold."""

MOVED, SWAYED = 0.3, 0.1
"""What drawn parameters must reach: the median |log_det|, and how far another context moves the output."""

UPHILL = 300
"""Gradient steps at most."""

LARGEST = 1024
"""Entries of a layer above which its Jacobian is not computed, and there is no certificate."""

LINES, POINTS, REACH = 8, 129, 8.0
Direction = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Case:
    """A layer with inputs of its first direction, [N, *shape], and a context [N, C] or None."""

    name: str
    spec: FlowLayer
    layer: Transform
    x: Tensor
    context: Tensor | None

    @property
    def run(self) -> Direction:
        """The direction that the inputs belong to: outwards where the layer can do that."""
        return self.layer.inverse if self.spec.forward_cost is Cost.NONE else self.layer.forward

    @property
    def back(self) -> Direction | None:
        if Cost.NONE in (self.spec.forward_cost, self.spec.inverse_cost):
            return None
        return self.layer.inverse


def certificates(subject: Subject) -> Iterator[Certificate]:
    """log_det, round_trip or invertible of every layer of every factor and flow section."""
    for factor in subject.graph.factors.values():
        if not factor.flow:
            continue
        with subject.draws(f"flow/{factor.name}"):
            own = list(cases(subject.own, factor, subject))
            for case, moved in zip(own, cases(subject.drawn, factor, subject), strict=True):
                if numel(case.x.shape[1:]) <= LARGEST:
                    yield from _layer(case, moved)


def cases(model: Model, factor: Factor, subject: Subject) -> Iterator[Case]:
    """Every layer with values that reach it, outermost last computed and first listed."""
    stack, x, context = _inputs(model, factor, subject)
    key = "stack" if factor.base is not None else "flow"
    found: list[Case] = []
    with torch.no_grad():
        for i in reversed(range(len(factor.flow))):
            layer = stack.layers[i]
            assert isinstance(layer, Transform)
            read = context if stack.amortized[i] else None
            found.append(Case(f"{factor.name}.{key}[{i}]", factor.flow[i], layer, x, read))
            if factor.flow[i].forward_cost is not Cost.NONE:
                x = layer(x, read)[0]
    yield from reversed(found)


@torch.no_grad()
def _inputs(model: Model, factor: Factor, subject: Subject) -> tuple[Stack, Tensor, Tensor | None]:
    """The stack of a factor, values at its base, and the context."""
    shape = model.graph.variables[factor.head].shape
    assert shape is not None
    rows = min(len(subject.rows), 16 if numel(shape) <= 32 else 4)
    values = first(parents_of(model, factor, subject.rows), rows)
    module = model.factor(factor.name)
    if isinstance(module, FlowSection):
        assert factor.base is not None
        base = values[factor.base].reshape(rows, *base_shape(model.graph, factor))
        return module.stack, base, module.read(values)
    conditioned = model.distribution(factor.name, values, rows)
    assert isinstance(conditioned, Flowed)
    return conditioned.stack, conditioned.base.draw()[0], conditioned.context


def base_shape(graph: Graph, factor: Factor) -> tuple[int, ...]:
    """The shape at the base's end of a factor's layers."""
    shape = graph.variables[factor.head].shape
    assert shape is not None
    for layer in factor.flow:
        shape = layer.base_shape(shape)
    return shape


def _layer(own: Case, drawn: Case) -> Iterator[Certificate]:
    drawn, note, reached = moved(drawn)
    error = max(log_det_error(own), log_det_error(drawn))
    yield at_most(f"log_det:{own.name}", error if reached else torch.inf, LOG_DET_BOUND, LOG_DET_POWER, note)
    if own.back is not None:
        error = max(round_trip_error(own), round_trip_error(drawn))
        yield at_most(f"round_trip:{own.name}", error, ROUND_TRIP_BOUND, ROUND_TRIP_POWER, note)
    else:
        folds = max(folding(own), folding(drawn))
        note = f"{LINES} lines of {POINTS} points, {REACH:g} standard deviations to each side; {note}"
        yield at_most(f"invertible:{own.name}", folds, 0.0, FOLD_POWER, note)


def moved(case: Case) -> tuple[Case, str, bool]:
    """The case at parameters led away from the identity, what they reach, and whether that is enough.

    Gradient steps raise |log_det| and the influence of the context until both are large enough.
    """
    layer = copy.deepcopy(case.layer)
    case = Case(case.name, case.spec, layer, case.x, case.context)
    parameters = list(layer.parameters())
    if not parameters:
        return case, "float64; no parameters", True
    optimiser = torch.optim.Adam(parameters, lr=0.03)
    for _ in range(UPHILL):
        volume, sway, height = reach(case)
        enough = (volume == 0.0 or volume > MOVED) and (sway is None or sway > SWAYED)
        if enough or not height.requires_grad:
            break
        optimiser.zero_grad()
        (-height).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    words = "volume-preserving" if volume == 0.0 else f"median |log_det| {volume:.2g}"
    if sway is not None:
        words += f", context moves the output by {sway:.0%}"
    return case, f"float64, drawn parameters: {words}", enough


def reach(case: Case) -> tuple[float, float | None, Tensor]:
    """The median |log_det|, how far another row's context moves the output, relative, and what to raise."""
    with torch.enable_grad():
        y, log_det = case.run(case.x, case.context)
        height = log_det.abs().clamp(max=2 * MOVED).mean()
        volume = float(log_det.detach().abs().median())
        if case.context is None:
            return volume, None, height
        other = case.run(case.x, case.context.roll(1, 0))[0]
        sway = (other - y).norm() / y.norm()
        return volume, float(sway.detach()), height + sway.clamp(max=2 * SWAYED)


def jacobian(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """dy/dx of each row, [N, D, D], by reverse-mode differentiation."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        y = function(x).flatten(1)
        columns = [
            torch.autograd.grad(y[:, i].sum(), x, retain_graph=True)[0].flatten(1) for i in range(y.shape[1])
        ]
    return torch.stack(columns, 1)


def log_det_error(case: Case) -> float:
    """The largest error of a log-determinant of either direction, relative to the median |log det J|."""
    worst, x = 0.0, case.x
    for direction in (case.run, case.back):
        if direction is None:
            continue
        with torch.no_grad():
            y, log_det = direction(x, case.context)
        exact = torch.linalg.slogdet(jacobian(partial(_output, direction, case.context), x))[1]
        size = float(exact.abs().median())
        error = float((log_det - exact).abs().max())
        worst = max(worst, error / size if size > 1e-6 else error)
        x = y
    return worst


def _output(direction: Direction, context: Tensor | None, x: Tensor) -> Tensor:
    return direction(x, context)[0]


@torch.no_grad()
def round_trip_error(case: Case) -> float:
    """max |f^-1(f(x)) - x| relative to the root mean square of x."""
    assert case.back is not None
    y = case.run(case.x, case.context)[0]
    again = case.back(y, case.context)[0]
    return float((again - case.x).abs().max() / case.x.square().mean().sqrt())


def folding(case: Case) -> float:
    """The share of points on straight lines where det J has another sign than on the most of its line."""
    x = case.x[:LINES]
    rows = len(x)
    t = torch.linspace(-REACH, REACH, POINTS, dtype=x.dtype, device=x.device)
    direction = torch.randn_like(x).flatten(1)
    direction = (direction / direction.norm(dim=1, keepdim=True)).view_as(x)
    points = x + t.view(-1, 1, *([1] * (x.dim() - 1))) * direction * max(1.0, numel(x.shape[1:]) ** 0.5)
    context = None if case.context is None else case.context[:LINES].repeat(POINTS, 1)
    found = jacobian(partial(_output, case.run, context), points.reshape(-1, *x.shape[1:]))
    sign = torch.linalg.slogdet(found)[0].view(POINTS, rows)
    most = torch.where(sign.sum(0) >= 0, 1.0, -1.0)
    return float((sign != most).double().mean())
