"""Runs of models with energies: without data, with log Z by quadrature, with log Z unknown."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from gendsl.runtime import run as runs
from gendsl.runtime.evaluation import evaluate, gaps
from gendsl.runtime.trained import restored
from gendsl.schema.load import load, loads

TARGET = ("train.steps=60", "sample.n=16", "run.seed=1")
MOONS = """
gendsl: 1
data: {source: two_moons, n: 200, bind: {x: {column: point, as: [standardize]}}}
energy: {x: {net: {type: mlp, hidden: [16], activation: silu}, negatives: {type: langevin, steps: 5, buffer: 64}}}
train: {steps: 20, batch_size: 32}
sample: {n: 16}
"""


def test_a_fixed_energy_is_fitted_without_data_and_measured_against_log_z(tmp_path: Path) -> None:
    session = runs.start(load("planar_flow_2d", sets=list(TARGET)), out=tmp_path / "run")
    result = runs.finish(session)
    session.run.close()
    found = result["metrics"]["train"]
    assert set(found) == {"log_normaliser", "kl_to_target"}
    assert (found["log_normaliser"]["kind"], found["kl_to_target"]["kind"]) == ("lower", "estimate")
    truth = found["log_normaliser"]["value"] + found["kl_to_target"]["value"]
    assert truth == pytest.approx(1.8775, abs=1e-3)
    assert found["kl_to_target"]["value"] > 0.01
    assert result["warnings"] == []
    assert {p.name for p in (tmp_path / "run" / "samples").iterdir()} >= {
        "energy_z.png",
        "flow_z.png",
        "samples.npz",
    }
    assert restored(tmp_path / "run").model.sample(5)["z"].shape == (5, 2)


@torch.no_grad()
def by_grid(session: runs.Session) -> float:
    """The mean of -E over the test rows, less log Z by a sum over squares of the plane."""
    energy, part = session.model.factor("energy.x"), session.data.parts["test"]
    middles = (torch.arange(200) + 0.5) / 10 - 10
    log_z = torch.logsumexp(-energy(torch.cartesian_prod(middles, middles)), 0) + 2 * math.log(0.1)
    return float(-energy(part.batch(torch.arange(part.rows)).values["x"]).mean() - log_z)


def test_an_energy_of_the_plane_has_an_estimated_log_prob_and_a_picture(tmp_path: Path) -> None:
    session = runs.start(loads(MOONS), out=tmp_path / "run")
    result = runs.finish(session)
    session.run.close()
    found = result["metrics"]["test"]
    assert found["log_prob"]["kind"] == found["bits_per_dim"]["kind"] == "estimate"
    assert math.isfinite(found["log_prob"]["value"])
    assert found["log_prob"]["value"] == pytest.approx(by_grid(session), abs=0.01)
    assert (tmp_path / "run" / "samples" / "energy_x.png").is_file()
    again = restored(tmp_path / "run").model
    assert int(again.state_dict()["energy.x.started"]) == 1


class Bowl(torch.nn.Module):
    """4 |x|^2 / 2: a normal of standard deviation 1/2, whose energy is 1 on average in the plane."""

    def forward(self, x: torch.Tensor, values: dict[str, torch.Tensor] | None = None) -> torch.Tensor:
        return 2 * x.square().sum(1)


def test_the_energy_gap_of_a_known_energy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of unit variance in the plane have E = 4; samples of the model, by its own exact draws, have E = 1."""
    session = runs.start(loads(MOONS.replace("steps: 20", "steps: 1")), out=tmp_path / "run")
    session.run.close()
    bowl = Bowl()
    monkeypatch.setattr(gaps.tilt, "energy", lambda model, name: bowl)
    monkeypatch.setattr(session.model, "sample", lambda n, given: {"x": torch.randn(n, 2) / 2})
    metrics = evaluate(session.model, session.data, split="train", seed=0, samples=1, metrics=("energy_gap",))
    found = metrics["energy_gap"]
    assert (found["kind"], found["unit"]) == ("estimate", "nats")
    assert found["value"] == pytest.approx(3, abs=5 * found["stderr"])
    assert 0 < found["stderr"] < 0.3
