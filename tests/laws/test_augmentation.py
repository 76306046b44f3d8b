"""Laws of the augmentations of what a critic sees, over the registry's examples."""

from __future__ import annotations

import pytest
import torch

from gendsl.nn.augmentation import TRANSFORMATIONS, Augmentation
from gendsl.nn.building import builder
from gendsl.schema.components.augment import Adaptive
from gendsl.schema.registry import table

EXAMPLES = [(tag, example) for tag, model in table("augment").items() for example in model.examples]
IMAGES = [(1, 8, 8), (3, 5, 7), (2, 1, 4)]


def made(tag: str, example: dict[str, object], p: float = 1.0) -> Augmentation:
    spec = table("augment")[tag].model_validate(example)
    module: Augmentation = builder(spec)(spec)
    if module.adaptive is not None:
        module.p.fill_(p)
    return module


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(3)


@pytest.mark.parametrize(("tag", "example"), EXAMPLES)
def test_only_grids_change_and_integers_and_vectors_do_not(tag: str, example: dict[str, object]) -> None:
    x, z, y = torch.rand(64, 1, 8, 8) + 0.1, torch.randn(64, 5), torch.randint(0, 9, (64,))
    seen = made(tag, example)({"x": x, "z": z, "y": y})
    assert seen["z"] is z
    assert seen["y"] is y
    changed = (seen["x"] != x).flatten(1).any(1)
    assert seen["x"].shape == x.shape
    assert float(changed.double().mean()) > 0.5


@pytest.mark.parametrize("name", TRANSFORMATIONS)
@pytest.mark.parametrize("shape", IMAGES)
def test_every_transformation_is_affine_in_the_grid(name: str, shape: tuple[int, ...]) -> None:
    """T(a + b) - T(b) = T(a) - T(0) under the same random numbers: then gradients pass, and D(T(x)) is smooth in x."""
    transform = TRANSFORMATIONS[name]
    a, b = torch.randn(2, 6, *shape, dtype=torch.float64)

    def of(x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(11)
        return transform(x)

    torch.testing.assert_close(of(a + b) - of(b), of(a) - of(torch.zeros_like(a)), rtol=1e-9, atol=1e-12)
    x = a.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(of(x).square().sum(), x)
    assert float(gradient.abs().sum()) > 0


def test_translation_moves_pixels_and_keeps_what_stays_inside() -> None:
    x = torch.zeros(200, 1, 8, 8)
    x[:, :, 3:5, 3:5] = 1.0
    moved = TRANSFORMATIONS["translation"](x)
    assert torch.equal(moved.sum((1, 2, 3)), x.sum((1, 2, 3)))
    assert len({tuple(row.flatten().tolist()) for row in moved}) == 9


def test_cutout_hides_at_most_a_quarter() -> None:
    x = torch.ones(300, 2, 8, 8)
    hidden = (TRANSFORMATIONS["cutout"](x) == 0).double().mean((1, 2, 3))
    assert float(hidden.max()) == pytest.approx(0.25)
    assert float(hidden.min()) > 0


def test_the_adaptive_one_transforms_a_share_p_of_the_rows() -> None:
    x = {"x": torch.rand(4000, 1, 4, 4) + 0.1}
    module = made("adaptive", {"policy": ["color"]}, p=0.3)
    share = (module(x)["x"] != x["x"]).flatten(1).any(1).double().mean()
    assert float(share) == pytest.approx(0.3, abs=0.03)
    module.p.zero_()
    assert torch.equal(module(x)["x"], x["x"])


@pytest.mark.parametrize(("sign", "goes"), [(0.9, 1), (0.2, -1)])
def test_p_moves_towards_the_target_by_rows_seen(sign: float, goes: int) -> None:
    spec = Adaptive(every=3, rows=1000)
    module = Augmentation(spec)
    module.p.fill_(0.5)
    for _ in range(2):
        module.adapt(torch.tensor(sign), 20)
    assert module.p.item() == pytest.approx(0.5)
    module.adapt(torch.tensor(sign), 20)
    assert module.p.item() == pytest.approx(0.5 + goes * 60 / 1000, rel=1e-6)
    for _ in range(300):
        module.adapt(torch.tensor(sign), 20)
    assert module.p.item() == pytest.approx(max(goes, 0))
