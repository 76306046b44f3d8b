"""What training changes, and a checkpoint therefore holds: weights, optimisers, averages, the best so far, counters.

model/NAME  optim/STAGE/PLAYER/...  average/...  best/NAME  sum/NAME  count/NAME        tensors
best_loss  waited  skipped  skipped_in_a_row  stopped                                   state.json
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from gendsl.compiler.graph import Graph, Stage
from gendsl.errors import RunError
from gendsl.nn.model import Model
from gendsl.nn.objective import Loss
from gendsl.nn.objective.adversarial import diagnostics
from gendsl.runtime.checkpoint import Checkpoint
from gendsl.runtime.optimisers import Average, Optimiser


class Means:
    """Running means of the terms and of the players' losses since the last line of the log."""

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self.sums = {name: torch.zeros((), dtype=dtype, device=device) for name in names}
        self.counts = dict.fromkeys(names, 0)

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Count one more value of each; does not wait for the device."""
        for name, value in values.items():
            self.sums[name] += value
            self.counts[name] += 1

    def peek(self) -> dict[str, float]:
        """The means of what was counted so far."""
        return {
            name: float(total) / self.counts[name] for name, total in self.sums.items() if self.counts[name]
        }

    def take(self) -> dict[str, float]:
        """The means of what was counted; then everything starts at zero."""
        found = self.peek()
        for name, total in self.sums.items():
            total.zero_()
            self.counts[name] = 0
        return found


class State:
    """The changing state of a training run.

    `lengths` are the stages' numbers of steps, over which schedules are stretched.
    """

    def __init__(self, model: Model, lengths: Sequence[int]) -> None:
        self.model = model
        self.train = model.graph.spec.train
        stages = zip(model.graph.stages, lengths, strict=True)
        self.optimisers = [self._optimisers(stage, steps) for stage, steps in stages]
        named = list(model.named_parameters())
        self.average = Average(named, self.train.ema) if self.train.ema is not None and named else None
        players = {f"loss:{p.name}" for s in model.graph.stages for p in s.players}
        self.means = Means(
            [*(t.name for t in model.graph.terms), *sorted(players), *_seen(model.graph)], model.device
        )
        self.best: dict[str, Tensor] = {}
        self.best_loss = math.inf
        self.waited = self.skipped = self.skipped_in_a_row = 0
        self.stopped = ""

    def _optimisers(self, stage: Stage, steps: int) -> dict[str, Optimiser]:
        found = {}
        for player in stage.players:
            named = self.model.parameters_of(player.factors)
            if named:
                found[player.name] = Optimiser(named, self.train.optim_of(player.name), steps)
        return found

    def count(self, player: str, loss: Loss) -> None:
        """Add one turn of a player to the running means."""
        seen = {f"seen:{name}": value for name, value in loss.seen.items()}
        self.means.add({**loss.terms, f"loss:{player}": loss.total.detach(), **seen})

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside the block the model has its averaged weights, where the spec asks for them."""
        if self.average is None:
            yield
            return
        with self.average.swapped(self.model):
            yield

    # -- the best weights -------------------------------------------------------------------------------------------

    @property
    def patient(self) -> bool:
        """Whether the best weights are kept."""
        return self.train.validate_ is not None and self.train.validate_.patience is not None

    def judge(self, loss: float) -> bool:
        """Take note of a validation loss; keeps the weights if it is the best. True: patience has run out."""
        assert self.train.validate_ is not None
        if loss < self.best_loss:
            self.best_loss, self.waited = loss, 0
            with self.averaged():
                self.best = {n: t.detach().clone() for n, t in self.model.state_dict().items()}
            return False
        self.waited += 1
        return self.train.validate_.patience is not None and self.waited >= self.train.validate_.patience

    @torch.no_grad()
    def settle(self) -> None:
        """Leave the model with the weights that are used afterwards: the best ones, else the averaged ones."""
        if self.best:
            self.model.load_state_dict(self.best)
        elif self.average is not None:
            for name, parameter in self.average.named.items():
                parameter.copy_(self.average.values[name])

    @torch.no_grad()
    def next_stage(self) -> None:
        """Go on from the best weights of the stage that ended; the next one is judged afresh."""
        if self.best:
            self.model.load_state_dict(self.best)
            if self.average is not None:
                for name, parameter in self.average.named.items():
                    self.average.values[name].copy_(parameter)
        self.best, self.best_loss, self.waited = {}, math.inf, 0

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of a checkpoint: the live ones, not copies. Which they are follows from the spec alone."""
        own = self.model.state_dict()
        found = {f"model/{n}": t for n, t in own.items()}
        for i, optimisers in enumerate(self.optimisers):
            for name, optimiser in optimisers.items():
                found |= optimiser.tensors(f"optim/{i}/{name}")
        if self.average is not None:
            found |= self.average.tensors("average")
        for name, total in self.means.sums.items():
            found[f"sum/{name}"] = total
            found[f"count/{name}"] = torch.tensor(self.means.counts[name])
        if self.patient:
            found |= {f"best/{n}": self.best.get(n, t) for n, t in own.items()}
        return found

    def numbers(self) -> dict[str, Any]:
        """Everything else, as plain JSON."""
        return {
            "best_loss": self.best_loss if math.isfinite(self.best_loss) else None,
            "waited": self.waited,
            "skipped": self.skipped,
            "skipped_in_a_row": self.skipped_in_a_row,
            "stopped": self.stopped,
        }

    @torch.no_grad()
    def load(self, found: Checkpoint) -> None:
        """Take over everything that a checkpoint holds."""
        self.load_weights(found)
        for name, total in self.means.sums.items():
            total.copy_(found.tensors[f"sum/{name}"])
            self.means.counts[name] = int(found.tensors[f"count/{name}"])
        best = found.state["best_loss"]
        self.best_loss = math.inf if best is None else float(best)
        self.best = {} if best is None else {n: t.clone() for n, t in _under("best/", found)}
        self.waited, self.skipped = int(found.state["waited"]), int(found.state["skipped"])
        self.skipped_in_a_row = int(found.state["skipped_in_a_row"])
        self.stopped = str(found.state["stopped"])

    @torch.no_grad()
    def load_weights(self, found: Checkpoint) -> None:
        """Take over weights, optimisers and averages only."""
        self.model.load_state_dict(dict(_under("model/", found)))
        for i, optimisers in enumerate(self.optimisers):
            for name, optimiser in optimisers.items():
                optimiser.restore(f"optim/{i}/{name}", found.tensors)
        if self.average is not None:
            self.average.restore("average", found.tensors)

    def check(self, step: int) -> None:
        """Raises RunError where a parameter is not finite: such weights are not worth a checkpoint."""
        for name, parameter in self.model.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise RunError(f"step {step}: the parameter {name} is not finite; no checkpoint was written")


def _seen(graph: Graph) -> list[str]:
    """The diagnostics that are averaged: where there are adversaries, of each and of every player's gradient."""
    found = [f"seen:{name}" for critic in graph.critics.values() for name in diagnostics(critic)]
    found += [f"seen:{t.subject}.path" for t in graph.terms if t.family == "path_length"]
    return found + [f"seen:gradient.{p.name}" for p in graph.players if graph.critics]


def _under(prefix: str, found: Checkpoint) -> Iterator[tuple[str, Tensor]]:
    return ((n.removeprefix(prefix), t) for n, t in found.tensors.items() if n.startswith(prefix))
