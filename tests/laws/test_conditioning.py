"""The rule by which networks read parents: labels, ordinals, counts, grids of several sizes, contexts."""

from __future__ import annotations

import pytest
import torch

from gendsl.nn.conditioning import Context, Film, Planes, Read, Vector
from gendsl.nn.networks.conv_down import build_conv_down
from gendsl.nn.networks.conv_up import build_conv_up
from gendsl.nn.networks.gated_pixelcnn import build_gated_pixelcnn
from gendsl.nn.networks.made import build_made
from gendsl.nn.networks.resnet import build_resnet
from gendsl.schema.components.net import Mlp
from gendsl.schema.components.net_ar import GatedPixelCNN, Made
from gendsl.schema.components.net_grid import ConvDown, ConvUp, Resnet
from gendsl.schema.components.net_planes import context_width
from gendsl.schema.facts import BINARY, COUNTS, REAL, Input, Support, categories, vector_width

LABEL = Input("y", (), categories(5), labels=True)
WORDS = Input("t", (4,), categories(40), labels=True)
IMAGE = Input("x", (1, 8, 8))


@pytest.mark.parametrize(
    ("support", "values", "numbers"),
    [
        (Support(0, 16, integer=True), [0, 4, 16], [-1.0, -0.5, 1.0]),
        (Support(-2, 2, integer=True), [-2, 0, 1], [-1.0, 0.0, 0.5]),
        (BINARY, [0, 1], [0.0, 1.0]),
        (Support(3, 3, integer=True), [3], [0.0]),
        (COUNTS, [0, 1, 7], [0.0, 0.6931472, 2.0794415]),
        (REAL, [-2.5, 3.0], [-2.5, 3.0]),
        (Support(0, 1), [0.25, 1.0], [0.25, 1.0]),
    ],
    ids=str,
)
def test_numbers_are_scaled_by_their_support(
    support: Support, values: list[float], numbers: list[float]
) -> None:
    read = Read(Input("n", (), support))
    torch.testing.assert_close(read(torch.tensor(values)), torch.tensor(numbers))
    assert read.double()(torch.tensor(values)).dtype == torch.float64


@pytest.mark.parametrize("item", [LABEL, WORDS, Input("c", (2, 3), categories(3), labels=True)], ids=str)
def test_a_relaxed_label_is_a_mixture_of_embeddings(item: Input) -> None:
    torch.manual_seed(0)
    read = Read(item)
    hard = torch.randint(0, item.classes, (6, *item.shape))
    soft = torch.nn.functional.one_hot(hard, item.classes).float()
    assert read(hard).shape == (6, *item.shape, item.embedding)
    torch.testing.assert_close(read(soft), read(hard))
    torch.testing.assert_close(read(hard.float()), read(hard))
    mixed = 0.25 * soft + 0.75 * soft.flip(0)
    torch.testing.assert_close(read(mixed), 0.25 * read(hard) + 0.75 * read(hard.flip(0)))


def test_vectors_concatenate_and_contexts_average_rows_of_labels() -> None:
    torch.manual_seed(0)
    inputs = (LABEL, WORDS, Input("z", (3,)), IMAGE)
    values = {
        "y": torch.tensor([0, 4]),
        "t": torch.randint(0, 40, (2, 4)),
        "z": torch.randn(2, 3),
        "x": torch.randn(2, 1, 8, 8),
    }
    vector, context = Vector(inputs), Context(inputs)
    assert vector(values).shape == (2, vector_width(inputs)) == (2, 5 + 4 * 32 + 3 + 64)
    assert context(values).shape == (2, context_width(inputs)) == (2, 5 + 32 + 3 + 64)
    assert torch.equal(vector(values)[:, -64:], values["x"].flatten(1))
    turned = {**values, "t": values["t"].flip(1)}
    torch.testing.assert_close(context(turned), context(values))
    assert not torch.allclose(vector(turned), vector(values))


def test_grids_meet_at_the_size_of_the_first() -> None:
    small = Input("s", (2, 4, 4))
    values = {"x": torch.randn(3, 1, 8, 8), "s": torch.randn(3, 2, 4, 4)}
    at_large = Planes((IMAGE, small), (8, 8))(values)
    assert at_large.shape == (3, 3, 8, 8)
    assert torch.equal(at_large[:, 1:, ::2, ::2], values["s"])
    assert torch.equal(at_large[:, 1:, 1::2, 1::2], values["s"])
    at_small = Planes((small, IMAGE), (4, 4))(values)
    torch.testing.assert_close(at_small[:, 2], values["x"].reshape(3, 4, 2, 4, 2).mean((2, 4)))


def test_modulation_begins_as_the_identity() -> None:
    torch.manual_seed(0)
    h, context = torch.randn(2, 3, 4, 4), torch.randn(2, 5)
    assert torch.equal(Film(5, 3)(h, context), h)
    values = [{"x": torch.ones(1, 1, 8, 8), "y": torch.tensor([label])} for label in range(2)]
    inputs, order = (IMAGE, LABEL), torch.arange(64)
    for net in (build_conv_down(ConvDown(), inputs, None), build_resnet(Resnet(), inputs, None)):
        assert torch.equal(net(values[0]), net(values[1]))
    pixels = build_gated_pixelcnn(GatedPixelCNN(layers=2), (LABEL,), IMAGE, 2, order)
    assert torch.equal(pixels(values[0], values[0]["x"]), pixels(values[1], values[1]["x"]))


def test_a_code_grid_is_kept_and_a_vector_flattened() -> None:
    codes = ConvDown(width=8)
    assert codes.features((IMAGE,), (4, 4)) == (16, 4, 4)
    assert codes.features((IMAGE,), (3, 2, 2)) == (32, 2, 2)
    assert codes.features((IMAGE,), (1, 8, 8)) == (8, 8, 8)
    assert codes.features((IMAGE,), (16,)) == codes.features((IMAGE,), None) == (256,)
    assert codes.features((IMAGE,), (3, 5)) == (256,)
    assert codes.features((Input("x", (1, 28, 28)),), None) == (64 * 16,)


@pytest.mark.parametrize("size", [(28, 28), (8, 8), (7, 5), (1, 1), (13, 2), (32, 48)], ids=str)
def test_conv_up_makes_grids_of_any_size(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    spec = ConvUp(width=2)
    net = build_conv_up(spec, (Input("z", (3,)),), (1, *size))
    assert net({"z": torch.randn(2, 3)}).shape == (2, 2, *size)
    assert ConvUp(width=4, layers=2).levels((LABEL,), (1, 28, 28)) == (
        ((7, 7), 16),
        ((14, 14), 8),
        ((28, 28), 4),
    )


def test_problems_say_what_to_do_instead() -> None:
    vector, odd = Input("z", (16,)), Input("h", (2, 3, 3))
    assert "z is [16]; use mlp" in (ConvDown().problem((vector,), None) or "")
    assert "the head is [5]; use mlp" in (ConvUp().problem((vector,), (5,)) or "")
    assert "8x8, 4x4, 2x2, 1x1" in (ConvUp().problem((odd,), (1, 8, 8)) or "")
    assert "leave `layers` out" in (ConvUp(layers=2).problem((Input("h", (2, 4, 4)),), (1, 8, 8)) or "")
    assert "`given`" in (Mlp().problem((), (3,)) or "")
    assert "use made" in (GatedPixelCNN().problem((), (5,)) or "")
    assert "`width` is 2" in (GatedPixelCNN(width=2).problem((), (3, 4, 4)) or "")
    with pytest.raises(ValueError, match="raster"):
        build_gated_pixelcnn(GatedPixelCNN(), (), IMAGE, 1, torch.arange(63, -1, -1))
    with pytest.raises(ValueError, match="autoregressive"):
        Made().features((), (3,))


def test_made_without_hidden_layers_is_linear() -> None:
    torch.manual_seed(0)
    net = build_made(Made(hidden=()), (), Input("x", (6,)), 1, torch.arange(6)).double()
    x, y = torch.randn(2, 4, 6, dtype=torch.float64)
    torch.testing.assert_close(net({}, x) + net({}, y), net({}, x + y) + net({}, torch.zeros_like(x)))
