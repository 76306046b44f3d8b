"""Lossless coding: rows come back exactly, and take as many bits as the model claims for them.

What is claimed is -log2 p(x) of the rows by range coding. By bits-back coding (Townsend, Bird and Barber 2019) it is
what the draws of the latents that the file holds cost: minus the ELBO in expectation. Such a file begins with some bits
that are nobody's, so there the rows are counted that it holds beyond those of a shorter file. Both ends are whole words
of 32 bits, which the bound allows for.
"""

from __future__ import annotations

import copy
import importlib.util
import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from gendsl.compiler.graph import Factor
from gendsl.compiler.plans.compress import coded
from gendsl.nn.factor import tile
from gendsl.nn.model import Model
from gendsl.runtime.compress import Packed, compress, decompress
from gendsl.runtime.verify.certificate import Certificate, at_most
from gendsl.runtime.verify.subject import Subject, first
from gendsl.schema.facts import numel

SHARE = 0.01
"""Relative difference of the file's bits and those claimed."""
WORDS = 64
"""Bits that two ends of a file may take beyond it."""
ROWS, TURNS = 960, 2560
"""Rows of a file at most, and passes of the network for all of them where the entries of a row are coded in turn."""


@torch.no_grad()
def certificates(subject: Subject) -> Iterator[Certificate]:
    """coding of the observed variables, where the model can be asked to compress and the coder is installed."""
    graph = subject.graph
    if graph.capabilities["compress"].how is None or importlib.util.find_spec("constriction") is None:
        return
    model = copy.deepcopy(subject.model).eval()
    turns = sum(numel(graph.variables[n].shape or ()) for n in coded(graph) if _in_turn(graph.p(n)))
    rows = min(ROWS, max(4, TURNS // turns)) if turns else ROWS
    values = {n: tile(_within(subject, n), math.ceil(rows / len(subject.rows)))[:rows] for n in coded(graph)}
    with subject.draws("coding"):
        whole = compress(model, values)
        same = _same(values, decompress(model, whole))
        size, claimed = _counted(model, values, whole)
    whole_word = max(claimed, 32.0)  # rows that are certain cost nothing
    bound = SHARE + WORDS / whole_word
    found = abs(size - claimed) / whole_word if same else math.inf
    note = f"{rows} rows, {claimed:.0f} bits claimed; own parameters; {'exact' if same else 'WRONG'} after decoding"
    yield at_most(f"coding:{', '.join(coded(graph))}", found, bound, 2 * bound, note)


def _within(subject: Subject, name: str) -> Tensor:
    """The rows of a variable; samples of a distribution that reaches beyond the data's values are put at their ends."""
    support, rows = subject.graph.variables[name].support, subject.rows.values[name]
    assert support is not None
    return rows.clamp(support.low, support.high).round()


def _in_turn(factor: Factor | None) -> bool:
    return factor is not None and factor.autoregressive


def _counted(model: Model, values: Mapping[str, Tensor], whole: Packed) -> tuple[float, float]:
    """Bits of the file and bits that are claimed; of the rows after the first quarter where latents are coded."""
    if not model.graph.routes:
        score = -float(model.log_prob(dict(values)).double().sum()) / math.log(2)
        return 8.0 * whole.size, score
    part = compress(model, first(values, whole.rows // 4))
    return 8.0 * (whole.size - part.size), whole.claimed - part.claimed


def _same(values: Mapping[str, Tensor], again: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(again[n], v.to(again[n].dtype)) for n, v in values.items())
