"""Second derivatives through networks, decoders and flow layers: what penalties, unrolling and path lengths need."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gendsl.nn.adversarial import CriticModule
from gendsl.nn.building import build_net, builder
from gendsl.nn.networks.style import EPS, Modulated, StyleNet
from gendsl.nn.objective.evaluation import Evaluation
from gendsl.nn.objective.paths import lengths_of
from gendsl.runtime.initial import compile_model
from gendsl.schema.components.net import Net, Ref
from gendsl.schema.components.net_style import Style
from gendsl.schema.facts import Input, categories, numel
from gendsl.schema.registry import table
from tests.compiler.cases import UNIT, graph_of

INPUTS = (Input("x", (1, 8, 8)), Input("y", (), categories(3), labels=True))
CRITICS = [
    m.model_validate(e)
    for m in table("net").values()
    if issubclass(m, Net) and m is not Ref
    for e in m.examples
    if not m.autoregressive and m.model_validate(e).problem(INPUTS, None) is None
]
CODE = (Input("z", (5,)), Input("y", (), categories(3), labels=True))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def disturbed(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.double()


def slope_is_that_of_differences(value: Callable[[], Tensor], own: list[nn.Parameter]) -> None:
    """d/dt of a value along a direction of the parameters, against central differences."""
    gradients = torch.autograd.grad(value(), own, allow_unused=True)
    direction = [torch.randn_like(p) for p in own]
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True) if g is not None)
    values, step = [], 1e-6
    for sign in (1, -1):
        with torch.no_grad():
            for p, d in zip(own, direction, strict=True):
                p.add_(sign * step * d)
        values.append(float(value().detach()))
        with torch.no_grad():
            for p, d in zip(own, direction, strict=True):
                p.sub_(sign * step * d)
    assert abs(slope) > 1e-8
    assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=2e-3)


@pytest.mark.parametrize("net", CRITICS, ids=lambda n: n.tag)
@pytest.mark.parametrize("penalty", ["gradient", "r1"])
def test_the_gradient_of_a_penalty_is_that_of_differences(net: Net, penalty: str) -> None:
    """A penalty is a gradient itself: moving the weights by it is a second derivative through the critic."""
    features = numel(net.features(INPUTS, None))
    critic = disturbed(CriticModule(build_net(net, INPUTS, None), features, ("x", "y")))
    spec = table("penalty")[penalty]()
    function = builder(spec)(spec)
    real = {"x": torch.rand(3, 1, 8, 8, dtype=torch.float64), "y": torch.tensor([0, 1, 2])}
    fake = {"x": torch.rand(3, 1, 8, 8, dtype=torch.float64), "y": real["y"]}

    def value() -> Tensor:
        torch.manual_seed(5)
        found: Tensor = function(critic, real, fake, 0)
        return found

    slope_is_that_of_differences(value, list(critic.parameters()))


@pytest.mark.parametrize(
    "decoder",
    [
        "dist: deterministic, net: {type: mlp, hidden: [9], activation: tanh}",
        "dist: deterministic, net: {type: conv_up, width: 4}",
        "dist: deterministic, net: {type: style, width: 4, style: 6, mapping: 2, noise: false}",
        "dist: implicit, net: {type: style, width: 4, style: 6, mapping: 1, mixing: 1.0}",
    ],
)
def test_the_gradient_of_a_path_length_is_that_of_differences(decoder: str) -> None:
    """A second derivative through the decoder, which is all that it moves."""
    body = f"""
prior: {{z: {{dist: normal, shape: [4]}}}}
decoder: {{x: {{given: z, {decoder}}}}}
adversary: {{d: {{sees: x, net: mlp}}}}
objective: {{path_length: {{x: {{weight: 1, every: 2}}}}}}
"""
    model = compile_model(graph_of(UNIT + body))
    disturbed(model).train()
    batch = model.batch({"x": torch.rand(32, 1, 8, 8, dtype=torch.float64)})
    mean = float(model.loss("model", batch, 0, ["path_length.x"]).seen["x.path"])
    model.length("x").fill_(0.5 * mean)

    def value() -> Tensor:
        torch.manual_seed(3)
        lengths = lengths_of(Evaluation(model, batch, 0, training=True), "x")
        return (lengths - 0.5 * mean).square().mean()

    slope_is_that_of_differences(value, [p for _, p in model.parameters_of(["decoder.x"])])
    torch.manual_seed(3)
    term = model.loss("model", batch, 0, ["path_length.x"])
    assert float(term.total.detach()) == pytest.approx(2 * float(value().detach()), rel=0.05)
    others = [p for n, p in model.named_parameters() if not n.startswith("decoder")]
    assert all(g is None for g in torch.autograd.grad(term.total, others, allow_unused=True))
    assert float(model.loss("model", batch, 1, ["path_length.x"]).total) == 0.0


def test_a_path_length_is_that_of_the_jacobian() -> None:
    """|J^T y| with J worked out entry by entry, y normal numbers over the root of the number of pixels."""
    body = """
prior: {z: {dist: normal, shape: [4]}}
decoder: {x: {given: z, dist: deterministic, net: {type: mlp, hidden: [6], activation: tanh}}}
adversary: {d: {sees: x, net: mlp}}
objective: {path_length: {x: {every: 1}}}
"""
    model = disturbed(compile_model(graph_of(UNIT + body)))
    batch = model.batch({"x": torch.rand(3, 1, 8, 8, dtype=torch.float64)})
    e = Evaluation(model, batch, 0, training=True)
    codes = e.fake["z"].detach()
    torch.manual_seed(5)
    found = lengths_of(e, "x").detach()
    torch.manual_seed(5)
    y = torch.randn(3, 64, dtype=torch.float64) / 8
    for row in range(3):
        jacobian = torch.autograd.functional.jacobian(
            lambda z: model.distribution("decoder.x", {"z": z[None]}, 1).mean().flatten(), codes[row]
        )
        assert float(found[row]) == pytest.approx(float((jacobian.T @ y[row]).norm()), rel=1e-6)


def test_the_running_mean_of_the_length_moves_a_hundredth_of_the_way() -> None:
    body = """
prior: {z: {dist: normal, shape: [4]}}
decoder: {x: {given: z, dist: deterministic, net: mlp}}
adversary: {d: {sees: x, net: mlp}}
objective: {path_length: {x: {every: 1}}}
"""
    model = compile_model(graph_of(UNIT + body))
    loss = model.loss("model", model.batch({"x": torch.rand(8, 1, 8, 8)}), 0)
    seen = float(loss.seen["x.path"])
    model.constrain("model", loss, 8)
    assert float(model.length("x")) == pytest.approx(0.01 * seen, rel=1e-5)
    assert seen > 0


def test_demodulation_keeps_the_size_of_the_features_and_is_blind_to_the_scale_of_a_style() -> None:
    """Each output feature of a demodulated convolution has unit size for unit inputs, whatever the style."""
    layer = Modulated(12, 16, 3, 5, demodulate=True)
    x, w = torch.randn(64, 12, 16, 16), torch.randn(64, 5)
    y = layer(x, w)
    assert float(y.detach().square().mean().sqrt()) == pytest.approx(1.0, abs=0.06)
    with torch.no_grad():
        layer.style.weight.mul_(3.0)
        layer.style.bias.mul_(3.0)
    torch.testing.assert_close(layer(x, w), y, rtol=1e-4, atol=1e-5)


def test_a_modulated_convolution_is_that_of_the_papers_weights() -> None:
    layer = Modulated(3, 4, 3, 2, demodulate=True).double()
    x, w = torch.randn(2, 3, 5, 5, dtype=torch.float64), torch.randn(2, 2, dtype=torch.float64)
    for row in range(2):
        weight = layer.weight * layer.style(w)[row][None, :, None, None]
        weight = weight * torch.rsqrt(weight.square().sum((1, 2, 3), keepdim=True) + EPS)
        expected = torch.nn.functional.conv2d(x[row : row + 1], weight, layer.bias, padding=1)
        torch.testing.assert_close(layer(x, w)[row : row + 1], expected)


def test_style_mixing_takes_later_layers_from_another_row_with_the_same_label() -> None:
    net = Style(width=4, style=6, mapping=1, noise=False, mixing=1.0)
    module = build_net(net, CODE, (1, 16, 16))
    assert isinstance(module, StyleNet)
    values = {"z": torch.randn(7, 5), "y": torch.arange(7) % 3}
    module.train()
    styles = torch.stack(module.styles(values))  # [layers, B, W]
    own = module.mapping(values)
    changed = (styles != own).any(2)  # [layers, B]
    assert not bool(changed[0].any())
    assert bool(changed[-1].sum() >= 4)
    assert bool((changed[1:] >= changed[:-1]).all())
    module.eval()
    assert all(torch.equal(w, own) for w in module.styles(values))


@pytest.mark.parametrize(
    "layer",
    [
        "{type: planar, repeat: 2}",
        "radial",
        "sylvester",
        "coupling",
        "{type: coupling, transform: rq_spline}",
        "{type: inverse_ar, hidden: [6]}",
        "{type: masked_ar, hidden: [6]}",
        "lu_linear",
        "actnorm",
    ],
)
def test_path_lengths_go_through_flow_layers(layer: str) -> None:
    """The kernels' own backward passes give way to one that can be differentiated again."""
    body = f"""
data: {{source: ring, bind: {{x: point}}}}
prior: {{z: {{dist: normal, shape: [3]}}}}
decoder: {{x: {{given: z, dist: normal, net: {{type: mlp, hidden: [8], activation: tanh}}, flow: [{layer}]}}}}
adversary: {{d: {{sees: x, net: mlp}}}}
objective: {{path_length: {{x: {{every: 1}}}}}}
"""
    model = compile_model(graph_of(body))
    disturbed(model).train()
    batch = model.batch({"x": torch.randn(8, 2, dtype=torch.float64)})
    lengths_of(Evaluation(model, batch, 0, training=True), "x")  # actnorm takes its scale from the first rows

    def value() -> Tensor:
        torch.manual_seed(3)
        return lengths_of(Evaluation(model, batch, 0, training=True), "x").square().mean()

    slope_is_that_of_differences(value, [p for _, p in model.parameters_of(["decoder.x"])])


@pytest.mark.parametrize(
    ("body", "apart"),
    [
        ("adversary: {d: {sees: x, net: mlp, penalty: r1}}", {"adversary.d"}),
        ("adversary: {d: {sees: x, net: mlp, unroll: 2}}", {"adversary.d"}),
        ("adversary: {d: {sees: x, net: mlp, penalty: [clip, spectral]}}", set()),
        ("adversary: {d: {sees: x, net: mlp}}\nobjective: {path_length: {x: {}}}", {"decoder.x"}),
        (
            "adversary: {d: {sees: x, net: mlp}}\nenergy: {x: {net: {type: mlp, activation: silu}}}\n"
            "objective: {energy: {x: {type: score_matching}}}",
            {"energy.x"},
        ),
    ],
)
def test_what_is_differentiated_twice_is_not_compiled(body: str, apart: set[str]) -> None:
    """torch.compile has no second derivatives."""
    decoder = (
        "prior: {z: {dist: normal, shape: [4]}}\ndecoder: {x: {given: z, dist: deterministic, net: mlp}}"
    )
    if "energy.x" in apart:
        decoder, body = "", body.split("\n", 1)[1]
    graph = graph_of(f"{UNIT}\n{decoder}\n{body}\nrun: {{compile: true}}")
    model = compile_model(graph)
    parts = {
        f"{s}.{n}": m
        for s in ("decoder", "adversary", "energy")
        for n, m in model.get_submodule(s).named_children()
    }
    assert {n for n, m in parts.items() if m._compiled_call_impl is None} == apart
    said = {d.message.split(" ")[0] for d in graph.notes if "not compiled" in d.message}
    assert said == apart
