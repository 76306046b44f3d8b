"""InceptionV3 of torchmetrics as an extractor: what published FIDs are computed by (Heusel et al. 2017)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gendsl.compiler.plans.sample import drawn
from gendsl.errors import RunError
from gendsl.nn.model import Model
from gendsl.runtime.evaluation.measured import Measured
from gendsl.runtime.metrics.score import Rows, as_rows
from gendsl.runtime.samples import to_column
from gendsl.schema.components.extractor import Inception, weights
from gendsl.schema.facts import Shape, Support

CHUNK = 64
"""Images that the network sees at once."""
PUBLISHED = weights().stem.rsplit("-", 1)[1]
"""How the sha256 of the published weights begins, as torch.hub writes into the name of their file."""


@dataclass(frozen=True)
class InceptionFeatures:
    """Rows of one image variable -> features of the network."""

    network: nn.Module
    model: Model
    variable: str
    shape: Shape
    support: Support
    width: int
    resize: str = "299 x 299, bilinear with antialiasing"

    @property
    def name(self) -> str:
        """What it is, for the record of a metric."""
        return f"InceptionV3 of torchmetrics, {self.width} features"

    def features(self, rows: Rows) -> Tensor:
        """[N, C * H * W] in the space of the bound variable -> [N, F]."""
        values = as_rows(rows, "images").to(self.model.dtype).reshape(-1, *self.shape)
        found = []
        for chunk in torch.split(values, CHUNK):
            column = to_column(self.model, self.variable, chunk.to(self.model.device)).double()
            grey = (column - self.support.low) / (self.support.high - self.support.low)
            levels = (255 * grey.clamp(0, 1)).round().to(torch.uint8)
            with torch.no_grad():
                found.append(self.network(levels.expand(-1, 3, -1, -1)).double())
        return torch.cat(found)


def build_inception(spec: Inception, about: Measured) -> InceptionFeatures:
    """The network with its published weights, which are in a file of Python's pickle format: only the file of that
    sha256 is read.

    Raises RunError where the weights are others.
    """
    from torchmetrics.image.fid import NoTrainInceptionV3  # type: ignore[import-not-found, unused-ignore]

    digest = hashlib.sha256(weights().read_bytes()).hexdigest()
    if not digest.startswith(PUBLISHED):
        raise RunError(f"{weights()} is damaged: its sha256 begins with {digest[:8]}, not {PUBLISHED}")
    network = NoTrainInceptionV3("inception-v3-compat", [str(spec.width)], str(weights()))
    (name,) = drawn(about.graph)
    variable = about.graph.variables[name]
    assert variable.shape is not None
    assert variable.raw_column is not None
    return InceptionFeatures(
        network, about.model, name, variable.shape, variable.raw_column.support, spec.width
    )
