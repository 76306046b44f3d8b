"""What a model makes of each row: its reconstruction against the row, its label against the true one."""

from __future__ import annotations

import torch

from gendsl.compiler.plans.classify import by, labelled
from gendsl.nn.encoding import label_log_probs
from gendsl.runtime.evaluation.entry import Entry, mean, none
from gendsl.runtime.evaluation.measured import Measured
from gendsl.runtime.streams import stream


def reconstruction(about: Measured) -> Entry:
    """Mean squared error of the reconstruction, over entries; labels have none."""
    if about.graph.capabilities["reconstruct"].how is None:
        return none(about.graph.capabilities["reconstruct"].why)
    rows = []
    for i, batch in enumerate(about.batches("eval/rows")):
        with stream(about.seed, "eval/reconstruct", i):
            rebuilt = about.model.reconstruct(batch)
        names = [n for n in rebuilt if not about.graph.variables[n].labels]
        if not names:
            return none("only labels are reconstructed, and labels have no squared error")
        true = {n: batch.hidden.get(n, batch.values[n]) for n in names}
        errors = [(rebuilt[n] - true[n]).double().square().reshape(len(batch), -1).mean(1) for n in names]
        rows.append(torch.stack(errors).mean(0))
    joined = torch.cat(rows).cpu()
    return {
        **mean(joined),
        "unit": "squared error",
        "kind": "estimate",
        "estimator": "means of q and p",
        "rows": len(joined),
    }


LABELLED = ("accuracy", "log_loss")


def classified(about: Measured) -> dict[str, Entry]:
    """accuracy: how often the most probable label is the true one. log_loss: -log p(label | the rest of its row)."""
    plan = about.graph.capabilities["classify"]
    if plan.how is None:
        return dict.fromkeys(LABELLED, none(plan.why))
    hits, losses = [], []
    names = [n for n in labelled(about.graph) if by(about.graph, n)]
    for i, batch in enumerate(about.batches("eval/rows")):
        right, loss = [], []
        for name in names:
            with stream(about.seed, "eval/classify", i):
                said = label_log_probs(about.model, name, batch).double()
            support = about.graph.variables[name].support
            assert support is not None
            true = batch.hidden.get(name, batch.values[name]).long() - int(support.low)
            right.append((said.argmax(1) == true).double())
            loss.append(-said.gather(1, true[:, None])[:, 0])
        hits.append(torch.stack(right).mean(0))
        losses.append(torch.stack(loss).mean(0))
    rows = len(torch.cat(hits))
    return {
        "accuracy": {
            **mean(torch.cat(hits).cpu()),
            "unit": "fraction",
            "kind": "estimate",
            "estimator": "most probable label",
            "rows": rows,
        },
        "log_loss": {
            **mean(torch.cat(losses).cpu()),
            "unit": "nats",
            "kind": str(plan.kind),
            "estimator": plan.how,
            "rows": rows,
        },
    }
