"""From what a command is given to a spec, and from the spec to its graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gendsl.compiler.graph import Graph
    from gendsl.schema.spec import Spec


def load(spec: str, sets: list[str] | None, unsets: list[str] | None, extra: Sequence[str] = ()) -> Spec:
    """The spec of a file or a shipped name, with the changes of the command line. Raises SpecError, UsageError."""
    from gendsl.schema import load as loader

    return loader.load(spec, sets=[*(sets or []), *extra], unsets=unsets or [])


def analysed(spec: Spec, device: str | None = None, *, limit: bool = False) -> Graph:
    """The graph after every pass; `limit`: refused where training needs more memory than there is. Raises SpecError."""
    from gendsl.compiler.pipeline import analyse

    wanted = device or spec.run.device
    memory = None
    if limit:
        from gendsl.compiler.machine import memory_available

        memory = memory_available()
    return analyse(spec, device="cpu" if wanted == "auto" else wanted.split(":")[0], memory=memory)
