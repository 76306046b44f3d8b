"""The linear probe of a transformer's layers (Chen et al. 2020, section 3.4; section 4.1).

A label of the data that the model does not use is told by logistic regression from the activations of a layer, averaged
over the tokens. Regressions are fitted on training rows alone; the layer whose number is reported is the one that tells
most of a tenth of them that were left out, and then is fitted on all.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from gendsl.compiler.graph import Role
from gendsl.data.dataset import Part, label_of
from gendsl.nn.any_order import AnyOrder
from gendsl.nn.factor import Sequential
from gendsl.nn.networks.transformer import Attending
from gendsl.runtime.evaluation.entry import Entry, none
from gendsl.runtime.evaluation.measured import CHUNK, Measured
from gendsl.runtime.streams import stream

ROWS = 4000
"""Training rows that are read at most."""
HELD_OUT = 10
"""One in so many of them chooses the layer."""


def linear_probe(about: Measured) -> Entry:
    """How often the best layer's regression tells the label of a row of the part."""
    refused, name = _refused(about), _probed(about)
    if refused or name is None:
        return none(refused or "no transformer says an observed variable")
    seen, answers = _read(about, name, about.data.parts["train"].to(about.model.device).first(ROWS), "train")
    unseen, truth = _read(about, name, about.part, "part")
    if len(set(answers.tolist())) < 2:
        return none("the training rows have one label only")
    chooses = torch.arange(len(answers)) % HELD_OUT == HELD_OUT - 1
    choice = [_told(h[~chooses], answers[~chooses], h[chooses], answers[chooses]) for h in seen]
    layers = [_told(h, answers, g, truth) for h, g in zip(seen, unseen, strict=True)]
    best = max(range(len(layers)), key=choice.__getitem__)
    value = layers[best]
    return {
        "value": value,
        "stderr": math.sqrt(value * (1 - value) / len(truth)),
        "unit": "fraction",
        "kind": "estimate",
        "estimator": f"logistic regression on layer {best} of {name}, chosen on held-out training rows",
        "rows": len(truth),
        "trained_on": len(answers),
        "layers": [round(v, 6) for v in layers],
    }


def possible(about: Measured) -> bool:
    """Only where a spec asks for it: a regression for each layer takes a while."""
    return False


def _refused(about: Measured) -> str:
    facts, bind = about.data.facts, about.data.bind
    label = label_of(facts) if facts is not None else None
    if label is None or about.data.labels is None:
        return "the data have no single column of labels"
    used = [n for n, v in about.graph.variables.items() if v.role is not Role.METRIC and v.bound]
    if any(bind[n].column == label for n in used):
        return f"the model uses {label}"
    if any(about.graph.p(n) is not None and not set(about.graph.parents("p")[n]) <= set(used) for n in used):
        return "a transformer that reads latents has no activations of a row alone"
    return ""


def _probed(about: Measured) -> str | None:
    """The observed variable whose transformer is probed."""
    for name, variable in about.graph.variables.items():
        factor = about.graph.p(name)
        if variable.role is not Role.OBSERVED or factor is None:
            continue
        if any(isinstance(m, Attending) for m in _networks(about.model.factor(factor.name))):
            return name
    return None


def _networks(module: nn.Module) -> Iterator[nn.Module]:
    return (m for m in module.modules() if isinstance(m, Attending))


@torch.no_grad()
def _read(about: Measured, name: str, part: Part, which: str) -> tuple[list[Tensor], Tensor]:
    """The activations of every layer [N, W] of all rows of a part, and their labels [N]."""
    factor = about.graph.p(name)
    assert factor is not None
    assert about.data.labels is not None
    found: list[list[Tensor]] = []
    rows: list[Tensor] = []
    for start in range(0, part.rows, CHUNK):
        index = torch.arange(start, min(start + CHUNK, part.rows), device=about.model.device)
        with stream(about.seed, f"eval/probe/{which}", start):
            batch = part.batch(index)
        conditioned = about.model.distribution(factor.name, batch.values, len(batch))
        assert isinstance(conditioned, Sequential | AnyOrder)
        net = next(_networks(conditioned.net))
        assert isinstance(net, Attending)
        found.append([h.cpu() for h in net.layers(dict(conditioned.values), batch.values[name])])
        rows.append(batch.rows.cpu())
    layers = [torch.cat(each) for each in zip(*found, strict=True)]
    return layers, about.data.labels[torch.cat(rows)]


def _told(train: Tensor, labels: Tensor, test: Tensor, truth: Tensor) -> float:
    """The share of test rows whose label a regression fitted on the training rows tells."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, scale = train.mean(0), train.std(0).clamp(min=1e-6)
    regression = LogisticRegression(max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(((train - mean) / scale).double().numpy(), labels.numpy())
    said = regression.predict(((test - mean) / scale).double().numpy())
    return float((torch.from_numpy(said) == truth).double().mean())
