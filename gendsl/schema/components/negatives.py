"""Negatives: the chains whose samples an energy is contrasted with, and how it is sampled afterwards.

A chain moves by Langevin steps on U = E - log of the density beneath,

    x <- x - (eps/2) grad U(x) + sqrt(eps T) noise,

reflected at the ends of the variable's support; by block Gibbs steps where the energy is a restricted Boltzmann
machine. Both leave exp(-U/T) as it is, up to the error of the discretisation.
"""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from gendsl.schema.fields import Count, NonNegative, Positive
from gendsl.schema.registry import Component, component

Chains = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Negatives(Component):
    """Where the samples come from that the energy is contrasted with."""

    at_data: ClassVar[bool] = False
    """Chains without a buffer start at the data."""

    steps: Count = Field(default=40, description="steps of each chain in each training step")
    step_size: Positive = Field(default=0.01, description="eps, the variance of the noise of one step")
    temperature: Positive = Field(default=1.0, description="T of the noise, 1 for true Langevin")
    buffer: Chains = Field(default=0, description="chains that go on between training steps; 0 for none")
    fresh: Share = Field(default=0.05, description="share of the buffer's chains that start anew")
    magnitude: NonNegative = Field(
        default=0.0, description="weight of the mean squares of E at data and chains"
    )


@component("negatives", "langevin", build="gendsl.nn.langevin:spec_of")
class Langevin(Negatives):
    """Langevin chains from the density beneath (or noise); `buffer` keeps so many chains between steps.

    Of the chains taken from the buffer a share `fresh` starts anew (Du and Mordatch 2019). Without a buffer every
    chain is short and starts anew (Nijkamp et al. 2019). `temperature` 1 is true Langevin; another T samples
    exp(-U/T). `magnitude` keeps E near 0 (Du and Mordatch 2019, section 3.3).
    """

    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"steps": 5, "step_size": 0.05, "buffer": 100})


@component("negatives", "contrastive_divergence", build="gendsl.nn.langevin:spec_of")
class ContrastiveDivergence(Negatives):
    """A few steps from the data (Hinton 2002); with a `buffer` the chains go on instead (Tieleman 2008)."""

    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"steps": 5}, {"buffer": 64})
    at_data: ClassVar[bool] = True

    steps: Count = Field(default=1, description="steps of each chain in each training step")
    step_size: Positive = Field(default=0.01, description="eps of a Langevin step; Gibbs steps have none")
    temperature: Positive = Field(
        default=1.0, description="T of a Langevin step's noise, 1 for true Langevin"
    )
    fresh: Share = Field(default=0.0, description="share of the buffer's chains that start anew")
