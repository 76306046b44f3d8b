"""The one training loop: for each stage, for each step, for each player, minimise that player's terms.

Everything random at a step is drawn from a stream keyed by the seed and the step, and the data order is a function of
the seed and the number of the draw; so a run that was stopped anywhere and resumed from its newest checkpoint has the
same bits as one that never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from gendsl.compiler.graph import Player, Stage
from gendsl.data.dataset import Dataset, Part
from gendsl.errors import RunError
from gendsl.nn.model import Model
from gendsl.nn.objective import Loss
from gendsl.runtime import checkpoint
from gendsl.runtime.activity import ROWS, activity, quantised, watched
from gendsl.runtime.rundir import RunDirectory
from gendsl.runtime.state import State
from gendsl.runtime.stop import Stop
from gendsl.runtime.streams import Order, stream
from gendsl.schema.settings import DEFAULT_STEPS

GIVE_UP = 100
"""Steps left out in a row after which on_nan: skip and rollback stop too."""
WARNINGS = 5
"""Left-out steps that are warned of; the rest are counted."""
TICK = 1.0
"""Seconds between two reports to callbacks while no line is logged."""


class NotFinite(RunError):
    """A loss or a gradient is NaN or infinite."""


class Interrupted(Exception):
    """Training or evaluation was asked to stop; the newest checkpoint can be resumed."""


@dataclass(frozen=True)
class Progress:
    """What a callback is told at every logged step, and about once a second in between.

    `losses` by player and `terms` by name are means since the last line of the log; `logged` says that this is one.
    """

    step: int
    total: int
    losses: dict[str, float]
    terms: dict[str, float]
    rows_per_second: float
    seconds_left: float
    logged: bool = True


Callback = Callable[[Progress], None]


@dataclass(frozen=True)
class _Stretch:
    """A stage with its place among all steps and all draws of minibatches."""

    index: int
    stage: Stage
    first: int
    steps: int
    draws_before: int

    @property
    def end(self) -> int:
        return self.first + self.steps

    @property
    def draws_per_step(self) -> int:
        return sum(p.steps for p in self.stage.players)

    def draw(self, step: int) -> int:
        """The number of the first minibatch of a step."""
        return self.draws_before + (step - self.first) * self.draws_per_step


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
        stop: Stop | None = None,
    ) -> None:
        self.model, self.run, self.callbacks, self.warn = model, run, callbacks, warn
        self.stop = stop if stop is not None else Stop()
        self.graph, self.train = model.graph, model.graph.spec.train
        self.seed = model.graph.spec.run.seed
        self.half = model.graph.spec.run.precision == "bfloat16"
        self.part: Part = data.parts["train"].to(model.device)
        self.valid: Part | None = data.parts["valid"].to(model.device) if "valid" in data.parts else None
        self.order = Order(self.part.rows, self.train.batch_size, self.seed)
        self.stretches = self._stretches()
        self.total = self.stretches[-1].end
        self.state = State(model, [s.steps for s in self.stretches])
        self.step = 0
        self._begun = -1
        """The index of the stage that the model is set to."""

    def _stretches(self) -> list[_Stretch]:
        found: list[_Stretch] = []
        first = draws = 0
        for i, stage in enumerate(self.graph.stages):
            found.append(_Stretch(i, stage, first, stage.steps or self._length(), draws))
            first = found[-1].end
            draws = found[-1].draw(first)
        return found

    def _length(self) -> int:
        if self.train.epochs is not None:
            return self.order.draws(self.train.epochs)
        return self.train.steps or DEFAULT_STEPS

    @property
    def done(self) -> bool:
        """Whether nothing is left to train."""
        return self.step >= self.total or bool(self.state.stopped)

    # -- the loop ---------------------------------------------------------------------------------------------------

    def fit(self) -> None:
        """Train to the end, from where the newest checkpoint stands if the run directory has one.

        Raises NotFinite at a value that is not finite (with the term, the variable and the step), Interrupted when a
        stop was requested; a checkpoint has been written then.
        """
        started, at = time.monotonic(), self.step
        logged = ticked = started
        if self.step == 0 and self.train.on_nan == "rollback":
            self.save()
        while not self.done:
            if self.stop.requested:
                self.save(keep_all=True)
                raise Interrupted(f"stopped at step {self.step} of {self.total}")
            try:
                self._one_step()
            except NotFinite as error:
                if self.train.on_nan == "stop":
                    raise
                self._recover(error)
            now = time.monotonic()
            pace = (now - started) / (self.step - at)
            if self.step % self.train.log == 0 or self.step == self.total:
                self._log(now - logged, pace)
                logged = ticked = now
            elif now - ticked > TICK:
                self._tell(self.state.means.peek(), pace, logged=False)
                ticked = now
            self._judge()
            if self.run is not None and (
                self.step % self.train.checkpoint.every == 0 or self.step == self.total
            ):
                self.save()
        if self.state.stopped:
            self.save()

    def _one_step(self) -> None:
        """Every player's steps at step number `self.step`; advances it."""
        stretch = self._stretch(self.step)
        draw = stretch.draw(self.step)
        if not self.model.training:
            self.model.train()
        if self._begun != stretch.index:
            self.model.begin(name for player in stretch.stage.players for name in player.factors)
            self._begun = stretch.index
        for player in stretch.stage.players:
            for _ in range(player.steps):
                self._turn(stretch, player, draw)
                draw += 1
        if self.state.average is not None:
            self.state.average.update()
        self.state.skipped_in_a_row = 0
        self.step += 1

    def _turn(self, stretch: _Stretch, player: Player, draw: int) -> None:
        """One player's step on its own minibatch."""
        with stream(self.seed, "noise", draw):
            batch = self.part.batch(self.order.indices(draw).to(self.model.device))
            with self._autocast():
                loss = self.model.loss(player.name, batch, self.step, player.terms)
        self._check(player, loss)
        optimiser = self.state.optimisers[stretch.index].get(player.name)
        if optimiser is None or not loss.total.requires_grad:
            self.state.count(player.name, loss)
            return
        gradients = torch.autograd.grad(loss.total, optimiser.parameters, allow_unused=True)
        self.state.count(player.name, loss)
        norm = optimiser.step(self.step - stretch.first, gradients, skip_bad=True)
        if not math.isfinite(norm.item()):
            names = [
                n for n, g in zip(optimiser.named, gradients, strict=True) if g is not None and not _finite(g)
            ]
            raise NotFinite(
                f"step {self.step + 1}: the gradient of {', '.join(player.terms)} is not finite "
                f"(player {player.name}, parameter {names[0] if names else 'norm over all'})"
            )
        if self.graph.critics:
            self.state.means.add({f"seen:gradient.{player.name}": norm.detach()})
        self.model.constrain(player.name, loss, len(batch))

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self.model.device.type, torch.bfloat16) if self.half else nullcontext()

    def _stretch(self, step: int) -> _Stretch:
        return next(s for s in reversed(self.stretches) if step >= s.first)

    def _check(self, player: Player, loss: Loss) -> None:
        if _finite(loss.total):
            return
        for name, value in loss.terms.items():
            if not _finite(value):
                subject = name.split(".", 1)[1]
                what = "variable" if subject in self.graph.variables else "adversary"
                raise NotFinite(
                    f"step {self.step + 1}: {name} is {value.item()} ({what} {subject}, player {player.name})"
                )
        raise NotFinite(f"step {self.step + 1}: the loss of {player.name} is {loss.total.item()}")

    def _recover(self, error: NotFinite) -> None:
        """on_nan: skip leaves this step out; rollback also goes back to the weights of the last regular checkpoint.

        Regular are those at multiples of checkpoint.every: where a run was stopped must not matter.
        """
        state, step = self.state, self.step + 1
        state.skipped += 1
        state.skipped_in_a_row += 1
        if state.skipped_in_a_row >= GIVE_UP:
            raise NotFinite(f"{error}; {GIVE_UP} steps in a row were not finite") from error
        if state.skipped <= WARNINGS:
            last = "; further ones are only counted" if state.skipped == WARNINGS else ""
            self.warn(f"{error}; the step is left out (on_nan: {self.train.on_nan}){last}")
        if self.train.on_nan == "rollback" and self.run is not None:
            expected = checkpoint.signature(state.tensors())
            found = checkpoint.newest(
                self.run.checkpoints, expected, self.warn, every=self.train.checkpoint.every
            )
            if found is not None:
                state.load_weights(found)
        self.step = step

    # -- records ----------------------------------------------------------------------------------------------------

    def _log(self, seconds: float, pace: float) -> None:
        stretch = self._stretch(self.step - 1)
        means = self.state.means.take()
        losses, terms, seen = split(means)
        diagnostics: dict[str, float] = {
            f"lr.{name}": optimiser.learning_rate(self.step - 1 - stretch.first)
            for name, optimiser in self.state.optimisers[stretch.index].items()
        }
        diagnostics |= seen
        if self.state.skipped:
            diagnostics["skipped_steps"] = self.state.skipped
        if self.run is not None:
            diagnostics |= self._activity()
            self.run.append_metrics(
                {
                    "step": self.step,
                    "split": "train",
                    "terms": terms,
                    "losses": losses,
                    "diagnostics": diagnostics,
                    **({"warming": True} if self._warming else {}),
                }
            )
            self.run.append_timings({"step": self.step, "seconds": round(seconds, 4)})
        self._tell(means, pace, logged=True)

    def _activity(self) -> dict[str, float]:
        """Active units over some rows of the training part, spread evenly."""
        if not (watched(self.graph) or quantised(self.graph)):
            return {}
        rows = min(ROWS, self.part.rows)
        index = torch.linspace(0, self.part.rows - 1, rows, device=self.model.device).long()
        with stream(self.seed, "eval/activity", self.step):
            self.model.eval()
            found = activity(self.model, self.part.batch(index))
            self.model.train()
        return found

    def _tell(self, means: dict[str, float], pace: float, *, logged: bool) -> None:
        losses, terms, _ = split(means)
        rows = self.order.batch_size / pace if pace > 0 else 0.0
        report = Progress(self.step, self.total, losses, terms, rows, pace * (self.total - self.step), logged)
        for callback in self.callbacks:
            callback(report)

    # -- validation -------------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        """Validate where it is time; end the stage where patience has run out or its steps are done."""
        stretch = self._stretch(self.step - 1)
        validate, out_of_patience = self.train.validate_, False
        if self.valid is not None and validate is not None and self.step % validate.every == 0:
            loss = self._validate(stretch)
            if loss is not None and validate.patience is not None and not self._warming:
                out_of_patience = self.state.judge(loss)
        last = stretch is self.stretches[-1]
        if out_of_patience and last:
            self.state.stopped = "patience"
        elif (out_of_patience or self.step == stretch.end) and not last:
            self.step = stretch.end
            self.state.next_stage()

    @property
    def _warming(self) -> bool:
        """Whether the weight of a term still grows: losses are then of other weights than later ones."""
        return any(self.step < term.warmup for term in self.model.graph.terms)

    @torch.no_grad()
    def _validate(self, stretch: _Stretch) -> float | None:
        """The model's loss on the validation rows; None in a stage that fits adversaries alone."""
        assert self.valid is not None
        player = next((p for p in stretch.stage.players if p.name == "model"), None)
        if player is None:
            return None
        terms: dict[str, float] = {}
        total, chunk = 0.0, self.order.batch_size
        with self.state.averaged():
            self.model.eval()
            for i, start in enumerate(range(0, self.valid.rows, chunk)):
                index = torch.arange(start, min(start + chunk, self.valid.rows), device=self.model.device)
                with stream(self.seed, "eval", i), self._autocast():
                    batch = self.valid.batch(index)
                    loss = self.model.loss("model", batch, self.step, player.terms, training=False)
                share = len(batch) / self.valid.rows
                total += share * float(loss.total)
                for name, value in loss.terms.items():
                    terms[name] = terms.get(name, 0.0) + share * float(value)
        if self.run is not None:
            self.run.append_metrics(
                {
                    "step": self.step,
                    "split": "valid",
                    "terms": terms,
                    "losses": {"model": total},
                    **({"warming": True} if self._warming else {}),
                }
            )
        return total

    def finish(self) -> None:
        """Leave the model with the weights that evaluation and sampling use: the best, or the averaged ones."""
        self.state.settle()
        self.model.eval()

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def save(self, *, keep_all: bool = False) -> None:
        """Write a checkpoint at the present step; older ones are pruned unless `keep_all`."""
        if self.run is None:
            return
        self.state.check(self.step)
        self.run.flush()
        checkpoint.save(self.run.checkpoints, self.step, self.state.tensors(), self.state.numbers())
        if not keep_all:
            checkpoint.prune(
                self.run.checkpoints, self.train.checkpoint.keep, every=self.train.checkpoint.every
            )

    def restore(self) -> bool:
        """Go back to the newest good checkpoint of the run directory; False where there is none."""
        if self.run is None:
            return False
        expected = checkpoint.signature(self.state.tensors())
        found = checkpoint.newest(self.run.checkpoints, expected, self.warn)
        if found is None:
            self.run.cut_back(0)
            return False
        self.state.load(found)
        self.step = found.step
        checkpoint.discard_after(self.run.checkpoints, found.step)
        self.run.cut_back(found.step)
        return True


def split(means: dict[str, float]) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Means by name as (losses by player, terms by name, diagnostics by name)."""
    losses = {n.removeprefix("loss:"): v for n, v in means.items() if n.startswith("loss:")}
    seen = {n.removeprefix("seen:"): v for n, v in means.items() if n.startswith("seen:")}
    return losses, {n: v for n, v in means.items() if ":" not in n}, seen


def _finite(value: Tensor) -> bool:
    return bool(torch.isfinite(value).all())
