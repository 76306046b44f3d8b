"""Flow layers: the log-determinant against the autograd Jacobian, the round trip, and invertibility.

For y = f(x; c) with Jacobian J: log_det = log |det J|, in both directions if there are two; f^-1(f(x)) = x, up to
rounding times the condition number of J; a layer without a closed-form inverse has det J of one sign along
straight lines through the data and far beyond (where det J changes its sign, the map folds).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from gendsl.compiler.graph import Factor
from gendsl.nn.dequantizer import Dequantizer
from gendsl.nn.factor import Flowed, FlowSection
from gendsl.nn.model import Model
from gendsl.nn.rows import as_vectors
from gendsl.nn.transforms.stack import Divide, Stack, Transform
from gendsl.runtime.verify.certificate import Certificate, at_most
from gendsl.runtime.verify.subject import Subject, first, parents_of
from gendsl.schema.components.flow import FlowLayer, base_of
from gendsl.schema.facts import Cost, Shape, numel

LOG_DET_BOUND, LOG_DET_POWER = 1e-7, 1e-6
ROUND_TRIP_BOUND, ROUND_TRIP_POWER = 1e-7, 1e-6
CONDITION = 1e6
"""The condition number of J up to which rounding stays well below the bound of the round trip."""
FOLD_POWER = 0.5
"""A planar layer with w.u = -(1 + 0.5), invertible down to -1, is seen to fold."""

MOVED, SWAYED = 0.3, 0.1
"""What drawn parameters must reach: the median |log_det|, and how far another context moves the output."""

UPHILL = 300
"""Gradient steps at most."""
RATES = (0.03, 0.003)
"""Their rates, in turn."""

DRAWS, BIAS_BOUND, BIAS_POWER = 200, 5.0, 10.0
"""Estimates of a log-determinant that are averaged, and the standard errors allowed and seen."""

LARGEST = 1024
"""Entries of a layer above which its Jacobian is not computed, and there is no certificate."""

LINES, POINTS, REACH = 8, 129, 8.0
Direction = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Case:
    """A layer with values [N, *shape] on the side that it is cheap from, and a context [N, C] or None."""

    name: str
    spec: FlowLayer
    layer: Transform
    x: Tensor
    context: Tensor | None

    @property
    def run(self) -> Direction:
        """The direction that the values belong to: outwards, unless only inwards is one pass."""
        return self.layer.inverse if inwards(self.spec) else self.layer.forward

    @property
    def back(self) -> Direction | None:
        if Cost.NONE in (self.spec.forward_cost, self.spec.inverse_cost):
            return None
        return self.layer.forward if inwards(self.spec) else self.layer.inverse

    @property
    def estimated(self) -> bool:
        """Whether the log-determinant is an unbiased estimate."""
        return self.spec.estimated(tuple(self.x.shape[1:]))

    @property
    def both(self) -> bool:
        """Whether the way back is one pass too."""
        return self.spec.forward_cost is Cost.CHEAP and self.spec.inverse_cost is Cost.CHEAP


def inwards(spec: FlowLayer) -> bool:
    """Whether a layer is cheap from the variable to the base only."""
    return spec.forward_cost is not Cost.CHEAP and spec.inverse_cost is Cost.CHEAP


def conditional(spec: FlowLayer, shape: Shape, context: int) -> bool:
    """Whether the layer reads a context: then it has parameters for that."""
    return spec.bill(shape, context).parameters != spec.bill(shape, 0).parameters


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
    shape = model.graph.variables[factor.head].shape
    assert shape is not None
    shapes = [shape]
    for spec in factor.flow:
        shapes.append(spec.base_shape(shapes[-1]))
    parts: list[Tensor] = []
    if stack.parts:
        x, *parts = torch.split(as_vectors(x), [numel(shapes[-1]), *stack.parts], 1)
        x = x.reshape(-1, *shapes[-1])
    found: list[Case] = []
    with torch.no_grad():
        for i in reversed(range(len(factor.flow))):
            layer, spec = stack.layers[i], factor.flow[i]
            assert isinstance(layer, Transform)
            if isinstance(layer, Divide):
                x = torch.cat([as_vectors(x), parts.pop(0)], 1)
            read = context if stack.amortized[i] else None
            read = read if read is not None and conditional(spec, shapes[i], read.shape[1]) else None
            y = x if spec.forward_cost is Cost.NONE else layer(x, read)[0]
            found.append(Case(f"{factor.name}.{key}[{i}]", spec, layer, y if inwards(spec) else x, read))
            x = y
    yield from reversed(found)


@torch.no_grad()
def _inputs(model: Model, factor: Factor, subject: Subject) -> tuple[Stack, Tensor, Tensor | None]:
    """The stack of a factor, values at its base, and the context."""
    shape = model.graph.variables[factor.head].shape
    assert shape is not None
    rows = min(len(subject.rows), 16 if numel(shape) <= 32 else 4)
    read = model.factor(factor.name)
    if isinstance(read, Dequantizer):
        uniform, place = torch.rand(2, rows, *shape, dtype=model.dtype, device=model.device)
        return read.stack, torch.logit(uniform, eps=1e-6), read.context(place)
    values = first(parents_of(model, factor, subject.rows), rows)
    module = model.factor(factor.name)
    if isinstance(module, FlowSection):
        assert factor.base is not None
        base = values[factor.base].reshape(rows, *base_of(factor.flow, shape))
        return module.stack, base, module.read(values)
    conditioned = model.distribution(factor.name, values, rows)
    assert isinstance(conditioned, Flowed)
    return conditioned.stack, conditioned.base.draw()[0], conditioned.context


def _layer(own: Case, drawn: Case) -> Iterator[Certificate]:
    drawn, note, reached = moved(drawn)
    if own.estimated:
        z = bias(drawn) if reached else torch.inf
        note = f"standard errors, mean of {DRAWS} estimates; {note}"
        yield at_most(f"log_det:{own.name}", z, BIAS_BOUND, BIAS_POWER, note)
        yield from _back(own, drawn, note)
        return
    error = max(log_det_error(own), log_det_error(drawn))
    slack = own.spec.error  # of a numeric solution, which has no smaller bound
    bound, power = max(LOG_DET_BOUND, slack), max(LOG_DET_POWER, 10 * slack)
    yield at_most(f"log_det:{own.name}", error if reached else torch.inf, bound, power, note)
    yield from _back(own, drawn, note)


def _back(own: Case, drawn: Case, note: str) -> Iterator[Certificate]:
    if own.back is not None:
        yield round_trip(own, drawn, note)
    else:
        folds = max(folding(own), folding(drawn))
        note = f"{LINES} lines of {POINTS} points, {REACH:g} standard deviations to each side; {note}"
        yield at_most(f"invertible:{own.name}", folds, 0.0, FOLD_POWER, note)


def round_trip(own: Case, drawn: Case, note: str) -> Certificate:
    """round_trip of one layer at both of its parameters."""
    slack = own.spec.error
    bound, power = max(ROUND_TRIP_BOUND, slack), max(ROUND_TRIP_POWER, 10 * slack)
    errors, costs = zip(*(_conditioned(case, bound) for case in (own, drawn)), strict=True)
    if max(costs) > 1:
        note = f"rows' errors over cond J / {CONDITION:.0e}, which is {max(costs):.2g} at least; {note}"
    return at_most(f"round_trip:{own.name}", max(errors), bound, power * max(costs), note)


def _conditioned(case: Case, bound: float) -> tuple[float, float]:
    """The error of the round trip, and the least factor by which a row's was made smaller to get it.

    The way back multiplies rounding by the condition number of J. Where an error is above the bound, it is allowed
    that: each row's is divided by cond J over CONDITION. An error of a tenth or more stays above the bound.
    """
    errors = round_trip_errors(case)
    worst = float(errors.max())
    if worst <= bound or not math.isfinite(worst):
        return worst, 1.0
    found = jacobian(partial(_output, case.run, case.context), case.x)
    if not bool(found.isfinite().all()):
        return worst, 1.0
    cost = (torch.linalg.cond(found) / CONDITION).clamp(1.0, 0.1 / bound)
    return float((errors / cost).max()), float(cost.min())


def moved(case: Case) -> tuple[Case, str, bool]:
    """The case at parameters led away from the identity, what they reach, and whether that is enough.

    Gradient steps raise |log_det| and the influence of the context until both are large enough. Long steps may end
    where the layer is saturated and nothing moves it; then shorter ones start anew.
    """
    found = _led(case, RATES[0])
    for rate in RATES[1:]:
        if found[2]:
            break
        found = _led(case, rate)
    return found


def _led(case: Case, rate: float) -> tuple[Case, str, bool]:
    """`moved`, by steps of one rate."""
    layer = copy.deepcopy(case.layer)
    case = Case(case.name, case.spec, layer, case.x, case.context)
    parameters = list(layer.parameters())
    if not parameters:
        return case, "float64; no parameters", True
    optimiser = torch.optim.Adam(parameters, lr=rate)
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
        y = as_vectors(function(x))
        columns = [
            as_vectors(torch.autograd.grad(y[:, i].sum(), x, retain_graph=True)[0]) for i in range(y.shape[1])
        ]
    return torch.stack(columns, 1)


def log_det_error(case: Case) -> float:
    """The largest error of a log-determinant of either direction, relative to the median |log det J|.

    A direction that takes one pass for every entry is held against the other one's Jacobian.
    """
    with torch.no_grad():
        y, log_det = case.run(case.x, case.context)
        opposite = None if case.back is None else case.back(y, case.context)[1]
    exact = torch.linalg.slogdet(jacobian(partial(_output, case.run, case.context), case.x))[1]
    worst = _relative(log_det, exact)
    if case.back is None or opposite is None:
        return worst
    if case.both:
        exact = -torch.linalg.slogdet(jacobian(partial(_output, case.back, case.context), y))[1]
    return max(worst, _relative(opposite, -exact))


@torch.no_grad()
def bias(case: Case) -> float:
    """How far the mean of many estimates of the rows' log-determinants is from the exact one, in standard errors."""
    exact = torch.linalg.slogdet(jacobian(partial(_output, case.run, case.context), case.x))[1].mean()
    found = torch.stack([case.run(case.x, case.context)[1].mean() for _ in range(DRAWS)])
    return float((found.mean() - exact).abs() / (found.std() / DRAWS**0.5))


def _relative(log_det: Tensor, exact: Tensor) -> float:
    """The largest difference over the median; the difference itself where the volume is preserved."""
    size, error = float(exact.abs().median()), float((log_det - exact).abs().max())
    return error / size if size > 1e-6 else error


def _output(direction: Direction, context: Tensor | None, x: Tensor) -> Tensor:
    return direction(x, context)[0]


def round_trip_error(case: Case) -> float:
    """max |f^-1(f(x)) - x| relative to the root mean square of x."""
    return float(round_trip_errors(case).max())


@torch.no_grad()
def round_trip_errors(case: Case) -> Tensor:
    """The same for each row, [N]."""
    assert case.back is not None
    y = case.run(case.x, case.context)[0]
    again = case.back(y, case.context)[0]
    return as_vectors((again - case.x).abs()).amax(1) / case.x.square().mean().sqrt()


def folding(case: Case) -> float:
    """The share of points on straight lines where det J has another sign than on the most of its line."""
    x = case.x[:LINES]
    rows = len(x)
    t = torch.linspace(-REACH, REACH, POINTS, dtype=x.dtype, device=x.device)
    direction = as_vectors(torch.randn_like(x))
    direction = (direction / direction.norm(dim=1, keepdim=True)).view_as(x)
    points = x + t.view(-1, 1, *([1] * (x.dim() - 1))) * direction * max(1.0, numel(x.shape[1:]) ** 0.5)
    context = None if case.context is None else case.context[:LINES].repeat(POINTS, 1)
    found = jacobian(partial(_output, case.run, context), points.reshape(-1, *x.shape[1:]))
    sign = torch.linalg.slogdet(found)[0].view(POINTS, rows)
    most = torch.where(sign.sum(0) >= 0, 1.0, -1.0)
    return float((sign != most).double().mean())
