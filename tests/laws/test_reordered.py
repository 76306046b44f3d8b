"""Autoregressive flow layers in any fixed order of their entries: what each entry depends on, and the change of volume."""

from __future__ import annotations

import pytest
import torch

from gendsl.compiler.build import build
from gendsl.nn.factor import FactorModule, FlowSection
from gendsl.nn.ordering import rank_tensor
from gendsl.nn.transforms.stack import Stack
from gendsl.runtime.verify.flows import jacobian
from gendsl.runtime.verify.subject import perturb
from gendsl.schema.components.ordering import (
    Natural,
    Ordering,
    Permutation,
    Random,
    Raster,
    Reverse,
    Serpentine,
    Spiral,
)
from tests.compiler.cases import graph_of

BODY = """
data: {{source: two_moons, bind: {{x: point}}}}
prior: {{z: {{dist: normal, shape: [3], flow: [{stack}]}}}}
encoder: {{z: {{given: x, dist: normal, net: mlp}}}}
decoder: {{x: {{given: z, dist: normal, net: mlp}}}}
ordering: {{z: {order}}}
"""
ORDERS: list[tuple[str, Ordering]] = [
    ("reverse", Reverse()),
    ("{type: random, seed: 3}", Random(seed=3)),
    ("{type: permutation, order: [2, 0, 1]}", Permutation(order=(2, 0, 1))),
]


def stack_of(layers: str, order: str) -> Stack:
    """The flow of a latent of three entries, at drawn parameters, float64."""
    torch.manual_seed(0)
    module = build(graph_of(BODY.format(stack=layers, order=order))).double().factor("prior.z")
    assert isinstance(module, FactorModule)
    assert module.stack is not None
    perturb(module, 0.3)
    return module.stack


@pytest.mark.parametrize(("order", "spec"), ORDERS, ids=[o for o, _ in ORDERS])
@pytest.mark.parametrize("layer", ["masked_ar", "inverse_ar"])
@pytest.mark.parametrize("chained", [False, True])
def test_an_entry_depends_on_those_before_it_in_the_order(
    order: str, spec: Ordering, layer: str, chained: bool
) -> None:
    stack = f"{{type: {layer}, hidden: [8]}}"
    stack = f"{{type: chain, stack: [{stack}]}}" if chained else stack
    flow = stack_of(stack, order)
    y = torch.randn(6, 3, dtype=torch.float64)
    found = jacobian(lambda v: flow.inverse(v)[0], y)
    ranks = rank_tensor(spec, (3,))
    assert not torch.equal(ranks, torch.arange(3))
    later = ranks[:, None] < ranks[None, :]
    assert (found[:, later] == 0).all()
    earlier = ranks[:, None] > ranks[None, :]
    assert (found[:, earlier].abs() > 1e-6).all()
    log_det = flow.inverse(y)[1]
    assert torch.allclose(log_det, torch.linalg.slogdet(found)[1], rtol=1e-10, atol=1e-10)
    x, _ = flow.inverse(y)
    assert torch.allclose(flow(x)[0], y, rtol=1e-9, atol=1e-9)


def test_repeated_layers_keep_what_stands_between_them() -> None:
    stack = stack_of("{type: masked_ar, hidden: [8], repeat: 2}", "{type: permutation, order: [2, 0, 1]}")
    y = torch.randn(4, 3, dtype=torch.float64)
    x, log_det = stack.inverse(y)
    assert torch.allclose(stack(x)[0], y, rtol=1e-9, atol=1e-9)
    found = jacobian(lambda v: stack.inverse(v)[0], y)
    assert torch.allclose(log_det, torch.linalg.slogdet(found)[1], rtol=1e-9, atol=1e-10)
    assert (found.abs() > 1e-9).sum() > 6 * 4


IMAGE = """
data: {{source: memory, rows: 8, columns: {{a: {{shape: [2, 3, 3]}}}}, bind: {{x: a}}}}
ordering: {{x: {order}}}
prior: {{u: {{dist: normal}}}}
flow: {{x: {{given: u, stack: [{{type: {layer}, hidden: [24]}}]}}}}
"""
ON_IMAGES: list[Ordering] = [Raster(), Serpentine(), Spiral(), Natural(), Reverse(), Random(seed=5)]


@pytest.mark.parametrize("order", ON_IMAGES, ids=lambda o: o.tag)
@pytest.mark.parametrize("layer", ["masked_ar", "inverse_ar"])
def test_images_are_taken_in_their_order(layer: str, order: Ordering) -> None:
    """Raster keeps the channels of a pixel together, serpentine turns at the end of a row, a spiral goes round."""
    torch.manual_seed(0)
    written = "{" + ", ".join(f"{k}: {v}" for k, v in {"type": order.tag, **order.model_dump()}.items()) + "}"
    module = build(graph_of(IMAGE.format(layer=layer, order=written))).double().factor("flow.x")
    assert isinstance(module, FlowSection)
    perturb(module, 0.3)
    y = torch.randn(3, 2, 3, 3, dtype=torch.float64)
    x, log_det = module.stack.inverse(y)
    # towards the base a masked layer is one network; the other's way outwards is
    found = (
        jacobian(lambda v: module.stack.inverse(v)[0], y)
        if layer == "masked_ar"
        else jacobian(lambda v: module.stack(v)[0], x)
    )
    ranks = rank_tensor(order, (2, 3, 3)).flatten()
    assert (found[:, ranks[:, None] < ranks[None, :]] == 0).all()
    assert (found[:, ranks[:, None] > ranks[None, :]].abs() > 1e-9).all()
    sign = 1 if layer == "masked_ar" else -1
    assert torch.allclose(log_det, sign * torch.linalg.slogdet(found)[1], rtol=1e-10, atol=1e-10)
    assert torch.allclose(module.stack(x)[0], y, rtol=1e-9, atol=1e-9)
