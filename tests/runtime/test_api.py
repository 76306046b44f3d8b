"""gendsl from Python: compile, train, resume, restore; and what a program around it does not notice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import gendsl
from gendsl import components as g
from gendsl.cli import main
from gendsl.runtime import checkpoint
from gendsl.runtime.train import Progress
from tests.runtime.runs import same

POINTS = np.random.default_rng(0).normal(size=(120, 3)).astype(np.float32) * (2.0, 1.0, 0.5) + 1.0


def spec(steps: int = 12) -> gendsl.Spec:
    """A small VAE of points that a program holds in memory, built from the components' classes."""
    return gendsl.Spec(
        prior={"z": g.Normal(shape=[2])},
        encoder={"z": g.Normal(given="x", net=g.Mlp(hidden=[8]))},
        decoder={"x": g.Normal(given="z", net=g.Mlp(hidden=[8]))},
        train={"steps": steps, "batch_size": 20, "log": 4, "checkpoint": {"every": 5}},
        evaluate={"samples": 3, "metrics": ["log_prob"]},
    )


def compiled(steps: int = 12) -> torch.nn.Module:
    return gendsl.compile(spec(steps), data={"x": POINTS})


@contextmanager
def unnoticed() -> Iterator[None]:
    """Asserts that torch's global state is left as it was."""

    def state() -> tuple[object, ...]:
        return (
            torch.get_num_threads(),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            torch.get_rng_state().tolist(),
            tuple(np.random.get_state()[1].tolist()),  # type: ignore[union-attr]
        )

    torch.manual_seed(11)
    torch.randn(3)
    before = state()
    yield
    assert state() == before


@pytest.fixture
def two_threads() -> Iterator[None]:
    """A program that uses two threads where the spec asks for one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def weights(model: torch.nn.Module) -> dict[str, Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters()}


def test_compile_train_restore(
    tmp_path: Path, two_threads: None, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reports: list[Progress] = []
    with unnoticed():
        model = compiled()
        start = weights(model)
        run = gendsl.train(model, out="a", callbacks=(reports.append,))
        back = gendsl.restore("a")
    assert run.path == Path("a")
    assert run.result == json.loads((tmp_path / "a" / "result.json").read_text())
    assert run.result["status"] == "completed"
    assert run.result["data"]["split"] == {"train": 96, "test": 24}
    assert [r.step for r in reports if r.logged] == [4, 8, 12]
    assert reports[-1].losses.keys() == {"model"}
    assert reports[-1].terms.keys() == {"reconstruction.x", "kl.z"}
    assert all(not start[n].equal(p) for n, p in weights(model).items())
    assert all(p.equal(weights(back)[n]) for n, p in weights(model).items())
    x = torch.from_numpy(POINTS).float()
    for query in (lambda m: m.log_prob(x, 4), lambda m: m.sample(5)["x"], lambda m: m.encode(x)["z"]):
        torch.manual_seed(0)
        one = query(model)
        torch.manual_seed(0)
        assert one.equal(query(back))
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_training_again_with_resume_goes_on(tmp_path: Path) -> None:
    """A program that dies in a callback and is started again ends with the bits of one that did not."""
    right = gendsl.train(compiled(), out=tmp_path / "right")

    class Died(BaseException):
        pass

    def dying(progress: Progress) -> None:
        if progress.step == 8:
            raise Died

    with pytest.raises(Died):
        gendsl.train(compiled(), out=tmp_path / "a", callbacks=(dying,), resume=True)
    assert not (tmp_path / "a" / "result.json").exists()
    again = gendsl.train(compiled(), out=tmp_path / "a", resume=True)
    same(right.path, again.path)
    assert again.result["metrics"] == right.result["metrics"]
    with pytest.raises(gendsl.UsageError, match="not empty"):
        gendsl.train(compiled(), out=tmp_path / "a")
    with pytest.raises(gendsl.UsageError, match="another spec"):
        gendsl.train(compiled(steps=13), out=tmp_path / "a", resume=True)


def test_weights_that_were_changed_before_training(tmp_path: Path) -> None:
    """They are what training starts from, also for a resume before the first regular checkpoint."""

    def changed() -> torch.nn.Module:
        model = compiled()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.5)
        return model

    class Died(BaseException):
        pass

    def dying(progress: Progress) -> None:
        raise Died

    right = gendsl.train(changed(), out=tmp_path / "right")
    with pytest.raises(Died):
        gendsl.train(changed(), out=tmp_path / "a", callbacks=(dying,))
    gendsl.train(compiled(), out=tmp_path / "a", resume=True)
    same(right.path, tmp_path / "a")


def test_a_damaged_checkpoint_is_warned_of(tmp_path: Path) -> None:
    run = gendsl.train(compiled(), out=tmp_path / "a")
    newest = checkpoint.entries(run.path / "checkpoints")[-1]
    (newest / "state.json").write_text("{")
    with pytest.warns(RuntimeWarning, match=newest.name):
        gendsl.restore(run.path)


def test_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(gendsl.SpecError) as caught:
        gendsl.compile(spec())
    assert {d.code for d in caught.value.diagnostics} == {"GD301", "GD304"}
    with pytest.raises(gendsl.UsageError):
        gendsl.restore(tmp_path)
    with pytest.raises(gendsl.UsageError):
        gendsl.restore("nosuch")
    with pytest.raises(gendsl.RunError, match=r"step 1: reconstruction\.x is .* \(variable x, player model\)"):
        gendsl.train(gendsl.compile(spec(), data={"x": POINTS * np.float32(1e30)}), out="b")
    assert json.loads((tmp_path / "b" / "result.json").read_text())["status"] == "nan"
    assert not list((tmp_path).glob("runs"))


def test_a_run_of_arrays_at_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What needs no data works; what does says why it cannot."""
    run = gendsl.train(compiled(), out=tmp_path / "a")
    assert main(["sample", str(run.path), "--n", "3"]) == 0
    assert main(["report", str(run.path)]) == 0
    for command in ("resume", "evaluate", "encode"):
        assert main([command, str(run.path)]) == 2
        assert "memory" in capsys.readouterr().err


# -- a model inside another program ------------------------------------------------------------------------------------


def test_an_ordinary_module_in_a_loop_of_ones_own() -> None:
    model = compiled()
    x = torch.from_numpy(POINTS).float()
    outer = torch.nn.Linear(3, 3)
    optimiser = torch.optim.SGD([*model.parameters(), *outer.parameters()], lr=0.01)
    torch.manual_seed(0)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        total = model.losses({"x": outer(x)})["model"].total
        total.backward()
        optimiser.step()
        losses.append(float(total.detach()))
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5])
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in outer.parameters())
    assert model.losses(x)["model"].terms.keys() == {"reconstruction.x", "kl.z"}
    copy = gendsl.compile(spec(), data={"x": POINTS})
    copy.load_state_dict(model.state_dict())
    assert all(p.equal(weights(copy)[n]) for n, p in weights(model).items())
    assert model.double().log_prob(x.double(), 2).dtype == torch.float64


def test_players_of_a_gan_by_hand() -> None:
    """Each player's loss moves what the player owns; the names are those of the spec."""
    model = gendsl.compile(gendsl.load("gan"))
    torch.manual_seed(0)
    losses = model.losses({"x": torch.rand(6, 1, 8, 8)})
    assert losses.keys() == {"adversary.d", "model"}
    owned = dict(model.parameters_of(["adversary.d"]))
    gradients = torch.autograd.grad(losses["adversary.d"].total, list(owned.values()))
    assert all(bool(gradient.abs().sum() > 0) for gradient in gradients)
    made = dict(model.parameters_of(["decoder.x"]))
    assert all(bool(x.abs().sum() > 0) for x in torch.autograd.grad(losses["model"].total, list(made.values())))
    assert owned.keys().isdisjoint(made)


def test_wrong_values_are_told() -> None:
    model = compiled()
    for wrong in ({"y": torch.zeros(2, 3)}, {"x": torch.zeros(2, 4)}, {}):
        with pytest.raises(gendsl.UsageError):
            model.losses(wrong)
