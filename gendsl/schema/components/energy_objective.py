"""Ways to train an energy without negatives: `objective: {energy: {x: score_matching}}`."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from gendsl.schema.fields import Positive
from gendsl.schema.registry import Component, component


class EnergyObjective(Component):
    """Base of the energy objectives."""


@component("energy_objective", "score_matching", build="gendsl.nn.objective.energies:spec_of")
class ScoreMatching(EnergyObjective):
    """Fits s = -grad U to the score of the data; log Z never enters.

    denoising: 1/2 E|noise s(x + noise e) + e|^2, which fits the data smoothed by that noise (Vincent 2011).
    sliced: E[v' grad (v' s)] + 1/2 E (v' s)^2, v standard normal (Song et al. 2019).
    """

    examples: ClassVar[tuple[dict[str, Any], ...]] = ({"noise": 0.3}, {"how": "sliced"})

    how: Literal["denoising", "sliced"] = "denoising"
    noise: Positive = Field(
        default=0.1, description="standard deviation of the added noise, in the units of the variable"
    )


@component("energy_objective", "noise_contrastive", build="gendsl.nn.objective.energies:spec_of")
class NoiseContrastive(EnergyObjective):
    """Tells data from samples of the factor beneath, by u = -E: -log s(u(data)) - log s(-u(noise)).

    Gutmann and Hyvarinen 2010. The factor beneath keeps its own likelihood and takes no gradient from the contrast;
    the constant in E learns log Z, so the model normalises itself.
    """
