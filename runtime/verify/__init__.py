"""`gendsl verify`: numeric certificates of a compiled model.

Each certificate is a number held against a bound, with its power: the smallest relative error that would make
it fail. Which ones a model gets follows from its graph; what does not apply is absent. Nothing here changes
the model.
"""

from __future__ import annotations

from gendsl.data.dataset import Dataset, Part
from gendsl.nn.model import Model
from gendsl.runtime.verify import (
    bounds,
    causality,
    coding,
    densities,
    divergences,
    energies,
    flows,
    kernels,
    moments,
    players,
    preprocessing,
    samples,
    states,
)
from gendsl.runtime.verify.certificate import Certificate, as_json
from gendsl.runtime.verify.subject import ROWS, subject

__all__ = ["Certificate", "as_json", "verify"]

FAMILIES = (
    flows,
    densities,
    causality,
    divergences,
    bounds,
    states,
    samples,
    energies,
    moments,
    kernels,
    preprocessing,
    players,
    coding,
)


def verify(
    model: Model, data: Dataset | None, *, part: Part | None = None, rows: int = ROWS, seed: int = 0
) -> tuple[Certificate, ...]:
    """Every certificate that applies to the model, trained or not, in the order of FAMILIES.

    `data`: where a certificate speaks of rows, so many of `part` are used, which is the test part if there is one;
    without data they are the model's own samples.
    The same seed gives the same values. The work is done on float64 copies.
    """
    about = subject(model, data, seed, part, rows)
    return tuple(certificate for family in FAMILIES for certificate in family.certificates(about))
