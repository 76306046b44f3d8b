"""Metrics of a trained model on one part of the data; every number carries its kind, unit, estimator and error.

An entry is `{"value", "unit", "kind", "estimator", "samples", "rows", "stderr"}`, or `{"value": null, "unit": null,
"kind": "none", "why"}` where the model has no such number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from gendsl.compiler.derive.energies import targets, tilted
from gendsl.compiler.graph import Capability, Graph, Kind, Role, worst
from gendsl.compiler.paths import DRAWN as FROM_ENCODER
from gendsl.compiler.plans import impute as imputing
from gendsl.compiler.plans.sample import drawn
from gendsl.data.dataset import Batch, Dataset, Part, label_of
from gendsl.data.density import known_modes
from gendsl.nn.model import Model
from gendsl.nn.preprocessing import bits_per_dim
from gendsl.runtime import calibration
from gendsl.runtime.metrics import sample_quality
from gendsl.runtime.metrics.classifier import fid, label_accuracy, train_classifier
from gendsl.runtime.metrics.modes import SAMPLES, mode_coverage
from gendsl.runtime.samples import to_column
from gendsl.runtime.streams import stream
from gendsl.runtime.targets import kl_to_target, log_normaliser
from gendsl.schema.components.step import through
from gendsl.schema.facts import numel

Entry = dict[str, Any]

CHUNK = 512
"""Rows that are scored at once, at most."""

ELBO_DRAWS = 10
CALIBRATED = 512
"""Simulated rows at most."""
MODES = ("modes", "high_quality", "reverse_kl")
CLASSIFIED = ("fid", "label_accuracy")
JUDGED = ("mmd", "precision", "recall", "density", "coverage", "c2st", "sliced_wasserstein")
IMPUTED = MappingProxyType({"imputation_error": "squared error", "imputation_accuracy": "fraction"})
"""Metrics of imputation and their units."""
IMPUTATIONS, PARTICLES = 20, 100
"""Draws of each removed entry at most, and importance samples for each draw, where they are needed."""
IMPUTATION_PASSES = 256
"""Passes over a row that all draws of its removed entries take together at most, where these are drawn one for each
pass; but two draws are made."""
MIN_JUDGED = 16
"""Fewer rows than this are not judged."""


def evaluate(
    model: Model,
    data: Dataset,
    *,
    split: str,
    seed: int,
    samples: int,
    metrics: tuple[str, ...] | None = None,
) -> dict[str, Entry]:
    """The metrics named, or all that the model has, on one part.

    Deterministic given the seed; training is not touched. Raises KeyError where the data has no such part.
    """
    part = data.parts[split].to(model.device)
    evaluator = _Evaluator(model, data, part, seed, samples, split)
    wanted = metrics if metrics is not None else evaluator.default()
    model.eval()
    with torch.no_grad():
        return evaluator.entries(wanted)


class _Evaluator:
    def __init__(self, model: Model, data: Dataset, part: Part, seed: int, samples: int, split: str) -> None:
        self.split = split
        self.model, self.graph, self.data, self.part = model, model.graph, data, part
        self.seed, self.samples = seed, samples
        self._log_prob: tuple[Tensor, Tensor] | None = None

    def default(self) -> tuple[str, ...]:
        """Everything that says something of this graph, log_prob first."""
        names = ["log_prob"] if self.data.source is not None else []
        if targets(self.graph):
            names += ["log_normaliser", "kl_to_target"]
        if self._scored.how is not None:
            if any(r.how in FROM_ENCODER for r in self.graph.routes.values()):
                names.append("elbo")
            names.append("bits_per_dim")
        if self.graph.capabilities["reconstruct"].how is not None:
            names.append("reconstruction_error")
        if self.graph.capabilities["classify"].how is not None:
            names.append("accuracy")
        if not calibration.refused(self.graph):
            names.append("calibration")
        if self.graph.capabilities["impute"].how is not None and self._removed():
            names += IMPUTED
        sampled = self.graph.capabilities["sample"].how is not None
        if sampled and self.part.rows >= MIN_JUDGED and self.data.source is not None:
            names += JUDGED
            names += MODES if self._points() else ()
        return tuple(names)

    def entries(self, wanted: tuple[str, ...]) -> dict[str, Entry]:
        makers: dict[str, Callable[[], Entry]] = {
            "log_prob": self.log_prob,
            "elbo": self.elbo,
            "bits_per_dim": self.bits,
            "log_normaliser": lambda: self.target(log_normaliser),
            "kl_to_target": lambda: self.target(kl_to_target),
            "reconstruction_error": self.reconstruction,
            "accuracy": self.accuracy,
            "calibration": self.calibration,
        }
        found: dict[str, Entry] = {n: makers[n]() for n in wanted if n in makers}
        if any(n in IMPUTED for n in wanted):
            found |= {n: e for n, e in self.imputed().items() if n in wanted}
        if any(n in JUDGED for n in wanted):
            judged = self.judged()
            found |= {n: judged.get(n, judged.get("*", {})) for n in wanted if n in JUDGED}
        if any(n in CLASSIFIED for n in wanted):
            told = self.classified()
            found |= {n: told.get(n, told.get("*", {})) for n in wanted if n in CLASSIFIED}
        if any(n in MODES for n in wanted):
            covered = self.covered()
            found |= {n: covered.get(n, covered.get("*", {})) for n in wanted if n in MODES}
        return {n: found[n] for n in wanted if n in found}

    @property
    def _scored(self) -> Capability:
        return self.graph.capabilities["log_prob"]

    def _batches(self, stream_name: str) -> Iterator[Batch]:
        chunk = min(CHUNK, self.model.rows_at_once)
        for i, start in enumerate(range(0, self.part.rows, chunk)):
            index = torch.arange(start, min(start + chunk, self.part.rows), device=self.model.device)
            with stream(self.seed, stream_name, i):
                yield self.part.batch(index)

    # -- densities --------------------------------------------------------------------------------------------------

    def _values(self) -> tuple[Tensor, Tensor]:
        """log p of each row in the variables' space, and the log-Jacobian of the preprocessing."""
        if self._log_prob is None:
            values, log_dets = [], []
            for i, batch in enumerate(self._batches("eval/rows")):
                with stream(self.seed, "eval/log_prob", i):
                    values.append(self.model.log_prob(batch, self.samples).double())
                names = [n for n in batch.log_det if n in self._densities]
                log_dets.append(
                    sum((batch.log_det[n].double() for n in names), torch.zeros(len(batch)).double())
                )
            self._log_prob = torch.cat(values).cpu(), torch.cat(log_dets).cpu()
        return self._log_prob

    def log_prob(self) -> Entry:
        plan = self._scored
        if plan.how is None:
            return none(plan.why)
        values, _ = self._values()
        found = mean(values)
        return {
            **found,
            "unit": "nats",
            "kind": str(plan.kind),
            "estimator": plan.how,
            "samples": self.samples if plan.kind is not Kind.EXACT else None,
            "rows": len(values),
            "of": self.graph.objective_of,
            **_why(found, plan.why),
        }

    def target(self, measure: Callable[[Model, str, int], Entry]) -> Entry:
        """A number about the first fixed energy."""
        names = targets(self.graph)
        return measure(self.model, names[0], self.seed) if names else none("there is no fixed energy")

    def elbo(self) -> Entry:
        if self._scored.how is None:
            return none(self._scored.why)
        if self._scored.kind is Kind.EXACT:
            return self.log_prob()
        values = []
        for i, batch in enumerate(self._batches("eval/rows")):
            with stream(self.seed, "eval/elbo", i):
                values.append(self.model.elbo(batch, ELBO_DRAWS).double())
        joined = torch.cat(values).cpu()
        return {
            **mean(joined),
            "unit": "nats",
            "kind": str(worst((Kind.LOWER, self._scored.kind or Kind.LOWER))),
            "estimator": "elbo",
            "samples": ELBO_DRAWS,
            "rows": len(joined),
            "of": self.graph.objective_of,
        }

    def bits(self) -> Entry:
        plan = self._scored
        if plan.how is None:
            return none(plan.why)
        why, is_bound = self._bits_refused()
        if why:
            return none(why)
        values, log_det = self._values()
        dims = sum(self._dims(name) for name in self._densities)
        bits = bits_per_dim(values, log_det, dims)
        kinds = {Kind.LOWER: Kind.UPPER, Kind.EXACT: Kind.UPPER if is_bound else Kind.EXACT}
        kind = kinds.get(plan.kind or Kind.EXACT, Kind.ESTIMATE)
        found = mean(bits)
        return {
            **found,
            "unit": "bits",
            "kind": str(kind),
            "estimator": plan.how,
            "samples": self.samples if plan.kind is not Kind.EXACT else None,
            "rows": len(bits),
            **_why(found, "uniform dequantization bounds the discrete probability" if is_bound else ""),
        }

    @property
    def _densities(self) -> tuple[str, ...]:
        """The variables that log_prob is the density of."""
        return (*self.graph.scored, *tilted(self.graph))

    def _dims(self, name: str) -> int:
        column = self.graph.variables[name].raw_column
        assert column is not None
        return numel(column.shape)

    def _bits_refused(self) -> tuple[str, bool]:
        """Why bits per dimension are not defined, and whether dequantization makes them a bound."""
        assert self.graph.source is not None
        assert self.graph.spec.data is not None
        is_bound = False
        for name in self._densities:
            variable, binding = self.graph.variables[name], self.graph.spec.data.bind[name]
            facts = through(self.graph.source.columns[binding.column], binding.as_)
            is_bound = is_bound or facts.bound
            if variable.missing:
                return f"{name} has missing entries: rows differ in how many entries are scored", False
            if not _recoverable(facts.lossy, variable.support is not None and variable.support.count == 2):
                return f"the preprocessing of {name} loses information ({facts.variant})", False
            factor = self.graph.p(name)
            continuous = variable.support is not None and not variable.support.integer
            if factor is not None:
                continuous = factor.base is not None or (
                    factor.offers.enumerate is False and not _discrete(factor.dist)
                )
            if continuous and facts.column.levels is not None and not facts.bound:
                return (
                    f"p({name}) is a density, and {name} takes {facts.column.levels} values: dequantize it first",
                    False,
                )
        return "", is_bound

    # -- other metrics ----------------------------------------------------------------------------------------------

    def reconstruction(self) -> Entry:
        """Mean squared error of the reconstruction, over entries; labels have none."""
        if self.graph.capabilities["reconstruct"].how is None:
            return none(self.graph.capabilities["reconstruct"].why)
        rows = []
        for i, batch in enumerate(self._batches("eval/rows")):
            with stream(self.seed, "eval/reconstruct", i):
                rebuilt = self.model.reconstruct(batch)
            names = [n for n in rebuilt if not self.graph.variables[n].labels]
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

    def accuracy(self) -> Entry:
        """How often the most probable label is the true one."""
        if self.graph.capabilities["classify"].how is None:
            return none(self.graph.capabilities["classify"].why)
        hits = []
        for i, batch in enumerate(self._batches("eval/rows")):
            with stream(self.seed, "eval/classify", i):
                said = self.model.classify(batch)
            true = {n: batch.hidden.get(n, batch.values[n]) for n in said}
            hits.append(torch.stack([(said[n] == true[n]).double() for n in said]).mean(0))
        joined = torch.cat(hits).cpu()
        return {
            **mean(joined),
            "unit": "fraction",
            "kind": "estimate",
            "estimator": "most probable label",
            "rows": len(joined),
        }

    def calibration(self) -> Entry:
        """How widely the encoders spread around latents that the model drew itself; 1 is right."""
        why = calibration.refused(self.graph)
        if why:
            return none(why)
        conditions = [n for n, v in self.graph.variables.items() if v.role is Role.CONDITION]
        found, chunk = [], max(1, self.model.rows_at_once // calibration.DRAWS)
        index = torch.arange(min(self.part.rows, CALIBRATED), device=self.model.device)
        for i, rows in enumerate(torch.split(index, chunk)):
            with stream(self.seed, "eval/calibration", i):
                batch = self.part.batch(rows)
                given = {n: batch.values[n] for n in conditions}
                found.append(calibration.ranks(self.model, len(rows), given).double())
        u = torch.cat(found).cpu()
        value, error = calibration.spread(u)
        return {
            "value": value if math.isfinite(value) else None,
            "stderr": error if math.isfinite(error) else None,
            "unit": "1 is calibrated",
            "kind": "estimate",
            "estimator": f"ranks among {calibration.DRAWS} draws, simulated rows",
            "rows": len(u),
            "note": "above 1 the posterior is too narrow, below 1 too wide",
        }

    def _removed(self) -> list[str]:
        """Variables whose missing entries are known to the metrics, and can be filled in."""
        variables = [self.graph.variables[n] for n in imputing.filled(self.graph)]
        return [v.name for v in variables if v.missing and v.missing is not True]

    def imputed(self) -> dict[str, Entry]:
        """How near the missing entries are that were removed: squared error of the mean of some draws, and how often
        the most frequent of them is the truth. At most IMPUTATIONS draws, fewer where a draw takes many passes.
        """
        plan, names = self.graph.capabilities["impute"], self._removed()
        if plan.how is None or not names:
            refusal = none(plan.why if plan.how is None else "no entries were removed: missing: {rate: ...}")
            return dict.fromkeys(IMPUTED, refusal)
        passes = imputing.passes(self.graph, PARTICLES)
        count = IMPUTATIONS if passes == 1 else min(IMPUTATIONS, max(2, IMPUTATION_PASSES // passes))
        scores: dict[str, list[Tensor]] = {n: [] for n in IMPUTED}
        for i, batch in enumerate(self._batches("eval/rows")):
            with stream(self.seed, "eval/impute", i):
                draws = self.model.impute(batch, n=count, particles=PARTICLES)
            for metric, values in imputation_scores(self.graph, batch, draws, names).items():
                scores[metric].append(values)
        about = {"kind": "estimate", "estimator": f"{count} draws, {plan.how}"}
        found = {}
        for metric, unit in IMPUTED.items():
            joined = torch.cat(scores[metric]).cpu() if scores[metric] else torch.zeros(0)
            found[metric] = (
                {**mean(joined), "unit": unit, **about, "rows": len(joined)}
                if len(joined)
                else none("no row has a removed entry that it is defined for")
            )
        return found

    def judged(self) -> dict[str, Entry]:
        """Samples against real rows, each beside the same metric between two halves of the real rows."""
        plan = self.graph.capabilities["sample"]
        if plan.how is None:
            return {"*": none(plan.why)}
        real: dict[str, list[Tensor]] = {}
        fake: dict[str, list[Tensor]] = {}
        conditions = [n for n, v in self.graph.variables.items() if v.role is Role.CONDITION]
        variables = [self.graph.variables[n] for n in drawn(self.graph)]
        judged = [v.name for v in variables if not v.labels and v.missing is not True]
        if not judged:
            return {"*": none("labels, and variables whose missing entries are not known, are not judged")}
        for i, batch in enumerate(self._batches("eval/rows")):
            with stream(self.seed, "eval/sample", i):
                values = self.model.sample(len(batch), {n: batch.values[n] for n in conditions})
            for name in judged:
                true = batch.hidden.get(name, batch.values[name])
                real.setdefault(name, []).append(true.double().reshape(len(batch), -1))
                fake.setdefault(name, []).append(values[name].double().reshape(len(batch), -1))
        one = torch.cat([torch.cat(real[n]) for n in judged], 1)
        two = torch.cat([torch.cat(fake[n]) for n in judged], 1)
        if not bool(torch.isfinite(two).all()):
            return {"*": none("samples are not finite")}
        entries = sample_quality(one, two, seed=self.seed)
        return {name: {**entry, "split": self.split, "resize": "none"} for name, entry in entries.items()}

    def classified(self) -> dict[str, Entry]:
        """What a classifier of the data's labels, trained on the training rows, says of the samples."""
        plan = self.graph.capabilities["sample"]
        if plan.how is None:
            return {"*": none(plan.why)}
        seen, labels = self._labelled(self.data.parts["train"].to(self.model.device))
        unseen, answers = self._labelled(self.part)
        if labels is None or answers is None:
            return {"*": none("the data have no single column of labels")}
        classifier = train_classifier(seen, labels, unseen, answers, seed=self.seed)
        given = {n: v for n, v in self.graph.variables.items() if v.role is Role.CONDITION}
        fake, asked = [], []
        for i, batch in enumerate(self._batches("eval/rows")):
            with stream(self.seed, "eval/classified", i):
                values = self.model.sample(len(batch), {n: batch.values[n] for n in given})
            fake.append(self._flat(values))
            assert self.data.labels is not None
            asked.append(self.data.labels[batch.rows.cpu()])
        samples = torch.cat(fake)
        if not bool(torch.isfinite(samples).all()):
            return {"*": none("samples are not finite")}
        order = torch.randperm(len(seen), generator=torch.Generator().manual_seed(self.seed))
        floor = fid(classifier, unseen, seen[order[: len(unseen)]])
        scores = {"fid": fid(classifier, unseen, samples).as_json(floor)}
        assert self.data.facts is not None
        named = [n for n in given if self.data.bind[n].column == label_of(self.data.facts)]
        if named:
            scores["label_accuracy"] = label_accuracy(classifier, samples, torch.cat(asked)).as_json()
        missing = none("samples are not given their label")
        entries = {n: {**entry, "split": self.split, "resize": "none"} for n, entry in scores.items()}
        return {"label_accuracy": missing, **entries}

    def _labelled(self, part: Part) -> tuple[Tensor, Tensor | None]:
        """The judged entries of all rows of a part, [N, D], and their labels."""
        rows, labels = [], []
        for start in range(0, part.rows, CHUNK):
            index = torch.arange(start, min(start + CHUNK, part.rows), device=self.model.device)
            with stream(self.seed, "eval/labelled", start):
                batch = part.batch(index)
            rows.append(self._flat({**batch.values, **batch.hidden}))
            labels.append(batch.rows.cpu())
        known = self.data.labels
        return torch.cat(rows), None if known is None else known[torch.cat(labels)]

    def _flat(self, values: Mapping[str, Tensor]) -> Tensor:
        """The drawn variables that are no labels, side by side, [N, D]."""
        names = [n for n in drawn(self.graph) if not self.graph.variables[n].labels]
        return torch.cat([values[n].double().flatten(1).cpu() for n in names], 1)

    def _points(self) -> list[str]:
        """The observed variables that are points of a source whose modes are known."""
        data = self.graph.spec.data
        if data is None or known_modes(data.source) is None:
            return []
        return [n for n in drawn(self.graph) if data.bind[n].column == "point"]

    def covered(self) -> dict[str, Entry]:
        """The modes that samples reach, where they are known, in the column's space."""
        plan, points = self.graph.capabilities["sample"], self._points()
        data = self.graph.spec.data
        modes = known_modes(data.source) if data is not None else None
        if plan.how is None or modes is None or not points:
            return {
                "*": none(plan.why or "the modes of the data are not known (ring and grid have known ones)")
            }
        with stream(self.seed, "eval/modes"):
            batch = self.part.batch(torch.randint(self.part.rows, (SAMPLES,)).to(self.model.device))
            given = {n: batch.values[n] for n, v in self.graph.variables.items() if v.role is Role.CONDITION}
            values = to_column(self.model, points[0], self.model.sample(SAMPLES, given)[points[0]])
        scores = mode_coverage(values.reshape(SAMPLES, -1), *modes)
        entries = {n: {**s.as_json(), "split": self.split, "resize": "none"} for n, s in scores.items()}
        return {"*": none("no sample lies at a mode"), **entries}


def imputation_scores(
    graph: Graph, batch: Batch, draws: Mapping[str, Tensor], names: list[str]
) -> dict[str, Tensor]:
    """Scores of draws [n, B, *shape] against what was removed, means over each row's removed entries [R].

    Squared errors are of what is no label, hits of what has finitely many values.
    """
    sums = {metric: torch.zeros(len(batch), dtype=torch.float64) for metric in IMPUTED}
    counts = {metric: torch.zeros(len(batch), dtype=torch.float64) for metric in IMPUTED}
    for name in names:
        gone = ~batch.known[name].reshape(len(batch), -1).cpu()
        true = batch.hidden[name].reshape(len(batch), -1).cpu()
        drawn_ = draws[name].reshape(len(draws[name]), len(batch), -1).cpu()
        variable = graph.variables[name]
        scored = {}
        if not variable.labels:
            scored["imputation_error"] = (drawn_.double().mean(0) - true.double()).square()
        if variable.support is not None and variable.support.count is not None:
            scored["imputation_accuracy"] = (drawn_.mode(0).values == true).double()
        for metric, value in scored.items():
            sums[metric] += (value * gone).sum(1)
            counts[metric] += gone.sum(1)
    return {m: sums[m][counts[m] > 0] / counts[m][counts[m] > 0] for m in IMPUTED}


def none(why: str) -> Entry:
    """The entry of a number that does not exist."""
    return {"value": None, "unit": None, "kind": "none", "why": why}


def mean(values: Tensor) -> Entry:
    """The mean over rows with its standard error; no value, and why, where some rows have none."""
    value = float(values.mean())
    if not math.isfinite(value):
        bad = int((~values.isfinite()).sum())
        return {
            "value": None,
            "stderr": None,
            "why": f"{bad} of {values.numel()} rows have a value that is not finite",
        }
    error = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else None
    return {"value": value, "stderr": error if error is None or math.isfinite(error) else None}


def _why(found: Entry, why: str) -> Entry:
    """The reason for a number's kind, unless there is no number."""
    return {"why": why} if why and found["value"] is not None else {}


def _recoverable(lossy: bool, binary: bool) -> bool:
    """A binarized column is a data set of its own, named in result.json's variant; other losses leave no column."""
    return not lossy or binary


def _discrete(dist: Any) -> bool:
    return dist is not None and dist.support(None).integer
