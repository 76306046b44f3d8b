"""Laws of the flow layers at the edges of their domain, of their round trip in both precisions, and of their start.

Values next to and at the ends of splines, zero, tiny, large; |x - f^-1(f(x))| <= 1e-5 max(1, cond J) |x| in float32 and
1e-12 max(1, cond J) |x| in float64, at drawn parameters; what is stated to begin as the identity does.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gendsl.nn.building import builder
from gendsl.nn.transforms.stack import Transform
from gendsl.runtime.verify import flows
from gendsl.runtime.verify.flows import Case, jacobian
from gendsl.runtime.verify.subject import perturb
from gendsl.schema.components.flow import FlowLayer, base_of
from gendsl.schema.components.flow_autoregressive import AutoregressiveLayer
from gendsl.schema.facts import REAL, Cost
from gendsl.schema.registry import table

SHAPE = (2, 2, 2)
SPECS = [
    spec
    for model in table("flow").values()
    for example in model.examples
    if isinstance(spec := model.model_validate(example), FlowLayer)
    and spec.problem(SHAPE) is None
    and spec.base_support(REAL) == REAL
]
BOTH = [s for s in SPECS if Cost.NONE not in (s.forward_cost, s.inverse_cost)]
EDGES = (3.0, 5.0)
"""Where the splines of the examples end."""
FAR = 10.0
"""Beyond it a masked network's numbers are extreme, and float32 need not find the way back."""


def name(spec: object) -> str:
    assert isinstance(spec, FlowLayer)
    return spec.tag + "".join(f"-{v}" for v in spec.model_dump(exclude_defaults=True).values())


def case(spec: FlowLayer, dtype: torch.dtype) -> Case:
    torch.manual_seed(2)
    layer: Transform = builder(spec)(spec, SHAPE, 0, "auto")
    perturb(layer, 0.1)
    layer = layer.to(dtype).eval()
    return Case(spec.tag, spec, layer, torch.randn(6, *base_of((spec,), SHAPE), dtype=dtype), None)


def edges(dtype: torch.dtype) -> Tensor:
    """Rows of one value each, and one with all of them."""
    found = [0.0, -0.0, torch.finfo(dtype).tiny, 1e-6, 1.0, 50.0]
    for edge in EDGES:
        at = torch.tensor(edge, dtype=dtype)
        found += [edge, *(float(torch.nextafter(at, torch.tensor(to, dtype=dtype))) for to in (0.0, 9.0))]
    values = torch.tensor([*found, *(-v for v in found)], dtype=dtype)
    rows = values[:, None].expand(-1, math.prod(SHAPE))
    mixed = values[: len(values) // math.prod(SHAPE) * math.prod(SHAPE)].view(-1, math.prod(SHAPE))
    return torch.cat([rows, mixed]).view(-1, *SHAPE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("spec", SPECS, ids=name)
@torch.no_grad()
def test_values_at_the_edges_have_finite_images_and_come_back(spec: FlowLayer, dtype: torch.dtype) -> None:
    found = case(spec, dtype)
    x = edges(dtype).view(-1, *found.x.shape[1:])
    y, log_det = found.run(x, None)
    assert y.isfinite().all()
    assert log_det.isfinite().all()
    if found.back is not None:
        again, back = found.back(y, None)
        assert back.isfinite().all()
        size = x.flatten(1).norm(dim=1) + 1
        error = (again - x).flatten(1).norm(dim=1) / size
        error = error[x.flatten(1).abs().amax(1) < FAR] if dtype == torch.float32 else error
        assert error.max() < (1e-4 if dtype == torch.float32 else 1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("spec", BOTH, ids=name)
def test_round_trips_lose_no_more_than_the_condition_of_the_map(spec: FlowLayer, dtype: torch.dtype) -> None:
    found = case(spec, dtype)
    condition = torch.linalg.cond(jacobian(lambda v: found.run(v, None)[0], found.x)).clamp_min(1)
    with torch.no_grad():
        assert found.back is not None
        again = found.back(found.run(found.x, None)[0], None)[0]
    error = (again - found.x).flatten(1).norm(dim=1) / found.x.flatten(1).norm(dim=1)
    bound = (1e-5 if dtype == torch.float32 else 1e-12) * condition + 1e-7 * spec.error
    assert (error <= bound).all()


@pytest.mark.parametrize("spec", SPECS, ids=name)
@torch.no_grad()
def test_layers_that_are_stated_to_begin_as_the_identity_do(spec: FlowLayer) -> None:
    """lu_linear and elementwise affine exactly; masked layers without a permutation, continuous nearly."""
    torch.manual_seed(3)
    layer: Transform = builder(spec)(spec, SHAPE, 0, "auto").double().eval()
    x = torch.randn(6, *SHAPE, dtype=torch.float64)
    exact = spec.tag == "lu_linear" or (spec.tag == "elementwise" and getattr(spec, "how", "") == "affine")
    near = spec.tag == "continuous" or (isinstance(spec, AutoregressiveLayer) and spec.repeat == 1)
    if not exact and not near:
        pytest.skip("not stated")
    y, log_det = (layer.inverse if flows.inwards(spec) else layer.forward)(x)
    assert (y - x).norm() < (1e-12 if exact else 0.05) * x.norm()
    assert log_det.abs().max() < (1e-12 if exact else 0.1)


@pytest.mark.parametrize("spec", BOTH, ids=name)
@torch.no_grad()
def test_the_density_of_a_plane_has_mass_one(spec: FlowLayer) -> None:
    """A standard normal base under the layer, summed over a grid of its image, where two entries are enough."""
    if spec.problem((2,)) is not None or spec.base_shape((2,)) != (2,):
        pytest.skip("not a layer of two entries")
    torch.manual_seed(4)
    layer: Transform = builder(spec)(spec, (2,), 0, "auto").double().eval()
    perturb(layer, 0.1)
    drawn = layer.forward(torch.randn(4000, 2, dtype=torch.float64))[0]
    middle, extent = drawn.mean(0), 8 * drawn.std(0)
    axes = [
        torch.linspace(float(m - e), float(m + e), 201).double() for m, e in zip(middle, extent, strict=True)
    ]
    y = torch.cartesian_prod(*axes)
    x, log_det = layer.inverse(y)
    log_p = -0.5 * x.square().sum(1) - math.log(2 * math.pi) + log_det
    area = float((axes[0][1] - axes[0][0]) * (axes[1][1] - axes[1][0]))
    assert abs(float(log_p.exp().sum()) * area - 1) < 1e-3
