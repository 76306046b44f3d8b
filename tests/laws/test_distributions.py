"""Laws of the distributions, over the registry: every entry x its examples x shapes.

Densities against quadrature, samples against densities, raw zeros, gradients, closed-form KLs, supports,
facts, means.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import kl_divergence

from gendsl.nn.distributions import ContinuousBernoulliFamily, DiracFamily, Family
from gendsl.nn.factor import Plain
from gendsl.nn.levels import bin_log_prob
from gendsl.runtime.verify.entrywise import Entries, nodes, resolved
from gendsl.runtime.verify.integrals import pairs
from gendsl.runtime.verify.samples import BOUND, deviation
from gendsl.schema.components.dist import Dist, LocationScale, Normal
from gendsl.schema.components.dist_mixture import Mixture
from gendsl.schema.facts import BINARY, COUNTS, POSITIVE, REAL, UNIT, Density, Shape, Support, categories
from gendsl.schema.registry import table

SHAPES: list[Shape] = [(), (3,), (2, 2, 2)]


def fits(spec: Dist, shape: Shape) -> bool:
    return spec.problem(shape, None) is None


def smallest(spec: Dist) -> Shape:
    """A shape with two entries, or the three channels of one pixel."""
    return (2,) if fits(spec, (2,)) else (3, 1, 1)


DISTS = [
    m.model_validate(e)
    for m in table("dist").values()
    if issubclass(m, Dist) and not m.uses_encoder and not m.chained
    for e in m.examples
]
SCORED = [d for d in DISTS if d.density is not Density.NONE]
CHANNELS: Shape = (3, 1, 2)
"""Of the distributions that need three channels."""
CASES = [
    (d, s)
    for d in DISTS
    for s in (*SHAPES, CHANNELS)
    if fits(d, s) and (s != CHANNELS or not fits(d, SHAPES[1]))
]
SCORED_CASES = [(d, s) for d, s in CASES if d in SCORED]
ENTRYWISE_CASES = [(d, s) for d, s in SCORED_CASES if d.marginals]
ENTRYWISE = [d for d in SCORED if d.marginals]
JOINT = [d for d in SCORED if not d.factorises]
ROWS = 4
DRAWS = 50_000


def name(value: object) -> str:
    if isinstance(value, Dist):
        return value.tag + "".join(f"-{v}" for v in value.model_dump(exclude_defaults=True).values())
    return str(value)


@pytest.fixture(autouse=True)
def _float64() -> object:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def family_of(spec: Dist, shape: Shape) -> tuple[Family, Support]:
    module, function = spec.build.split(":")
    build: Callable[..., Family] = getattr(importlib.import_module(module), function)
    support = spec.support(None)
    return build(spec, shape, support), support


def drawn(spec: Dist, shape: Shape) -> tuple[Family, Tensor, Support]:
    """A family with free and raw numbers away from zero, [ROWS, P, *shape]."""
    family, support = family_of(spec, shape)
    for parameter in family.parameters():
        parameter.data.normal_(0, 0.5)
    return family, torch.randn(ROWS, *spec.raw(shape, support)) * 0.7, support


@pytest.mark.parametrize(("spec", "shape"), CASES, ids=name)
def test_raw_and_free_tensors_are_as_the_facts_say(spec: Dist, shape: Shape) -> None:
    family, raw, _ = drawn(spec, shape)
    own = {k.replace("free.", "").replace("components.", ""): v for k, v in family.named_parameters()}
    assert {k: tuple(v.shape) for k, v in own.items()} == spec.free(shape)
    assert family.start(tuple(raw.shape[1:])).shape == raw.shape[1:]
    assert family.reparameterised == spec.reparameterised
    drawing = Plain(family, raw, spec.density is not Density.NONE)
    value, density = drawing.draw()
    assert value.shape == (ROWS, *shape)
    assert drawing.mean().shape == (ROWS, *shape)
    if spec.density is Density.NONE:
        assert density is None
    else:
        assert density is not None
        assert density.shape == (ROWS,)
        assert torch.allclose(drawing.log_prob(value), density)
        if spec.marginals:
            assert drawing.marginals(value).shape == (ROWS, *shape)
        if spec.factorises:
            assert drawing.entries(value).shape == (ROWS, *shape)
        else:
            with pytest.raises(TypeError, match="not a product"):
                drawing.entries(value)


@pytest.mark.parametrize(("spec", "shape"), ENTRYWISE_CASES, ids=name)
def test_every_entrys_density_is_normalised(spec: Dist, shape: Shape) -> None:
    family, raw, support = drawn(spec, shape)
    entries = Entries(family, raw, support)
    x, log_w = entries.nodes()
    log_p = entries.at(x)
    seen = resolved(log_p, log_w) | support.integer
    assert seen.double().mean() > 0.7
    total = torch.logsumexp(log_p + log_w, 0).exp()[seen]
    kink = spec.tag in ("laplace", "uniform") or any(d.tag == "laplace" for d in getattr(spec, "of", ()))
    assert torch.allclose(total, torch.ones_like(total), rtol=5e-4 if kink else 1e-4)


@pytest.mark.parametrize(("spec", "shape"), ENTRYWISE_CASES, ids=name)
def test_samples_follow_the_density(spec: Dist, shape: Shape) -> None:
    family, raw, support = drawn(spec, shape)
    z = deviation(Entries(family, raw, support), draws_of(family, raw))
    assert z is not None
    assert z < BOUND


def draws_of(family: Family, raw: Tensor, n: int = DRAWS) -> Tensor:
    """About n draws in all, [n / ROWS, ROWS, *shape]."""
    times = n // ROWS
    value = Plain(family, raw, True).repeat(times).draw()[0]
    return value.unflatten(0, (times, -1)).to(raw.dtype)


def grid(spec: Dist, family: Family, raw: Tensor, support: Support) -> tuple[Tensor, Tensor, Tensor]:
    """Points [S, ROWS, *shape] that cover a small joint density, with log weights and log densities [S, ROWS]."""
    shape = smallest(spec)
    if support.count is not None:
        axis = torch.arange(support.count, dtype=torch.float64) + support.low
        points = (
            torch.cartesian_prod(*([axis] * math.prod(shape))).view(-1, 1, *shape).expand(-1, ROWS, *shape)
        )
        log_w = torch.zeros(points.shape[:2])
    else:
        x, per_axis = nodes(support, draws_of(family, raw, 65 * ROWS))
        points = pairs(*x.unbind(-1)).flatten(0, 1)
        log_w = pairs(*per_axis.unbind(-1)).sum(-1).flatten(0, 1)
    log_p = Plain(family, raw, True).repeat(len(points)).log_prob(points.flatten(0, 1))
    return points, log_w, log_p.view(-1, ROWS)


@pytest.mark.parametrize("spec", JOINT, ids=name)
def test_a_joint_density_is_normalised(spec: Dist) -> None:
    family, raw, support = drawn(spec, smallest(spec))
    _, log_w, log_p = grid(spec, family, raw, support)
    total = torch.logsumexp(log_p + log_w, 0).exp()
    kink = any(d.tag == "laplace" for d in getattr(spec, "of", ()))
    assert torch.allclose(
        total, torch.ones_like(total), rtol=1e-9 if support.integer else 1e-3 if kink else 1e-4
    )


def together(values: Tensor, centre: Tensor) -> Tensor:
    """The product of the first two entries, centred: [S, ROWS]."""
    off = values.flatten(2) - centre
    return off[..., 0] * off[..., 1]


@pytest.mark.parametrize("spec", JOINT, ids=name)
@pytest.mark.parametrize("broken", [False, True])
@torch.no_grad()
def test_samples_of_a_joint_density_go_together_as_it_says(spec: Dist, broken: bool) -> None:
    """E[log p] and E[a b] of two entries against sums over the grid; entries taken from other rows must show."""
    family, raw, support = drawn(spec, smallest(spec))
    raw = 3 * raw if support.integer else raw
    points, log_w, log_p = grid(spec, family, raw, support)
    draws = draws_of(family, raw)
    if broken:
        draws = torch.cat([draws.flatten(2)[..., :1], draws.flatten(2)[..., 1:].roll(1, 0)], -1).view_as(
            draws
        )
    weight = torch.softmax(log_p + log_w, 0)
    at_draws = Plain(family, raw, True).repeat(len(draws)).log_prob(draws.flatten(0, 1)).view(-1, ROWS)
    centre = (weight[..., None] * points.flatten(2)).sum(0)
    found = []
    for node, seen in ((log_p, at_draws), (together(points, centre), together(draws, centre))):
        seen_by_mass = torch.where(weight > 0, node, 0.0)
        mean = (weight * seen_by_mass).sum(0)
        spread = (weight * (seen_by_mass - mean).square()).sum(0)
        found.append(float(((seen.mean(0) - mean) / (spread / len(draws)).sqrt()).abs().max()))
    assert (max(found) > 5) if broken else (max(found) < 5)


@pytest.mark.parametrize("spec", [d for d in ENTRYWISE if d.tag != "uniform"], ids=name)
def test_a_wrong_scale_of_two_percent_shows(spec: Dist) -> None:
    """Real and positive draws stretched by 2 %; where values are bounded or whole, raw numbers by 20 %."""
    family, raw, support = drawn(spec, (3,))
    draws = draws_of(family, raw)
    if not support.integer and support == REAL:
        centre = family.mean(raw)
        draws = centre + 1.02 * (draws - centre)
    elif not support.integer and not math.isfinite(support.high):
        draws = draws * 1.02
    else:
        shifted = raw * 1.2 + 0.1
        draws = draws_of(family, shifted)
    z = deviation(Entries(family, raw, support), draws)
    assert z is not None
    assert z > BOUND


@pytest.mark.parametrize("spec", ENTRYWISE, ids=name)
def test_second_moments_of_samples(spec: Dist) -> None:
    family, raw, support = drawn(spec, (3,))
    entries = Entries(family, raw, support)
    x, log_w = entries.nodes()
    weight = torch.softmax(entries.at(x) + log_w, 0)
    mean = (weight * x).sum(0)
    variance = (weight * (x - mean).square()).sum(0)
    fourth = (weight * (x - mean).pow(4)).sum(0)
    draws = draws_of(family, raw)
    error = ((draws - mean).square().mean(0) - variance) / ((fourth - variance**2) / len(draws)).sqrt()
    assert error.abs().max() < 5
    assert torch.allclose(family.mean(raw).expand_as(mean), mean, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(("spec", "shape"), SCORED_CASES, ids=name)
def test_samples_lie_in_the_support(spec: Dist, shape: Shape) -> None:
    family, raw, support = drawn(spec, shape)
    draws = draws_of(family, raw, 4000)
    assert draws.isfinite().all()
    assert (draws >= support.low).all()
    assert (draws <= support.high).all()
    if support.integer:
        assert torch.equal(draws, draws.round())
    if support.count is not None and support.count < 6:
        assert draws.unique().numel() == support.count
    assert Plain(family, raw, True).repeat(len(draws)).log_prob(draws.flatten(0, 1)).isfinite().all()


STANDARD: dict[str, Callable[[Tensor], Tensor]] = {
    "normal": lambda x: -0.5 * x**2 - 0.5 * math.log(2 * math.pi),
    "laplace": lambda x: -x.abs() - math.log(2),
    "logistic": lambda x: -x - 2 * torch.log1p(torch.exp(-x)),
    "student_t": lambda x: (
        math.lgamma(3) - math.lgamma(2.5) - 0.5 * math.log(5 * math.pi) - 3 * torch.log1p(x**2 / 5)
    ),
    "uniform": torch.zeros_like,
    "bernoulli": lambda x: torch.full_like(x, -math.log(2)),
    "continuous_bernoulli": torch.zeros_like,
    "categorical": lambda x: torch.full_like(x, -math.log(5)),
    "poisson": lambda x: -1 - torch.lgamma(x + 1),
    "beta": torch.zeros_like,
    "gamma": lambda x: -x,
}


@pytest.mark.parametrize("spec", [d for d in SCORED if d.tag in STANDARD], ids=name)
def test_raw_zeros_mean_the_standard_distribution(spec: Dist) -> None:
    family, support = family_of(spec, (3,))
    raw = torch.zeros(ROWS, *spec.raw((3,), support))
    x = Plain(family, raw, True).draw()[0].to(torch.float64)
    if isinstance(spec, LocationScale) and isinstance(spec.scale, float):
        log_p = STANDARD[spec.tag](x / spec.scale) - math.log(spec.scale)
    else:
        log_p = STANDARD[spec.tag](x)
    found = Plain(family, raw, True).log_prob(x)
    assert torch.allclose(found, log_p.sum(1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("spec", [d for d in SCORED if d.numbers > 0], ids=name)
def test_gradients_of_log_prob_against_finite_differences(spec: Dist) -> None:
    family, raw, support = drawn(spec, smallest(spec))
    x = Plain(family, raw, True).draw()[0].detach()
    free = [p.detach().clone().requires_grad_() for p in family.parameters()]
    names = [n for n, _ in family.named_parameters()]

    def log_prob(raw: Tensor, *values: Tensor) -> Tensor:
        found = torch.func.functional_call(family, dict(zip(names, values, strict=True)), (raw,))
        return found.log_prob(x.to(raw.dtype))

    assert torch.autograd.gradcheck(log_prob, (raw.requires_grad_(), *free), rtol=1e-5, atol=1e-7)
    if not support.integer:
        value = x.clone().requires_grad_()
        assert torch.autograd.gradcheck(
            lambda v: family(raw.detach()).log_prob(v), (value,), rtol=1e-5, atol=1e-7
        )


@pytest.mark.parametrize("spec", [d for d in SCORED if d.reparameterised and d.numbers], ids=name)
def test_reparameterised_samples_carry_the_gradient_of_the_mean(spec: Dist) -> None:
    """d/draw of the average of draws = d/draw of the mean, within its standard error."""
    family, raw, _ = drawn(spec, ())
    raw = raw.requires_grad_()
    draws = Plain(family, raw, True).repeat(4000).draw()[0].view(4000, ROWS)
    wanted = torch.autograd.grad(family.mean(raw).sum(), raw, allow_unused=True)[0]
    found = torch.autograd.grad(draws.mean(0).sum(), raw)[0]
    assert wanted is not None
    scale = draws.std().detach() / 4000**0.5
    assert (found - wanted).abs().max() < 12 * scale


@pytest.mark.parametrize("spec", [d for d in SCORED if d.closed_kl], ids=name)
def test_closed_form_kls_against_samples(spec: Dist) -> None:
    for tag in spec.closed_kl:
        others = [d for d in SCORED if d.tag == tag]
        assert others
        for other in others:
            q_family, q_raw, _ = drawn(spec, (2,))
            p_family, p_raw, _ = drawn(other, (2,))
            q, p = Plain(q_family, q_raw, True), Plain(p_family, p_raw, True)
            exact = kl_divergence(q.distribution(), p.distribution())
            x = q.repeat(DRAWS // ROWS).draw()[0]
            each = exact.dim() > 1
            wide = [d.repeat(DRAWS // ROWS) for d in (q, p)]
            log_q, log_p = (d.entries(x) if each else d.log_prob(x) for d in wide)
            log_ratio = (log_q - log_p).view(-1, *exact.shape)
            error = (log_ratio.mean(0) - exact) / (log_ratio.std(0) / len(log_ratio) ** 0.5)
            assert error.abs().max() < 5
            assert (exact > 1e-4).all()


@pytest.mark.parametrize("support", [REAL, POSITIVE, UNIT, Support(-1.0, 3.0), Support(high=2.0)], ids=str)
def test_pointwise_heads_map_onto_the_support(support: Support) -> None:
    value = DiracFamily(support)(torch.linspace(-40, 40, 81).view(81, 1, 1)).sample()
    assert (value >= support.low).all()
    assert (value <= support.high).all()
    assert (
        value.flatten().diff() * (1 if support.high == math.inf or support.low > -math.inf else -1) >= 0
    ).all()


@pytest.mark.parametrize("spec", [d for d in DISTS if d.density is Density.NONE], ids=name)
def test_what_has_no_density_says_so(spec: Dist) -> None:
    family, raw, _ = drawn(spec, (2,))
    with pytest.raises(TypeError, match="density"):
        family(raw).log_prob(torch.zeros(ROWS, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_continuous_bernoulli_is_normalised_far_out(dtype: torch.dtype) -> None:
    """Saturated logits, and those around zero where the constant is 0 / 0."""
    logits = torch.tensor(
        [-60.0, -20.0, -17.0, -3.0, -1e-2, -1e-4, 0.0, 1e-6, 1e-3, 0.1, 5.0, 16.5, 30.0, 90.0]
    )
    entries = Entries(ContinuousBernoulliFamily(), logits[:, None, None].to(dtype), UNIT)
    x, log_w = entries.nodes()
    log_p = entries.at(x.to(dtype)).double() + log_w.double()
    total = torch.logsumexp(log_p, 0).exp()
    assert torch.allclose(total, torch.ones_like(total), rtol=1e-3)
    mean = (torch.softmax(log_p, 0) * x).sum(0)
    assert torch.allclose(entries.family.mean(entries.raw).double(), mean, rtol=1e-3, atol=1e-3)


def test_supports_of_the_catalogue() -> None:
    wanted = {"normal": REAL, "bernoulli": BINARY, "poisson": COUNTS, "beta": UNIT, "gamma": POSITIVE}
    for tag, support in wanted.items():
        assert next(d for d in DISTS if d.tag == tag).support(None) == support
    assert next(d for d in DISTS if d.tag == "categorical").support(None) == categories(5)
    assert {d.tag for d in SCORED} == {*STANDARD, "mixture", "discretized_logistic", "mixture_of_logistics"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("levels", [2, 17, 256, 65536])
def test_bins_of_a_logistic_far_out(dtype: torch.dtype, levels: int) -> None:
    """Finite with finite gradients wherever the bin lies, and equal to the exact difference where that is exact."""
    loc = torch.tensor([-60.0, -1.0, 0.0, 0.3, 1.0, 40.0], dtype=dtype).view(-1, 1, 1).requires_grad_()
    scale = torch.tensor([1e-3, 0.03, 1.0, 1e3], dtype=dtype).view(-1, 1).requires_grad_()
    value = torch.tensor([0, 1, levels // 2, levels - 2, levels - 1])
    log_p = bin_log_prob(value, loc, scale, levels)
    assert log_p.isfinite().all()
    assert (log_p <= 0).all()
    assert all(g.isfinite().all() for g in torch.autograd.grad(log_p.sum(), (loc, scale)))
    if dtype == torch.float64 and levels <= 256:
        every = bin_log_prob(torch.arange(levels), loc, scale, levels)
        total = torch.logsumexp(every, -1)
        assert total.abs().max() < 1e-11


def test_a_normal_with_a_full_covariance_is_torchs() -> None:
    family, raw, _ = drawn(Normal(scale="full"), (3,))
    found = family(raw)
    x = torch.randn(ROWS, 3)
    covariance = found.tril @ found.tril.mT
    known = torch.distributions.MultivariateNormal(found.loc, covariance)
    assert torch.allclose(found.log_prob(x), known.log_prob(x), rtol=1e-9)
    assert (found.tril.diagonal(dim1=1, dim2=2) >= 1e-3).all()
    low = family(torch.full_like(raw, -1e4))
    assert (low.tril.diagonal(dim1=1, dim2=2) >= 1e-3).all()


def test_a_mixture_of_full_normals_begins_with_its_locations_apart_and_identities() -> None:
    """A random L of 16 entries would have a covariance far from those of any standardised data."""
    spec = Mixture(of=(Normal(scale="full"),), components=5)
    family, _ = family_of(spec, (16,))
    raw = family.start(spec.raw((16,), REAL))
    assert torch.equal(raw[:5], torch.zeros(5))
    each = raw[5:].view(5, -1)
    assert each[:, :16].std() > 0.5
    parts = family_of(Normal(scale="full"), (16,))[0](each)
    torch.testing.assert_close(parts.tril, torch.eye(16).expand(5, 16, 16), rtol=2e-3, atol=2e-3)
