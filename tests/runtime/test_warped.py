"""Pictures of flows of the plane: which there are, and that the density that is drawn is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gendsl.compiler.build import build
from gendsl.compiler.pipeline import analyse
from gendsl.runtime.planes import CHAINS, MOVES, chain_paths
from gendsl.runtime.verify.subject import perturb
from gendsl.runtime.warped import _density, save_warped, warped
from gendsl.schema.load import load, loads

GIVEN = """
gendsl: 1
data: {source: two_moons, bind: {x: point, y: label}}
condition: [y]
prior: {z: {dist: normal}}
flow: {x: {given: [z, y], stack: [coupling]}}
"""


@pytest.mark.parametrize(
    ("name", "heads"),
    [("maf", ["x"]), ("planar_flow_2d", ["z"]), ("realnvp", []), ("energy_score_matching", [])],
)
def test_flows_of_the_plane_are_drawn(name: str, heads: list[str]) -> None:
    assert [f.head for f in warped(analyse(load(name)))] == heads


def test_a_flow_that_is_given_something_has_no_single_grid() -> None:
    assert warped(analyse(loads(GIVEN))) == []


def test_the_density_has_mass_one_and_the_picture_is_written(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build(analyse(load("neural_spline_flow"))).eval()
    perturb(model, 0.2)
    (factor,) = warped(model.graph)
    low, high = np.array([-8.0, -8.0]), np.array([8.0, 8.0])
    density = _density(model, factor, low, high)
    assert density is not None
    cell = (16.0 / (density.shape[0] - 1)) ** 2
    assert float(density.sum()) * cell == pytest.approx(1.0, abs=0.02)
    assert [p.name for p in save_warped(tmp_path, model, 0)] == ["flow_x.png"]
    assert (tmp_path / "flow_x.png").stat().st_size > 10_000


def test_chains_are_drawn_where_samples_come_from_chains() -> None:
    torch.manual_seed(0)
    model = build(analyse(load("energy_score_matching"))).eval()
    paths = chain_paths(model, "x")
    assert paths.shape == (CHAINS, MOVES + 1, 2)
    assert float(paths.diff(dim=1).abs().min(1).values.max()) > 0
    assert len(chain_paths(build(analyse(load("planar_flow_2d"))), "z")) == 0
