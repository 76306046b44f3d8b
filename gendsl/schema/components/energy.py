"""Energies: factors exp(-E) that multiply a variable's density, or the flat measure."""

from typing import Annotated, Any

from pydantic import model_validator

from gendsl.schema.components.net import Net
from gendsl.schema.fields import ShapeField
from gendsl.schema.registry import Component, Slot, Strict


class Energy(Component):
    """A fixed energy with a formula of its own (`type: u1`)."""


class Negatives(Component):
    """Where the samples come from that the energy is contrasted with."""


class EnergyFactor(Strict):
    """A fixed energy by `type`, or a network's output; `negatives` says how the network is trained."""

    type: Annotated[Energy, Slot("energy")] | None = None
    net: Annotated[Net, Slot("net")] | None = None
    shape: ShapeField | None = None
    negatives: Annotated[Negatives, Slot("negatives")] | None = None

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        from gendsl.schema.sections import gather

        return gather(cls, "type", value, "energy")
