"""Types of fields that many spec models share."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints


@dataclass(frozen=True)
class Words:
    """Metadata of a string with a pattern: the words by which messages say what it may be."""

    text: str


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=64)]
"""A variable, network or adversary: a letter or underscore, then letters, digits, underscores."""

Count = Annotated[int, Field(ge=1)]
"""A number of things: 1 or more."""

Size = Annotated[int, Field(ge=1, le=2**31 - 1)]

ShapeField = Annotated[tuple[Size, ...], Field(strict=False, max_length=6)]
"""Sizes of one row, without the batch: [D], [C, H, W]."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


def _one_or_many(value: Any) -> Any:
    """A word or a list of words."""
    return [value] if isinstance(value, str) else value


Names = Annotated[tuple[Name, ...], BeforeValidator(_one_or_many), Field(strict=False)]
"""One name or a list of them (`given: x`, `given: [x, y]`)."""
