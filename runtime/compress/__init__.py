"""Lossless compression by a trained model: range coding of discrete rows, or bits-back coding through normal latents.

Both directions evaluate the networks on the same numbers in tensors of the same shapes, so that their probabilities
agree to the last bit. A file holds a fingerprint of the parameters; it is read by the same model on the same kind of
machine.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gendsl.compiler.plans.compress import coded
from gendsl.errors import UsageError
from gendsl.nn.model import Model
from gendsl.runtime.compress.bits_back import bits_back, bits_forth
from gendsl.runtime.compress.exact import decoded, encoded
from gendsl.runtime.compress.packed import Packed, read, write
from gendsl.runtime.compress.rows import rows_of
from gendsl.runtime.compress.tables import empty

__all__ = ["Packed", "compress", "decompress", "read", "refuse", "rows_of", "write"]


@torch.no_grad()
def compress(model: Model, values: Mapping[str, Tensor]) -> Packed:
    """Rows of every observed variable, in the variables' own space. Raises UsageError where the model cannot."""
    refuse(model)
    names = coded(model.graph)
    absent = [n for n in names if n not in values]
    if absent:
        raise UsageError(f"compress needs {', '.join(absent)}, which was not given")
    checked = {n: _checked(model, n, values[n]) for n in names}
    rows = len(checked[names[0]])
    return (bits_back if model.graph.routes else encoded)(model, checked, rows)


@torch.no_grad()
def decompress(model: Model, packed: Packed) -> dict[str, Tensor]:
    """The rows again, exactly. Raises UsageError where the model cannot."""
    refuse(model)
    return (bits_forth if model.graph.routes else decoded)(model, packed)


def refuse(model: Model) -> None:
    """Raises UsageError where the model cannot be asked to compress."""
    plan = model.graph.capabilities["compress"]
    if plan.how is None:
        raise UsageError(f"this model cannot be asked to compress: {plan.why}")


def _checked(model: Model, name: str, value: Tensor) -> Tensor:
    variable = model.graph.variables[name]
    assert variable.support is not None
    if tuple(value.shape[1:]) != variable.shape:
        raise UsageError(f"{name} is {list(variable.shape or ())} for each row, not {list(value.shape[1:])}")
    whole = value.double()
    inside = (whole == whole.round()) & (whole >= variable.support.low) & (whole <= variable.support.high)
    if not bool(inside.all()):
        raise UsageError(f"{name} has values outside {variable.support}")
    return value.to(empty(model, name, 0).dtype).to(model.device)
