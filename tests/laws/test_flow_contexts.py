"""Every flow layer of the registry in a compiled spec, given nothing, a vector, an image, a label, or a sequence.

A layer that goes both ways stands in a `flow` section, one without an inverse on an encoder. At drawn parameters:
|x - f^-1(f(x))| <= 1e-5 max(1, cond J) |x| in float32 and 1e-12 max(1, cond J) |x| in float64, log |det J| is that of
the autograd Jacobian, and what is given moves its own row and no other.
"""

from __future__ import annotations

import json
from functools import cache

import pytest
import torch
from torch import Tensor

from gendsl.compiler.build import build
from gendsl.nn.factor import Flowed, FlowSection
from gendsl.nn.model import Model
from gendsl.nn.transforms.stack import Stack
from gendsl.runtime.verify.flows import jacobian
from gendsl.runtime.verify.subject import perturb
from gendsl.schema.components.flow import FlowLayer, base_of
from gendsl.schema.facts import Cost, numel
from tests.compiler.cases import graph_of
from tests.laws.test_flow_domains import SHAPE, SPECS

ROWS = 4
COLUMNS = {
    "none": "",
    "vector": "{shape: [3]}",
    "image": "{shape: [1, 4, 4]}",
    "label": "{dtype: int64, classes: 5}",
    "sequence": "{dtype: int64, shape: [6], classes: 5}",
}
READS = {spec: spec.bill(SHAPE, 3).parameters != spec.bill(SHAPE, 0).parameters for spec in SPECS}
CASES = [(spec, context) for spec in SPECS for context in COLUMNS if READS[spec] or context == "none"]
SECTION = "prior: {u: {dist: normal}}\nflow: {x: {given: [GIVEN], stack: [LAYER]}}"
POSTERIOR = """prior: {z: {dist: normal, shape: [2, 2, 2]}}
decoder: {x: {given: z, dist: normal, net: mlp}}
encoder: {z: {given: [GIVEN], dist: normal, net: mlp, flow: [LAYER]}}"""


def name(spec: object) -> str:
    words = spec.model_dump(exclude_defaults=True).values() if isinstance(spec, FlowLayer) else ()
    return "-".join([spec.tag, *map(str, words)])[:50] if isinstance(spec, FlowLayer) else str(spec)


def one_way(spec: FlowLayer) -> bool:
    return Cost.NONE in (spec.forward_cost, spec.inverse_cost)


def modelled(spec: FlowLayer, context: str) -> Model:
    """A spec with the layer, compiled, at drawn parameters."""
    layer = json.dumps({"type": spec.tag, **spec.model_dump(mode="json", exclude_defaults=True)})
    c = "" if context == "none" else f", c: {COLUMNS[context]}"
    text = f"data: {{source: memory, rows: 8, columns: {{a: {{shape: [2, 2, 2]}}{c}}}, bind: {{x: a{', c: c' if c else ''}}}}}\n"
    body = POSTERIOR if one_way(spec) else SECTION
    given = ("x" if one_way(spec) else "u") + (", c" if c else "")
    text += ("condition: [c]\n" if c else "") + body.replace("GIVEN", given).replace("LAYER", layer)
    torch.manual_seed(5)
    model = build(graph_of(text)).eval()
    perturb(model, 0.1)
    return model


def given(context: str) -> Tensor | None:
    shape = {"vector": (3,), "image": (1, 4, 4), "label": (), "sequence": (6,)}
    if context == "none":
        return None
    torch.manual_seed(6)
    if context in ("label", "sequence"):
        return torch.randint(5, (ROWS, *shape[context]))
    return torch.randn(ROWS, *shape[context]).double()


def stack_of(model: Model, spec: FlowLayer, c: Tensor | None) -> tuple[Stack, Tensor | None]:
    """The stack, and the context that it gets from what is given."""
    values = {} if c is None else {"c": c if not c.is_floating_point() else c.to(model.dtype)}
    if not one_way(spec):
        section = model.factor("flow.x")
        assert isinstance(section, FlowSection)
        return section.stack, section.read(values)
    values["x"] = torch.zeros(ROWS, *SHAPE, dtype=model.dtype)
    conditioned = model.distribution("encoder.z", values, ROWS)
    assert isinstance(conditioned, Flowed)
    return conditioned.stack, conditioned.context


@cache
def bases(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(ROWS, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize(("spec", "context"), CASES, ids=name)
def test_a_layer_keeps_its_laws_under_what_it_is_given(spec: FlowLayer, context: str) -> None:
    model, c = modelled(spec, context), given(context)
    x = bases(base_of((spec,), SHAPE))
    for dtype, unit in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        model = model.to(dtype)
        stack, read = stack_of(model, spec, c)
        read = None if read is None else read.detach()
        start = x.to(dtype)
        y, log_det = stack(start, read)
        assert y.shape == (ROWS, *SHAPE)
        if not one_way(spec):
            # a layer that iterates outwards is differentiated inwards, where it is one formula
            inwards = spec.inverse_cost is Cost.CHEAP
            at = y.detach() if inwards else start
            found = jacobian(lambda v, s=stack, r=read, w=inwards: (s.inverse if w else s)(v, r)[0], at)
            size = start.flatten(1).norm(dim=1)
            error = (stack.inverse(y, read)[0] - start).flatten(1).norm(dim=1) / size
            assert (error <= unit * torch.linalg.cond(found).clamp_min(1) + 1e-7 * spec.error).all()
        else:
            inwards = False
            found = jacobian(lambda v, s=stack, r=read: s(v, r)[0], start)
    exact = torch.linalg.slogdet(found.view(ROWS, numel(SHAPE), -1))[1] * (-1 if inwards else 1)
    bound = max(1e-10, spec.error)
    torch.testing.assert_close(log_det.detach(), exact, rtol=bound, atol=bound)
    if c is None:
        return
    other = c.clone()
    other[0] = (other[0] + 1) % 5 if not c.is_floating_point() else other[0] + 1.0
    again = stack(start, stack_of(model, spec, other)[1])[0]
    assert (again[0] - y[0]).norm() > 1e-3 * y[0].norm()
    torch.testing.assert_close(again[1:], y[1:])
