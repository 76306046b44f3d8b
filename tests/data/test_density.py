"""Exact densities of the generated clouds: they integrate to one and agree with the samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gendsl.data.density import log_density
from gendsl.data.loaded import load
from gendsl.errors import UsageError
from gendsl.schema.components.source_base import Source, SourceFacts
from gendsl.schema.components.source_generated import Checkerboard, Generated, Grid, Ring
from gendsl.schema.registry import table

CLOUDS = [Ring(n=4000, noise=0.2), Ring(n=4000, modes=3, radius=1.0, noise=0.5), Grid(n=4000, noise=0.3)]
CLOUDS_AND_BOARDS = [*CLOUDS, Checkerboard(n=4000), Checkerboard(n=4000, cells=2)]


def lattice(reach: float, steps: int) -> tuple[torch.Tensor, float]:
    """The midpoints of steps x steps cells of [-reach, reach]^2, float64, and the area of a cell."""
    axis = (torch.arange(steps, dtype=torch.float64) + 0.5) * (2 * reach / steps) - reach
    return torch.cartesian_prod(axis, axis), (2 * reach / steps) ** 2


@pytest.mark.parametrize("source", CLOUDS_AND_BOARDS, ids=str)
def test_density_integrates_to_one(source: Source) -> None:
    points, area = lattice(7.0, 280)
    assert float(log_density(source, points).exp().sum() * area) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("source", CLOUDS_AND_BOARDS, ids=str)
def test_samples_follow_the_density(source: Source, tmp_path: Path) -> None:
    """Frequencies on a coarse lattice against the integral of the density over its cells (chi-square)."""
    fine, area = lattice(7.0, 280)
    mass = (log_density(source, fine).exp() * area).reshape(14, 20, 14, 20).sum((1, 3))
    point = load(source, tmp_path).columns["point"]
    assert torch.isfinite(log_density(source, torch.from_numpy(point))).all()
    edges = np.linspace(-7.0, 7.0, 15)
    counts = torch.from_numpy(np.histogram2d(point[:, 0], point[:, 1], bins=(edges, edges))[0])
    expected = mass * len(point)
    big = expected > 5
    statistic = float(((counts - expected).square() / expected)[big].sum())
    degrees = int(big.sum())
    assert statistic < degrees + 4 * (2 * degrees) ** 0.5
    assert (
        float(counts[~big].sum())
        <= float(expected[~big].sum()) + 4 * max(1.0, float(expected[~big].sum())) ** 0.5
    )


def test_facts_say_which_clouds_have_a_density(tmp_path: Path) -> None:
    for model in table("source").values():
        if not issubclass(model, Generated):
            continue
        source = model.model_validate({"n": 10})
        assert isinstance(source, Source)
        facts: SourceFacts = source.facts(tmp_path)
        if facts.exact_density:
            assert log_density(source, torch.zeros(3, 2)).shape == (3,)
        else:
            with pytest.raises(UsageError, match="no density in closed form"):
                log_density(source, torch.zeros(3, 2))


def test_a_board_has_no_density_off_its_squares() -> None:
    off = torch.tensor([[-5.0, 0.0], [1.0, 3.0], [0.5, 4.5]])
    assert torch.isneginf(log_density(Checkerboard(), off)).all()
