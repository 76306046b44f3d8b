"""A small classifier of the data's own labels, trained on training rows only, and what is measured by it.

FID is the Frechet distance of two Gaussians fitted to features (Heusel et al. 2017, eq. 6):

    |m_r - m_f|^2 + tr(C_r + C_f - 2 (C_r C_f)^(1/2))

KID is the unbiased squared MMD of the same features with the kernel (x'y / D + 1)^3 (Binkowski et al. 2018, section 4).
Both depend on the extractor and FID on the number of rows too, so both are part of the record; values of different
extractors must not be compared. The classifier's features are its last hidden layer.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gendsl.runtime.metrics.mmd import u_statistic
from gendsl.runtime.metrics.score import Rows, Score, as_rows, matched, proportion

HIDDEN = (128, 32)
STEPS = 200


class Features(Protocol):
    """What the builder of an extractor returns."""

    @property
    def name(self) -> str:
        """What it is, for the record of a metric."""
        ...

    @property
    def resize(self) -> str:
        """What it does to the size of an image, for the record; `none` if nothing."""
        ...

    def features(self, rows: Rows) -> Tensor:
        """[N, D], the drawn variables side by side in the space of the bound variables -> [N, F]."""
        ...


@dataclass(frozen=True)
class Classifier:
    """Rows [N, D] -> features [N, 32] and labels [N]."""

    weights: tuple[tuple[Tensor, Tensor], ...]
    classes: Tensor
    centre: Tensor
    scale: float
    rows: int
    accuracy: tuple[float, float]
    """On rows that it was not trained on, with its standard error."""
    resize: str = "none"

    def features(self, rows: Rows) -> Tensor:
        """The last hidden layer."""
        h = (as_rows(rows, "rows") - self.centre) / self.scale
        for weight, bias in self.weights[:-1]:
            h = torch.relu(h @ weight + bias)
        return h

    def predict(self, rows: Rows) -> Tensor:
        """The most probable label of each row."""
        weight, bias = self.weights[-1]
        numbers = self.features(rows) @ weight + bias
        found = (numbers[:, 0] > 0).long() if numbers.shape[1] == 1 else numbers.argmax(1)
        return self.classes[found]

    @property
    def name(self) -> str:
        """What it is, for the record of a metric."""
        share, error = self.accuracy
        return (
            f"classifier of the data's labels trained on {self.rows} training rows (accuracy on unseen rows "
            f"{share:.1%} +- {error:.1%})"
        )


def train_classifier(rows: Rows, labels: Tensor, unseen: Rows, answers: Tensor, *, seed: int) -> Classifier:
    """A network with two hidden layers fitted to rows [N, D] and labels [N]; on one thread, a function of the seed.

    Raises ValueError for values that are not finite.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    flat = as_rows(rows, "training rows")
    centre = flat.mean(0)
    scale = float((flat - centre).square().mean().sqrt()) or 1.0
    network = MLPClassifier(
        HIDDEN, alpha=1e-2, max_iter=STEPS, random_state=seed % 2**32, early_stopping=False
    )
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(((flat - centre) / scale).numpy(), labels.numpy())
    weights = tuple(
        (torch.as_tensor(w), torch.as_tensor(b))
        for w, b in zip(network.coefs_, network.intercepts_, strict=True)
    )
    made = Classifier(weights, torch.as_tensor(network.classes_), centre, scale, len(flat), (0.0, 0.0))
    right = proportion(made.predict(unseen) == answers)
    return Classifier(made.weights, made.classes, centre, scale, len(flat), right)


def fid(extractor: Features, real: Rows, fake: Rows) -> Score:
    """The Frechet distance of the features of two sets of rows; 0 is best.

    Raises ValueError for fewer than two rows on a side.
    """
    one, two = extractor.features(real), extractor.features(fake)
    n = min(len(one), len(two))
    first, second = torch.cov(one.T), torch.cov(two.T)
    # the eigenvalues of C_r C_f are those of a symmetric matrix, and not negative
    values, vectors = torch.linalg.eigh(first)
    root = vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp_min(0).sqrt().sum()
    distance = (one.mean(0) - two.mean(0)).square().sum() + first.trace() + second.trace() - 2 * cross
    return Score(max(float(distance), 0.0), None, n, "squared feature units", extractor.name)


def kid(extractor: Features, real: Rows, fake: Rows, *, seed: int) -> Score:
    """The unbiased squared MMD of the features of equally many rows of both sides; about 0 is best.

    Raises ValueError for fewer than four rows on a side.
    """
    one, two = matched(extractor.features(real), extractor.features(fake), seed=seed)
    if len(one) < 4:
        raise ValueError(f"KID needs at least four rows on each side, got {len(one)}")
    width = one.shape[1]
    inside, made, cross = (
        (a @ b.T / width + 1.0) ** 3 for a, b in ((one, one), (two, two), (one, two))
    )  # [n, n] each
    pairs = (inside + made - cross - cross.T).fill_diagonal_(0.0)
    value, error = u_statistic(pairs)
    note = "unbiased MMD^2, kernel (x'y / D + 1)^3"
    return Score(value, error, len(one), "squared MMD", extractor.name, note)


def label_accuracy(classifier: Classifier, fake: Rows, labels: Tensor) -> Score:
    """The share of samples that the classifier takes for what they were asked to be."""
    hits = classifier.predict(fake) == labels
    return Score(*proportion(hits), len(hits), "share of samples", classifier.name)


def own_accuracy(classifier: Classifier, rows: int) -> Score:
    """The share of the real rows that it was not trained on which the classifier gets right."""
    return Score(*classifier.accuracy, rows, "share of real rows", classifier.name)
