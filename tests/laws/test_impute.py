"""The law of imputation: draws of the missing entries follow p(missing | known), worked out over every image."""

from __future__ import annotations

from itertools import permutations, product

import pytest
import torch
import torch.distributions as td
from torch import Tensor

import gendsl.compiler.plans.impute as plans
from gendsl.compiler.build import build
from gendsl.compiler.pipeline import analyse
from gendsl.errors import UsageError
from gendsl.nn.model import Model
from gendsl.nn.networks.cloze import ClozeNet
from gendsl.runtime.verify.subject import perturb
from gendsl.schema.load import loads
from tests.laws.test_chain import denoiser, masked, number, states, transition

HEAD = """
gendsl: 1
data:
  source: memory
  rows: 40
  columns: {image: {shape: [1, 2, 3], dtype: uint8}, label: {dtype: int64, classes: 3}}
  bind: {x: {column: image, as: [{binarize: static}]}LABEL}
train: {batch_size: 10}
"""
NET = "net: {type: mlp, hidden: [6]}"
VAE = f"""
prior: {{z: {{dist: normal, shape: [2]}}}}
decoder: {{x: {{given: z, dist: bernoulli, {NET}}}}}
encoder: {{z: {{given: x, dist: {{type: normal, scale: 1.5}}, {NET}}}}}
"""
MADE = "decoder: {x: {dist: bernoulli, net: {type: made, hidden: [12]}}}"
RASTER = "\nordering: {x: {type: raster}}\n"
EXACT = {
    "mixture": f"""
prior: {{c: {{dist: {{type: categorical, classes: 3, logits: learned}}}}}}
decoder: {{x: {{given: c, dist: bernoulli, {NET}}}}}
""",
    "two_finite_latents": f"""
prior: {{c: {{dist: categorical, classes: 3}}, b: {{given: c, dist: bernoulli, shape: [2], {NET}}}}}
decoder: {{x: {{given: [b, c], dist: bernoulli, {NET}}}}}
encoder: {{c: {{given: x, dist: categorical, {NET}}}, b: {{given: [x, c], dist: bernoulli, {NET}}}}}
""",
    "made": RASTER + MADE,
    "backwards": "\nordering: {x: {type: reverse}}\n" + MADE,
    "mixture_of_made": RASTER
    + """
prior: {c: {dist: categorical, classes: 3}}
decoder: {x: {given: c, dist: bernoulli, net: {type: made, hidden: [12]}}}
""",
    "independent": "decoder: {x: {dist: bernoulli}}",
}
EXACT |= {
    name: f"\nordering: {{x: {order}}}\ndecoder: {{x: {{dist: bernoulli, net: {net}}}}}"
    for name, order, net in (
        ("gru", "spiral", "{type: gru, width: 6}"),
        ("lstm", "{type: random, seed: 3}", "{type: lstm, width: 6}"),
        ("rnn", "reverse", "{type: rnn, width: 6}"),
        ("transformer", "serpentine", "{type: transformer, layers: 1, width: 8, heads: 2, positions: rope}"),
        ("wavenet", "natural", "{type: wavenet, layers: 3, width: 6}"),
        ("gated_pixelcnn", "raster", "{type: gated_pixelcnn, layers: 2, width: 6}"),
        ("pixelcnn_pp", "raster", "{type: pixelcnn_pp, layers: 2, width: 6}"),
    )
}
"""Every autoregressive net, each in another order."""
WEIGHED = {
    "vae": VAE,
    "missing": "variables: {x: {missing: {rate: 0.5}}}" + VAE,
    "mixture_prior": f"""
prior: {{c: {{dist: categorical, classes: 3}}, z: {{given: c, dist: normal, shape: [2], {NET}}}}}
decoder: {{x: {{given: z, dist: bernoulli, {NET}}}}}
encoder: {{z: {{given: x, dist: {{type: normal, scale: 1.5}}, {NET}}}}}
""",
    "made_decoder": RASTER
    + VAE.replace(f"z, dist: bernoulli, {NET}", "z, dist: bernoulli, net: {type: made, hidden: [12]}"),
    "from_the_prior": VAE.replace("{type: normal, scale: 1.5}", "{type: implicit, noise: 2}")
    + "adversary: {d: {sees: z, net: {type: mlp, hidden: [4]}}}",
}
LABELLED = f"""
prior: {{z: {{dist: normal, shape: [2]}}}}
decoder: {{x: {{given: z, dist: bernoulli, {NET}}}, y: {{given: x, dist: categorical, {NET}}}}}
encoder: {{z: {{given: x, dist: {{type: normal, scale: 1.5}}, {NET}}}}}
"""
CLOZE = f"""
ordering: {{x: any}}
decoder:
  x: {{dist: bernoulli, net: {{type: transformer, layers: 1, width: 8, heads: 2}}}}
  y: {{given: x, dist: categorical, {NET}}}
"""
MASKS = ("110101", "001000", "011110")
"""Known entries, 1, of an image in row-major order."""
IMAGE = torch.tensor([[1.0, 0, 1, 1, 0, 1]], dtype=torch.float64).view(1, 1, 2, 3)
N = 20_000
PARTICLES = 24


def model_of(body: str, label: str = "", seed: int = 0) -> Model:
    """The float64 model at drawn parameters."""
    torch.manual_seed(seed)
    model = build(analyse(loads(HEAD.replace("LABEL", label) + body))).double().eval()
    perturb(model, 0.7)
    return model


def bits(mask: str) -> Tensor:
    return torch.tensor([c == "1" for c in mask]).view(1, 1, 2, 3)


def conditional(log_p: Tensor, mask: str, image: Tensor = IMAGE) -> Tensor:
    """p(image | known entries) over every image, [64]."""
    agrees = ((states() == image) | ~bits(mask)).flatten(1).all(1)
    return torch.softmax(torch.where(agrees, log_p, -torch.inf), 0)


def distance(values: Tensor, wanted: Tensor) -> float:
    """Total variation between draws [N, 1, 1, 2, 3] and a table."""
    counts = torch.bincount(number(values[:, 0]), minlength=len(wanted)).double()
    return float((counts / counts.sum() - wanted).abs().sum() / 2)


def check(model: Model, masks: tuple[str, ...], particles: int, log_p: Tensor) -> None:
    for mask in masks:
        wanted = conditional(log_p, mask)
        torch.manual_seed(1)
        found = model.impute(IMAGE, {"x": bits(mask)}, N, particles)["x"]
        assert found.shape == (N, *IMAGE.shape)
        assert torch.equal(found[:, bits(mask)], IMAGE[bits(mask)].expand(N, -1))
        assert distance(found, wanted) < 0.02, mask
        other = conditional(torch.zeros(64), mask)
        assert float((wanted - other).abs().sum() / 2) > 0.02, "the law would hold of a coin"


@torch.no_grad()
@pytest.mark.parametrize("name", EXACT)
def test_exact_draws_follow_the_conditional_of_every_mask(name: str) -> None:
    model = model_of(EXACT[name])
    masks = tuple("".join(m) for m in product("01", repeat=6))[4:-4:11]
    check(model, masks, 1, model.log_prob(states()))


@torch.no_grad()
@pytest.mark.parametrize("name", WEIGHED)
def test_weighed_draws_follow_the_conditional(name: str) -> None:
    model = model_of(WEIGHED[name], seed=2 if name == "from_the_prior" else 0)
    assert model.graph.capabilities["impute"].how == "self-normalised importance sampling"
    torch.manual_seed(0)
    log_p = model.log_prob(states(), 20_000)
    assert float(log_p.exp().sum()) == pytest.approx(1, abs=0.003)
    check(model, MASKS[2:], PARTICLES, log_p)


@torch.no_grad()
@pytest.mark.parametrize("name", ["made"])
def test_an_order_is_weighed_where_it_cannot_be_enumerated(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same law by particles: entries proposed in the order, weighed by the known ones that follow."""
    monkeypatch.setattr(plans, "ENUMERATED", 1)
    model = model_of(EXACT[name])
    check(model, MASKS[1:], PARTICLES, model.log_prob(states()))


@torch.no_grad()
def test_what_is_observed_below_weighs_what_is_filled_in_above() -> None:
    """x and y with p(y | x): the missing entries of x follow p(x | known, y), a missing y p(y | x)."""
    model = model_of(LABELLED, ", y: label")
    y = torch.tensor([2])
    torch.manual_seed(0)
    every = {"x": states(), "y": y.expand(64)}
    log_p = model.log_prob(every, 5_000)
    torch.manual_seed(1)
    found = model.impute({"x": IMAGE, "y": y}, {"x": bits(MASKS[2])}, N, PARTICLES)
    assert distance(found["x"], conditional(log_p, MASKS[2])) < 0.02
    assert bool((found["y"] == 2).all())
    found = model.impute({"x": IMAGE}, n=N, particles=5)["y"]
    table = model.distribution("decoder.y", {"x": IMAGE}, 1)
    wanted = torch.stack([table.log_prob(torch.tensor([c])) for c in range(3)]).exp()[:, 0]
    counts = torch.bincount(found.flatten(), minlength=3).double() / N
    assert float((counts - wanted).abs().sum() / 2) < 0.02


@torch.no_grad()
def test_a_mixture_over_orders_is_weighed_by_what_is_observed_below() -> None:
    """Under `any`, p(x) of a state is known by draws of an order only: the states cannot be enumerated by it."""
    model = model_of(CLOZE, ", y: label")
    y = torch.tensor([2])
    below = model.distribution("decoder.y", {"x": states()}, 64).log_prob(y.expand(64))
    for mask in MASKS[1:]:
        missing = [entry for entry, known in enumerate(mask) if known == "0"]
        orders = [in_turn(model, states(), mask, order) for order in permutations(missing)]
        log_p = torch.logsumexp(torch.stack(orders), 0) + below
        torch.manual_seed(1)
        found = model.impute({"x": IMAGE, "y": y}, {"x": bits(mask)}, N, PARTICLES)["x"]
        assert distance(found, conditional(log_p, mask)) < 0.02, mask


def in_turn(model: Model, x: Tensor, mask: str, order: tuple[int, ...]) -> Tensor:
    """log p of the missing entries in an order, given the known ones: [N]."""
    net, total = model.factor("decoder.x").net, torch.zeros(len(x), dtype=torch.float64)
    assert isinstance(net, ClozeNet)
    for turn, entry in enumerate(order):
        hidden = ~bits(mask).flatten()
        hidden[list(order[:turn])] = False
        logits = net({}, x, hidden.expand(len(x), -1).view_as(x))[:, 0].flatten(1)[:, entry]
        total += td.Bernoulli(logits=logits).log_prob(x.flatten(1)[:, entry])
    return total


@torch.no_grad()
def test_the_chain_holds_what_is_known() -> None:
    """The stationary distribution of the chain whose steps put the known entries back, over every image."""
    model = denoiser()
    agrees = ((states() == IMAGE) | ~bits(MASKS[0])).flatten(1).all(1)
    clamped = transition(model, masked(0.5))
    clamped = torch.zeros_like(clamped).index_add_(
        1, number(torch.where(bits(MASKS[0]), IMAGE, states())), clamped
    )
    wanted = torch.linalg.matrix_power(clamped, 200)[0]
    assert float(wanted[~agrees].sum()) < 1e-12
    torch.manual_seed(1)
    found = model.impute(IMAGE, {"x": bits(MASKS[0])}, N)["x"]
    assert distance(found, wanted) < 0.02


def test_missing_is_nan_or_a_mask_or_a_variable_that_is_left_out() -> None:
    model = model_of(LABELLED, ", y: label")
    x = IMAGE.repeat(4, 1, 1, 1)
    mask = bits(MASKS[0]).repeat(4, 1, 1, 1)
    torch.manual_seed(0)
    one = model.impute({"x": x, "y": torch.arange(4) % 3}, {"x": mask}, 3, 5)
    torch.manual_seed(0)
    two = model.impute({"x": torch.where(mask, x, torch.nan), "y": torch.arange(4) % 3}, n=3, particles=5)
    assert torch.equal(one["x"], two["x"])
    assert torch.isfinite(two["x"]).all()
    assert model.impute({"y": torch.arange(4) % 3}, particles=5)["x"].shape == (1, *x.shape)
    with pytest.raises(UsageError, match="mask of w"):
        model.impute({"x": x}, {"w": mask})


def test_rows_with_different_masks_are_filled_in_by_different_ways() -> None:
    model = model_of(EXACT["made"])
    x = IMAGE.repeat(3, 1, 1, 1)
    mask = torch.cat([bits(m) for m in ("111000", "010101", "111111")])
    torch.manual_seed(0)
    found = model.impute(x, {"x": mask}, 200)["x"]
    held = mask.expand(200, *mask.shape)
    assert torch.equal(found[held], x.expand(200, *x.shape)[held])
    assert torch.equal(found[:, 2], x[2].expand(200, *x[2].shape))
    assert all(len(found[:, row].flatten(1).unique(dim=0)) > 1 for row in (0, 1))


def test_masks_beside_a_batch_are_refused() -> None:
    """A batch has masks of its own: others beside it are refused, not passed over."""
    model = model_of(EXACT["independent"])
    batch = model.batch(IMAGE)
    with pytest.raises(UsageError, match="a batch has masks of its own"):
        model.impute(batch, {"x": bits(MASKS[0])})
    assert torch.equal(model.impute(batch)["x"][0], IMAGE)
