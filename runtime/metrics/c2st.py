"""Classifier two-sample test: how well a classifier tells generated rows from real ones it has not seen.

Held-out accuracy of a small network (Lopez-Paz and Oquab 2017, arXiv:1610.06545, section 3): 0.5 means that
it found no difference, 1 that it is never wrong. As in the paper: one hidden layer of rectified units, as
many rows of both sides, half of them for training.
"""

from __future__ import annotations

import warnings

import torch

from gendsl.runtime.metrics.score import Rows, Score, matched, proportion

HIDDEN = 64
STEPS = 100


def c2st(real: Rows, fake: Rows, *, seed: int, rows: int | None = None) -> Score:
    """Held-out accuracy in 0..1 of a classifier of `fake` against `real` [N, ...]; 0.5 is best.

    Entries are centred and divided by one common scale. Dividing each by its own would make a pixel that is
    always 0 in the data and 0.001 in the samples decide everything. Runs on one thread; the standard error is
    binomial over held-out rows, with the classifier taken as given.

    Raises:
        ValueError: fewer than eight rows on a side, different widths, values that are not finite.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    left, right = matched(real, fake, seed=seed, rows=rows)
    n = len(left)
    if n < 8:
        raise ValueError(f"the classifier test needs at least eight rows on each side, got {n}")
    generator = torch.Generator().manual_seed(seed + 2)
    left, right = left[torch.randperm(n, generator=generator)], right[torch.randperm(n, generator=generator)]
    half = n // 2
    train, test = torch.cat([left[:half], right[:half]]), torch.cat([left[half:], right[half:]])
    centre = train.mean(dim=0)
    scale = float((train - centre).square().mean().sqrt()) or 1.0
    labels = torch.arange(2).repeat_interleave(half)
    answers = torch.arange(2).repeat_interleave(n - half)
    network = MLPClassifier((HIDDEN,), alpha=1e-2, max_iter=STEPS, random_state=seed % 2**32)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(((train - centre) / scale).numpy(), labels.numpy())
        guesses = torch.as_tensor(network.predict(((test - centre) / scale).numpy()))
    note = f"network with {HIDDEN} hidden units, {2 * half} rows to train, {len(answers)} held out"
    return Score(*proportion(guesses == answers), n, "accuracy", note=note)
