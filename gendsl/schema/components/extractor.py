"""What FID and KID compare samples and data by: the features of an extractor.

A plug-in adds its own: a spec model and a builder `(spec, Measured) -> Features` (`gendsl.runtime.metrics.classifier`).
"""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

from gendsl.schema.facts import Shape
from gendsl.schema.registry import Component, component


class Extractor(Component):
    """Rows of what the model draws -> features [N, F]."""

    labels: ClassVar[bool] = False
    """Whether it learns from the data's labels."""

    def problem(self, drawn: Sequence[Shape]) -> str:
        """Why rows of variables of these shapes have no such features here; empty if they have."""
        return ""


@component("extractor", "classifier", build="gendsl.runtime.evaluation.classified:build_classifier")
class LabelClassifier(Extractor):
    """The last hidden layer of a small classifier of the data's labels, trained on the training rows only."""

    labels = True


@component("extractor", "inception", build="gendsl.runtime.evaluation.inception:build_inception")
class Inception(Extractor):
    """InceptionV3 as torchmetrics has it, where torchmetrics, torch-fidelity and its weights are present.

    Grey values are scaled to 0..255 by the range of their column, one channel is used three times, and the network
    resizes to 299 x 299. Nothing is downloaded.
    """

    width: Literal[64, 192, 768, 2048] = 2048
    """Which of its layers, by the number of features."""

    def problem(self, drawn: Sequence[Shape]) -> str:
        if len(drawn) != 1 or len(drawn[0]) != 3 or drawn[0][0] not in (1, 3):
            return "it sees one image of one or three channels [C, H, W]"
        lacking = [name for name in ("torchmetrics", "torch_fidelity") if find_spec(name) is None]
        if lacking:
            return f"{' and '.join(lacking)} cannot be imported (pip install 'gendsl[inception]')"
        return "" if weights().is_file() else f"its weights are not at {weights()}"


def weights() -> Path:
    """Where torch.hub keeps the weights that torchmetrics downloads; their name has the begin of their sha256."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    home = Path(os.environ.get("TORCH_HOME", cache / "torch")).expanduser()
    return home / "hub" / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth"
