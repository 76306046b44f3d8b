"""Pictures: every pixel of a grid is where it should be, files repeat bit for bit, odd input is shown."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from gendsl.runtime.pictures import save_curves, save_grid, save_pairs, save_points, spans_decades


def pixels(path: Path) -> np.ndarray:
    return np.rint(imread(path) * 255.0).astype(int)


def images(n: int, c: int = 1, h: int = 8, w: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, c, h, w, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("n", "shape", "columns"), [(6, (1, 8, 8), 3), (5, (3, 8, 4), 2), (1, (1, 100, 90), 7)]
)
def test_each_image_stands_enlarged_by_a_whole_factor_at_its_place(
    tmp_path: Path, n: int, shape: tuple[int, int, int], columns: int
) -> None:
    c, h, w = shape
    batch = images(n, c, h, w)
    shown = pixels(save_grid(tmp_path / "grid.png", batch, columns))
    scale = max(1, -(-64 // max(h, w)))
    gap = max(2, h * scale // 16)
    for i in range(n):
        row, column = divmod(i, min(columns, n))
        top, left = row * (h * scale + gap), column * (w * scale + gap)
        tile = shown[top : top + h * scale, left : left + w * scale, :3]
        truth = (batch[i].permute(1, 2, 0).expand(h, w, 3).double() * 255).round().numpy()
        assert np.array_equal(tile, truth.repeat(scale, 0).repeat(scale, 1))


def test_small_images_become_visible_and_gaps_are_transparent(tmp_path: Path) -> None:
    shown = pixels(save_grid(tmp_path / "grid.png", torch.ones(4, 1, 8, 8)))
    assert shown.shape == (2 * 64 + 4, 2 * 64 + 4, 4)
    assert (shown[:64, :64] == 255).all()
    assert (shown[64:68, :, 3] == 0).all()


def test_values_outside_are_clipped_and_those_not_a_number_are_magenta(tmp_path: Path) -> None:
    batch = torch.tensor([-3.0, 7.0, float("nan"), 0.5]).reshape(1, 1, 2, 2)
    shown = pixels(save_grid(tmp_path / "grid.png", batch))[::32, ::32, :3].reshape(4, 3)
    assert shown.tolist() == [[0, 0, 0], [255, 255, 255], [255, 0, 200], [128, 128, 128]]


def test_other_numbers_of_channels_are_shown_by_their_mean(tmp_path: Path) -> None:
    two = images(1, 2)
    save_grid(tmp_path / "two.png", two)
    save_grid(tmp_path / "mean.png", two.mean(dim=1, keepdim=True))
    assert (tmp_path / "two.png").read_bytes() == (tmp_path / "mean.png").read_bytes()


def test_a_reconstruction_stands_below_its_original(tmp_path: Path) -> None:
    above, below = torch.zeros(5, 1, 8, 8), torch.ones(5, 1, 8, 8)
    shown = pixels(save_pairs(tmp_path / "pairs.png", above, below, columns=3))
    for band in range(2):
        top = band * (2 * 64 + 16)
        assert (shown[top : top + 64, :64, 0] == 0).all()
        assert (shown[top + 68 : top + 132, :64, 0] == 255).all()


def draw_all(folder: Path) -> list[bytes]:
    generator = torch.Generator().manual_seed(1)
    cloud = torch.randn(300, 2, generator=generator)
    history = {
        "kl.z": [(1, 900.0), (10, 3.0), (20, 2.0)],
        "adversary.d": [(1, -0.5), (10, float("nan")), (20, 0.1)],
    }
    paths = [
        save_grid(folder / "a.png", images(7)),
        save_pairs(folder / "b.png", images(3), images(3, seed=1)),
        save_points(folder / "c.png", cloud, real=cloud + 1.0),
        save_curves(folder / "d.png", history, validation={"kl.z": [(10, 4.0), (20, 3.5)]}),
    ]
    return [p.read_bytes() for p in paths]


def test_files_repeat_bit_for_bit_and_hold_no_clock_nor_program(tmp_path: Path) -> None:
    first, again = draw_all(tmp_path / "one"), draw_all(tmp_path / "two")
    assert first == again
    for data in first:
        assert b"Description" in data
        assert b"Software" not in data
        assert b"tIME" not in data


def test_points_that_are_not_finite_or_all_equal_or_far_are_still_drawn(tmp_path: Path) -> None:
    cloud = torch.zeros(50, 2)
    save_points(tmp_path / "equal.png", cloud)
    cloud[0] = float("nan")
    cloud[1] = 1e9
    save_points(
        tmp_path / "odd.png", cloud, real=torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    )
    save_points(tmp_path / "none.png", torch.full((3, 2), float("inf")))
    sizes = [pixels(tmp_path / name).shape for name in ("equal.png", "odd.png", "none.png")]
    assert sizes[0] == sizes[2]
    assert sizes[1][1] > 1.5 * sizes[0][1]


def test_a_logarithmic_axis_only_where_positive_values_span_decades() -> None:
    assert spans_decades([1.0, 1000.0])
    assert not spans_decades([1.0, 50.0])
    assert not spans_decades([-1.0, 1000.0])
    assert not spans_decades([])


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\[N, C, H, W\]"):
        save_grid(tmp_path / "x.png", torch.zeros(3, 8, 8))
    with pytest.raises(ValueError, match="one column"):
        save_grid(tmp_path / "x.png", images(2), columns=0)
    with pytest.raises(ValueError, match="differ"):
        save_pairs(tmp_path / "x.png", images(2), images(3))
    with pytest.raises(ValueError, match=r"\[N, 2\]"):
        save_points(tmp_path / "x.png", torch.zeros(4, 3))
    with pytest.raises(ValueError, match="no curve"):
        save_curves(tmp_path / "x.png", {})
    assert list(tmp_path.iterdir()) == []


def test_importing_does_not_load_matplotlib_and_drawing_does_not_load_pyplot(tmp_path: Path) -> None:
    program = (
        "import sys, torch; from pathlib import Path; import gendsl.runtime.pictures as p;"
        "assert 'matplotlib' not in sys.modules;"
        f"p.save_points(Path({str(tmp_path / 'x.png')!r}), torch.zeros(3, 2));"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
