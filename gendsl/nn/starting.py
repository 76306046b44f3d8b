"""Modules that the first batch of their training sets: actnorm (Kingma and Dhariwal 2018), codewords.

Which batch that is depends on the stages: what a later stage fits may be evaluated long before, at values that say
nothing of those it will be trained at. So a start happens in training mode, once, and only while the module is open.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn


class Starting:
    """A module with the persistent buffer `started`, so that a checkpoint knows that the start is over.

    `open` is no part of the state: it follows from the stage.
    """

    started: Tensor
    training: bool
    open: bool = True

    @property
    def starts_now(self) -> bool:
        """Whether the values at hand are the ones to start from."""
        return self.training and self.open and not bool(self.started)


def starting(module: nn.Module) -> bool:
    """Whether a part of the module waits for the values that it starts from."""
    return any(isinstance(part, Starting) and part.starts_now for part in module.modules())


def open_starts(whole: nn.Module, fitted: Iterable[nn.Module]) -> None:
    """From now on only what lies in the `fitted` parts of the whole may start."""
    ready = {id(m) for part in fitted for m in part.modules()}
    for module in whole.modules():
        if isinstance(module, Starting):
            module.open = id(module) in ready
