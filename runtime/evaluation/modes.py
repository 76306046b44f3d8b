"""The modes that samples reach, of data whose modes are known."""

from __future__ import annotations

import torch

from gendsl.compiler.plans.sample import drawn
from gendsl.data.density import known_modes
from gendsl.runtime.evaluation import judged
from gendsl.runtime.evaluation.entry import Entry, none
from gendsl.runtime.evaluation.measured import Measured
from gendsl.runtime.metrics.modes import SAMPLES, mode_coverage
from gendsl.runtime.samples import to_column
from gendsl.runtime.streams import stream

MODES = ("modes", "high_quality", "reverse_kl")


def possible(about: Measured) -> bool:
    """Whether samples are judged, and are points of such data."""
    return judged.possible(about) and bool(_points(about))


def _points(about: Measured) -> list[str]:
    """The observed variables that are points of a source whose modes are known."""
    data = about.graph.spec.data
    if data is None or known_modes(data.source) is None:
        return []
    return [n for n in drawn(about.graph) if data.bind[n].column == "point"]


def covered(about: Measured) -> dict[str, Entry]:
    """The modes that samples reach, where they are known, in the column's space."""
    plan, points = about.graph.capabilities["sample"], _points(about)
    data = about.graph.spec.data
    modes = known_modes(data.source) if data is not None else None
    if plan.how is None or modes is None or not points:
        why = plan.why or "the modes of the data are not known (ring and grid have known ones)"
        return dict.fromkeys(MODES, none(why))
    with stream(about.seed, "eval/modes"):
        batch = about.part.batch(torch.randint(about.part.rows, (SAMPLES,)).to(about.model.device))
        given = {n: batch.values[n] for n in about.conditions}
        values = to_column(about.model, points[0], about.model.sample(SAMPLES, given)[points[0]])
    scores = mode_coverage(values.reshape(SAMPLES, -1), *modes)
    entries = {n: {**s.as_json(), "split": about.split, "resize": "none"} for n, s in scores.items()}
    return {**dict.fromkeys(MODES, none("no sample lies at a mode")), **entries}
