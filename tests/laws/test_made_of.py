"""Laws of factors that are made of another of their variable: the VampPrior, and encoders relative to the prior."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from gendsl.compiler.build import build
from gendsl.compiler.graph import How
from gendsl.compiler.pipeline import analyse
from gendsl.errors import SpecError
from gendsl.nn.model import Model
from gendsl.nn.vamp import Pseudo, VampPrior
from gendsl.runtime.verify import verify
from gendsl.runtime.verify.subject import perturb
from gendsl.schema.facts import BINARY, POSITIVE, REAL, UNIT, Input, categories
from gendsl.schema.load import loads

ROWS = 5
DATA = """
gendsl: 1
data:
  source: memory
  rows: 40
  columns: {a: {shape: [3]}, b: {dtype: int64, classes: 4}}
  bind: {x: a, y: b}
train: {batch_size: 10}
"""
VAMP = """
prior: {z: {dist: {type: vamp, pseudo_inputs: 4}, shape: [2]}}
decoder: {x: {given: z, dist: normal, net: {type: mlp, hidden: [6]}}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: [6]}}}
"""
CONDITIONAL = "condition: y\n" + VAMP.replace("given: x,", "given: [y, x],")
PLANAR = VAMP.replace("hidden: [6]}}}\n", "hidden: [6]}, flow: [planar]}}\n").replace(
    "net: {type: mlp, hidden: [6]}, flow: [planar]}}", "net: {type: mlp, hidden: [6]}}}", 1
)
LADDER = """
prior:
  b: {dist: normal, shape: [2]}
  z: {given: b, dist: normal, shape: [2], net: {type: mlp, hidden: [5]}}
decoder: {x: {given: z, dist: normal, net: {type: mlp, hidden: [6]}}}
encoder:
  b: {given: x, dist: normal, net: {type: mlp, hidden: [6]}}
  z: {given: [x, b], dist: normal, relative_to: prior, net: {type: mlp, hidden: [6]}}
"""


def compiled(body: str) -> Model:
    torch.manual_seed(0)
    data = DATA if "y" in body.replace("type", "") else DATA.replace(", y: b", "")
    model = build(analyse(loads(data + body))).double()
    perturb(model, 0.5)
    return model


def rows() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(ROWS, 3, dtype=torch.float64, generator=generator)
    return {"x": x, "y": torch.tensor([0, 3, 1, 1, 2])}


def mixture_by_hand(model: Model, z: Tensor, y: Tensor | None) -> Tensor:
    """log (1/K) sum_k N(z; encoder(u_k, y)), each component from the encoder's own network."""
    prior = model.factor("prior.z")
    assert isinstance(prior, VampPrior)
    module = model.factor("encoder.z")
    each = []
    for u in prior.pseudo["x"]():
        values = {"x": u.expand(len(z), 3)} | ({} if y is None else {"y": y})
        base = module.parts(values, len(z))[0]
        each.append(Normal(base.distribution().mean, base.distribution().stddev).log_prob(z).sum(1))
    return torch.logsumexp(torch.stack(each), 0) - math.log(len(each))


@pytest.mark.parametrize("body", [VAMP, CONDITIONAL, PLANAR], ids=["plain", "conditional", "planar"])
def test_the_prior_is_the_mixture_of_the_encoder_before_its_flow(body: str) -> None:
    model, values = compiled(body), rows()
    y = values["y"] if body == CONDITIONAL else None
    z = torch.randn(ROWS, 2, dtype=torch.float64)
    prior = model.distribution("prior.z", values, ROWS)
    found = prior.log_prob(z)
    assert torch.allclose(found, mixture_by_hand(model, z, y), rtol=1e-10)
    assert float(found.detach().std()) > 1e-3
    assert torch.allclose(
        prior.repeat(2).log_prob(torch.cat([z, z + 1])), torch.cat([found, prior.log_prob(z + 1)])
    )


def test_its_draws_have_its_density() -> None:
    """E over its own draws of p'(z) / p(z) is 1 for any other density p'."""
    model = compiled(VAMP)
    torch.manual_seed(1)
    z, density = model.distribution("prior.z", {}, 60_000).draw()
    assert density is not None
    assert torch.allclose(density[:9], mixture_by_hand(model, z[:9], None), rtol=1e-9)
    other = Normal(z.mean(0).detach(), 0.6 * z.std(0).detach()).log_prob(z).sum(1)
    ratio = (other - density).exp().detach()
    assert abs(float(ratio.mean()) - 1) < 4 * float(ratio.std()) / math.sqrt(len(ratio)) < 0.1
    mean = model.distribution("prior.z", {}, 3).mean()
    assert torch.allclose(mean[0], z.mean(0), atol=0.05)


def test_the_encoder_is_trained_in_both_roles() -> None:
    model = compiled(VAMP)
    z = torch.randn(ROWS, 2, dtype=torch.float64)
    loss = model.distribution("prior.z", {}, ROWS).log_prob(z).sum()
    owned = dict(model.named_parameters())
    found = dict(zip(owned, torch.autograd.grad(loss, list(owned.values()), allow_unused=True), strict=True))
    moved = {
        n.rsplit(".", 1)[0].split(".")[0]
        for n, g in found.items()
        if g is not None and float(g.abs().max()) > 0
    }
    assert moved == {"encoder", "prior"}
    assert len(owned) == len({id(p) for p in owned.values()}), "the encoder's parameters are listed once"
    assert all(n.startswith("prior.z.pseudo") for n in owned if n.startswith("prior"))


@pytest.mark.parametrize("support", [REAL, UNIT, BINARY, POSITIVE, categories(7)], ids=str)
def test_pseudo_inputs_lie_between_the_ends_of_the_support(support: object) -> None:
    item = Input("x", (2,), support, labels=False)  # type: ignore[arg-type]
    value = Pseudo(item, 50)()
    assert value.shape == (50, 2)
    assert float(value.detach().min()) >= item.support.low
    assert float(value.detach().max()) <= item.support.high
    assert float(value.detach().std()) > 0.1
    weights = Pseudo(Input("y", (), categories(4), labels=True), 50)()
    assert weights.shape == (50, 4)
    assert torch.allclose(weights.sum(1), torch.ones(50))


def test_kl_and_loss_with_a_vamp_by_hand() -> None:
    model, values = compiled(VAMP), rows()
    assert model.graph.routes["z"].how is How.SAMPLED
    batch = model.batch({"x": values["x"]})
    torch.manual_seed(2)
    terms = model.loss("model", batch).terms
    torch.manual_seed(2)
    z, log_q = model.distribution("encoder.z", values, ROWS).draw()
    assert log_q is not None
    wanted = (log_q - mixture_by_hand(model, z, None)).mean().detach()
    assert float(terms["kl.z"]) == pytest.approx(float(wanted), rel=1e-9)


def test_relative_means_and_scales_by_hand() -> None:
    model, values = compiled(LADDER), rows()
    values["b"] = torch.randn(ROWS, 2, dtype=torch.float64)
    q = model.distribution("encoder.z", values, ROWS)
    p = model.distribution("prior.z", values, ROWS).distribution()  # type: ignore[attr-defined]
    own = q.family.own(q.raw[:, :2])  # type: ignore[attr-defined]
    wanted = Normal(p.mean + own.mean, p.stddev * own.stddev)
    z = torch.randn(ROWS, 2, dtype=torch.float64)
    assert torch.allclose(q.log_prob(z), wanted.log_prob(z).sum(1), rtol=1e-10)
    assert torch.allclose(q.repeat(2).log_prob(torch.cat([z, z])), q.log_prob(z).repeat(2), rtol=1e-10)
    assert not torch.allclose(q.log_prob(z), own.log_prob(z).sum(1), rtol=1e-2), "the prior matters"
    torch.manual_seed(0)
    draws = model.distribution(
        "encoder.z", {n: v[:1].expand(40_000, -1) for n, v in values.items() if n != "y"}, 40_000
    )
    sample = draws.draw()[0].detach()
    assert torch.allclose(sample.mean(0), wanted.mean[0].detach(), atol=0.05)
    assert torch.allclose(sample.std(0), wanted.stddev[0].detach(), rtol=0.05)


@pytest.mark.parametrize("body", [VAMP, LADDER], ids=["vamp", "ladder"])
def test_the_certificates_hold(body: str) -> None:
    torch.manual_seed(0)
    model = build(analyse(loads(DATA.replace(", y: b", "") + body)))
    found = verify(model, None)
    assert [c.name for c in found if not c.passed] == []
    names = {c.name for c in found}
    assert "samples:encoder.z" in names
    assert ("closed_kl:z" in names) == (body == LADDER)


def test_the_closed_kl_of_a_relative_encoder_at_the_drawn_parent() -> None:
    model, values = compiled(LADDER), rows()
    assert model.graph.routes["z"].how is How.CLOSED
    torch.manual_seed(3)
    terms = model.loss("model", model.batch({"x": values["x"]})).terms
    torch.manual_seed(3)
    values["b"] = model.distribution("encoder.b", values, ROWS).draw()[0]
    p = model.distribution("prior.z", values, ROWS).distribution()  # type: ignore[attr-defined]
    q = model.distribution("encoder.z", values, ROWS).distribution()  # type: ignore[attr-defined]
    wanted = kl_divergence(q, p).sum(1).mean().detach()
    assert float(terms["kl.z"]) == pytest.approx(float(wanted), rel=1e-9)


@pytest.mark.parametrize("body", [VAMP, PLANAR, LADDER], ids=["vamp", "planar", "ladder"])
def test_elbo_is_below_the_better_bound(body: str) -> None:
    body = body.replace(
        "decoder: {x: {given: z, dist: normal,", "decoder: {x: {given: z, dist: normal, scale: fixed,"
    )
    model, values = compiled(body), rows()
    assert bool(model.graph.factors["encoder.z"].flow) == (body.count("planar") == 1)
    torch.manual_seed(0)
    x = values["x"].repeat(200, 1)
    elbo, better = model.elbo({"x": x}).mean(), model.log_prob({"x": x}, samples=100).mean()
    assert float(elbo) < float(better)
    again = -model.loss("model", model.batch({"x": x})).total
    assert float(again.detach()) == pytest.approx(float(elbo), abs=0.25)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (VAMP[: VAMP.index("encoder")], "has no encoder"),
        (
            VAMP.replace("shape: [2]}}", "shape: [2], given: y}}").replace("prior", "condition: y\nprior"),
            "follows from",
        ),
        (VAMP.replace("given: x, dist: normal", "given: x, dist: deterministic"), "no density"),
        (
            VAMP.replace(
                "encoder: {z: {given: x,",
                "corruption: {w: {given: x, dist: gaussian}}\nencoder: {z: {given: w,",
            ),
            "corrupted, not observed",
        ),
        (LADDER.replace("given: [x, b]", "given: x"), "name it under given"),
        (LADDER.replace("given: b, dist: normal", "given: b, dist: laplace"), "no common location and scale"),
        (
            LADDER.replace("{given: b, dist: normal,", "{given: b, dist: normal, relative_to: prior,"),
            "only an encoder",
        ),
    ],
)
def test_what_cannot_be_made_of_the_other_factor(body: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        compiled(body)
