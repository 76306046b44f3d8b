"""A request to stop that a signal handler can make before torch is even imported."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Stop:
    """`requested`: training looks at it after each step. Where `heeded` is False nobody looks, and whoever wants to
    stop has to interrupt.
    """

    requested: bool = False
    heeded: bool = True
