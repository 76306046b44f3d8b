"""The one training loop: for each stage, for each step, for each player, minimise that player's terms.

Everything random at a step is drawn from a stream keyed by the seed and the step, and the data order is a function of
the seed and the number of the draw; so a run that was stopped anywhere and resumed from its newest checkpoint has the
same bits as one that never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gendsl.compiler.graph import Player, Stage
from gendsl.data.dataset import Dataset, Part
from gendsl.errors import RunError
from gendsl.nn.model import Model
from gendsl.nn.objective import Loss, weight_at
from gendsl.runtime import checkpoint
from gendsl.runtime.optimisers import Average, Optimiser
from gendsl.runtime.rundir import RunDirectory
from gendsl.runtime.streams import Order, stream
from gendsl.schema.components.optim import OptimSpec

DEFAULT_STEPS = 2000


class Interrupted(Exception):
    """Training was asked to stop; a checkpoint has been written."""


@dataclass(frozen=True)
class Progress:
    """What a callback is told after every logged step."""

    step: int
    total: int
    losses: dict[str, float]
    terms: dict[str, float]
    rows_per_second: float
    seconds_left: float


Callback = Callable[[Progress], None]


@dataclass
class _Running:
    """One stage's players with their optimisers and the steps they cover."""

    stage: Stage
    first: int
    steps: int
    draws_before: int
    optimisers: dict[str, Optimiser]

    @property
    def draws_per_step(self) -> int:
        return sum(p.steps for p in self.stage.players)


class Trainer:
    """Trains a model on a data set, with or without a run directory."""

    def __init__(
        self,
        model: Model,
        data: Dataset,
        run: RunDirectory | None = None,
        *,
        callbacks: tuple[Callback, ...] = (),
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.model, self.run, self.callbacks, self.warn = model, run, callbacks, warn
        self.graph, self.spec = model.graph, model.graph.spec
        self.train = self.spec.train
        self.seed = self.spec.run.seed
        self.part: Part = data.parts["train"].to(model.device)
        self.valid: Part | None = data.parts["valid"].to(model.device) if "valid" in data.parts else None
        self.order = Order(self.part.rows, self.train.batch_size, self.seed)
        self.stages = self._stages()
        self.total = sum(s.steps for s in self.stages)
        named = [(n, p) for n, p in model.named_parameters()]
        self.average = Average(named, self.train.ema) if self.train.ema is not None and named else None
        self.window = {t.name: torch.zeros((), dtype=torch.float64) for t in self.graph.terms}
        self.counts = {t.name: torch.zeros((), dtype=torch.float64) for t in self.graph.terms}
        self.best: dict[str, Tensor] = {}
        self.best_loss, self.waited, self.skipped = math.inf, 0, 0
        self.step = 0
        self.stop_requested = False
        self.stopped = ""

    # -- set-up -----------------------------------------------------------------------------------------------------

    def _stages(self) -> list[_Running]:
        found: list[_Running] = []
        first, draws = 0, 0
        for stage in self.graph.stages:
            steps = stage.steps or self._length(stage)
            optimisers = {}
            for player in stage.players:
                named = self.model.parameters_of(player.factors)
                if named:
                    optimisers[player.name] = Optimiser(named, self._optim(player.name), steps)
            found.append(_Running(stage, first, steps, draws, optimisers))
            first += steps
            draws += steps * found[-1].draws_per_step
        return found

    def _length(self, stage: Stage) -> int:
        if self.train.epochs is not None:
            return self.order.draws(self.train.epochs)
        return self.train.steps or DEFAULT_STEPS

    def _optim(self, player: str) -> OptimSpec:
        options = self.train.players
        chosen = options.model if player == "model" else options.adversary.get(player.removeprefix("adversary."))
        return chosen.optim if chosen is not None and chosen.optim is not None else self.train.optim

    # -- the loop ---------------------------------------------------------------------------------------------------

    def fit(self) -> None:
        """Train to the end, from where the newest checkpoint stands if the run directory has one.

        Raises RunError at a value that is not finite (with the term, the variable and the step), Interrupted when
        `stop_requested` was set; a checkpoint has been written then.
        """
        started, at = time.monotonic(), self.step
        logged = started
        while self.step < self.total and not self.stopped:
            if self.stop_requested:
                self.save()
                raise Interrupted(f"stopped at step {self.step} of {self.total}")
            try:
                self._one_step()
            except RunError:
                if self.train.on_nan == "stop":
                    raise
                self._recover()
            if self.step % self.train.log == 0 or self.step == self.total:
                now = time.monotonic()
                self._log(now - logged, (now - started) / max(1, self.step - at))
                logged = now
            if self.valid is not None and self.train.validate_ is not None:
                if self.step % self.train.validate_.every == 0:
                    self._validate()
            if self.run is not None and (self.step % self.train.checkpoint.every == 0 or self.step == self.total):
                self.save()
        if self.stopped and self.run is not None:
            self.save()

    def _one_step(self) -> None:
        """Every player's steps at step number `self.step`; advances it."""
        running = self._running(self.step)
        draw = running.draws_before + (self.step - running.first) * running.draws_per_step
        self.model.train()
        for player in running.stage.players:
            for _ in range(player.steps):
                self._turn(running, player, draw)
                draw += 1
        if self.average is not None:
            self.average.update()
        self.step += 1

    def _turn(self, running: _Running, player: Player, draw: int) -> None:
        """One player's step on its own minibatch."""
        with stream(self.seed, "noise", draw):
            batch = self.part.batch(self.order.indices(draw).to(self.model.device))
            with self._autocast():
                loss = self.model.loss(player.name, batch, self.step, player.terms)
        self._check(player, loss)
        for name, value in loss.terms.items():
            self.window[name] += value
            self.counts[name] += 1
        optimiser = running.optimisers.get(player.name)
        if optimiser is None or not loss.total.requires_grad:
            return
        gradients = torch.autograd.grad(loss.total, optimiser.parameters, allow_unused=True)
        norm = optimiser.step(self.step - running.first, gradients, skip_bad=True)
        if not bool(torch.isfinite(norm)):
            raise RunError(f"step {self.step + 1}: the gradient of {player.name} is not finite ({', '.join(player.terms)})")
        self.model.constrain(player.name)

    def _autocast(self) -> Any:
        if self.spec.run.precision == "float32":
            return nullcontext()
        return torch.autocast(self.model.device.type, torch.bfloat16)

    def _running(self, step: int) -> _Running:
        return next(s for s in reversed(self.stages) if step >= s.first)

    def _check(self, player: Player, loss: Loss) -> None:
        if bool(torch.isfinite(loss.total)):
            return
        for name, value in loss.terms.items():
            if not bool(torch.isfinite(value)):
                variable = name.split(".", 1)[1]
                raise RunError(f"step {self.step + 1}: {name} is {value.item()} (variable {variable}, player {player.name})")
        raise RunError(f"step {self.step + 1}: the loss of {player.name} is {loss.total.item()}")

    def _recover(self) -> None:
        """on_nan: skip leaves this step out; rollback also takes the parameters of the newest checkpoint."""
        self.skipped += 1
        self.warn(f"step {self.step + 1} was not finite and is left out ({self.train.on_nan})")
        at = self.step
        if self.train.on_nan == "rollback" and self.run is not None:
            self.restore()
        self.step = at + 1

    # -- records ----------------------------------------------------------------------------------------------------

    def _log(self, seconds: float, seconds_per_step: float) -> None:
        terms = {n: float(v / self.counts[n]) for n, v in self.window.items() if float(self.counts[n]) > 0}
        losses = self._totals(terms)
        running = self._running(self.step - 1)
        rates = {
            f"lr.{n}": o.learning_rate(self.step - 1 - running.first) for n, o in running.optimisers.items()
        }
        if self.run is not None:
            diagnostics: dict[str, float] = dict(rates)
            if self.skipped:
                diagnostics["skipped_steps"] = self.skipped
            self.run.append_metrics(
                {"step": self.step, "split": "train", "terms": terms, "losses": losses, "diagnostics": diagnostics}
            )
            self.run.append_timings({"step": self.step, "seconds": round(seconds, 4)})
        rows = self.order.batch_size / seconds_per_step if seconds_per_step > 0 else 0.0
        report = Progress(self.step, self.total, losses, terms, rows, seconds_per_step * (self.total - self.step))
        for callback in self.callbacks:
            callback(report)
        for counter in (*self.window.values(), *self.counts.values()):
            counter.zero_()

    def _totals(self, terms: dict[str, float]) -> dict[str, float]:
        """Each player's weighted sum of the terms' means."""
        totals: dict[str, float] = {}
        for term in self.graph.terms:
            if term.name in terms:
                totals[term.player] = totals.get(term.player, 0.0) + weight_at(term, self.step) * terms[term.name]
        return totals

    @torch.no_grad()
    def _validate(self) -> None:
        """The model's objective on the validation rows; counts how long it has not been better."""
        assert self.valid is not None
        assert self.train.validate_ is not None
        terms: dict[str, float] = {}
        total, chunk = 0.0, self.order.batch_size
        model = next(p for p in self._running(self.step - 1).stage.players if p.name == "model")
        with self.averaged():
            self.model.eval()
            for i, start in enumerate(range(0, self.valid.rows, chunk)):
                index = torch.arange(start, min(start + chunk, self.valid.rows), device=self.model.device)
                with stream(self.seed, "eval", i):
                    batch = self.valid.batch(index)
                    loss = self.model.loss("model", batch, self.step, model.terms, training=False)
                share = len(batch) / self.valid.rows
                total += share * float(loss.total)
                for name, value in loss.terms.items():
                    terms[name] = terms.get(name, 0.0) + share * float(value)
        if self.run is not None:
            self.run.append_metrics({"step": self.step, "split": "valid", "terms": terms, "losses": {"model": total}})
        if self.train.validate_.patience is None:
            return
        if total < self.best_loss:
            self.best_loss, self.waited = total, 0
            with self.averaged():
                self.best = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        else:
            self.waited += 1
            if self.waited >= self.train.validate_.patience:
                self.stopped = "patience"

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The model with averaged weights, where the spec asks for them."""
        with self.average.swapped(self.model) if self.average is not None else nullcontext():
            yield

    def finish(self) -> None:
        """Leave the model with the weights that evaluation and sampling use: the best, or the averaged ones."""
        with torch.no_grad():
            named = dict(self.model.named_parameters())
            if self.best:
                for name, value in self.best.items():
                    named[name].copy_(value)
            elif self.average is not None:
                with self.average.swapped(self.model):
                    averaged = {n: p.detach().clone() for n, p in named.items()}
                for name, value in averaged.items():
                    named[name].copy_(value)
        self.model.eval()

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a checkpoint holds."""
        found = {f"model/{n}": t for n, t in self.model.state_dict().items()}
        for i, running in enumerate(self.stages):
            for name, optimiser in running.optimisers.items():
                found |= optimiser.tensors(f"optim/{i}/{name}")
        if self.average is not None:
            found |= self.average.tensors("average")
        found |= {f"window/{n}": t for n, t in self.window.items()}
        found |= {f"count/{n}": t for n, t in self.counts.items()}
        if self.train.validate_ is not None and self.train.validate_.patience is not None:
            named = dict(self.model.named_parameters())
            found |= {f"best/{n}": self.best.get(n, p.detach()) for n, p in named.items()}
        return found

    def save(self) -> None:
        """Write a checkpoint at the present step; older ones are pruned."""
        if self.run is None:
            return
        self.run.flush()
        state: dict[str, Any] = {
            "best_loss": self.best_loss if math.isfinite(self.best_loss) else None,
            "waited": self.waited,
            "skipped": self.skipped,
            "stopped": self.stopped,
        }
        checkpoint.save(self.run.checkpoints, self.step, self.tensors(), state)
        checkpoint.prune(self.run.checkpoints, self.train.checkpoint.keep)

    def restore(self) -> bool:
        """Go back to the newest good checkpoint of the run directory; False where there is none."""
        if self.run is None:
            return False
        mine = self.tensors()
        found = checkpoint.newest(self.run.checkpoints, checkpoint.signature(mine), self.warn)
        if found is None:
            self.run.cut_back(0)
            return False
        self.load(found)
        checkpoint.discard_after(self.run.checkpoints, found.step)
        self.run.cut_back(found.step)
        return True

    def load(self, found: checkpoint.Checkpoint) -> None:
        """Take over everything that a checkpoint holds."""
        with torch.no_grad():
            self.model.load_state_dict(
                {n.removeprefix("model/"): t for n, t in found.tensors.items() if n.startswith("model/")}
            )
            for i, running in enumerate(self.stages):
                for name, optimiser in running.optimisers.items():
                    optimiser.restore(f"optim/{i}/{name}", found.tensors)
            if self.average is not None:
                self.average.restore("average", found.tensors)
            for name, counter in self.window.items():
                counter.copy_(found.tensors[f"window/{name}"])
                self.counts[name].copy_(found.tensors[f"count/{name}"])
        best = found.state["best_loss"]
        self.best_loss = math.inf if best is None else float(best)
        self.waited, self.skipped = int(found.state["waited"]), int(found.state["skipped"])
        self.stopped = str(found.state["stopped"])
        if best is not None:
            self.best = {n.removeprefix("best/"): t.clone() for n, t in found.tensors.items() if n.startswith("best/")}
        self.step = found.step
