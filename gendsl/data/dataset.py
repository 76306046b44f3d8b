"""From a source and its bindings to parts (train, valid, test) whose batches hold the values of variables.

Everything random here is a function of the run's seed: the split, which labels are kept, which entries go
missing, and draws made once and for all (static binarization). Tensors are resident and indexed; the order
in which rows are visited is the training loop's.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gendsl.data.batch import Batch, Part, Resident
from gendsl.data.loaded import Array, Loaded, check, load
from gendsl.data.memory import describe, gather
from gendsl.errors import DataError, UsageError
from gendsl.nn.preprocessing import Pipeline, row_uniform
from gendsl.schema.components.source import Memory
from gendsl.schema.components.source_base import Column, Source, SourceFacts, keeps_parts, split_counts
from gendsl.schema.components.step import Step, through

__all__ = ["Batch", "Binding", "Dataset", "Part", "prepare"]

CHUNK = 4096


@dataclass(frozen=True)
class Binding:
    """A variable is this column, after these steps."""

    column: str
    steps: tuple[Step, ...] = ()


def without_data(rows: int, seed: int) -> Dataset:
    """The data of a model that observes nothing: batches of `rows` rows without values."""
    return Dataset(None, None, {}, {"train": Part("train", torch.arange(rows), {}, seed)}, {})


@dataclass(frozen=True)
class Dataset:
    """The parts, and the fitted pipeline of every bound variable (to be kept with the model)."""

    source: Source | None
    facts: SourceFacts | None
    bind: Mapping[str, Binding]
    parts: Mapping[str, Part]
    pipelines: Mapping[str, Pipeline]
    labels: Tensor | None = None
    """The source's column of labels, a number for each row of the source, bound or not; for metrics only."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """The sha256 of every bound column's values, where they are not generated."""

    def part(self, name: str) -> Part:
        """The part of that name. Raises UsageError if there is none."""
        if name not in self.parts:
            raise UsageError(f"the data has no part {name!r}; it has {', '.join(self.parts)}")
        return self.parts[name]

    def describe(self) -> dict[str, Any]:
        """The `data` entry of result.json: source, variant of the preprocessing, rows of each part."""
        if self.source is None or self.facts is None:
            return {"source": None, "variant": "", "split": {}}
        variants = [through(self.facts.columns[b.column], b.steps).variant for b in self.bind.values()]
        return {
            "source": self.source.tag,
            "variant": ", ".join(variant for variant in variants if variant),
            "split": {name: part.rows for name, part in self.parts.items()},
        }


def prepare(
    source: Source,
    bind: Mapping[str, Binding],
    split: Mapping[str, float],
    *,
    seed: int,
    base: Path,
    partial: Mapping[str, int] | None = None,
    missing: Mapping[str, float | bool] | None = None,
    arrays: Mapping[str, Any] | None = None,
    valid: bool = False,
    pipelines: Mapping[str, Pipeline] | None = None,
) -> Dataset:
    """Load a source and assemble its parts.

    `split`, `valid`: see `split_counts`. `partial`: how many labels of training rows a variable keeps, as
    many of each class as can be; all others are hidden, also those of valid and test rows. `missing`: the
    rate at which a variable's entries are removed, or True to take the data's own NaN. `arrays`: the
    columns of a memory source, which are described where it does not declare them. `pipelines`: fitted ones
    of an earlier run, used as they are.

    Raises DataError for data that are not as announced, that hold NaN nobody asked for, or that have too
    few labels; SourceProblem where the source or the split is at fault; UsageError for a wrong call.
    """
    partial, missing = partial or {}, missing or {}
    both = partial.keys() & missing.keys()
    if both:
        raise UsageError(f"{min(both)!r} cannot be both partly observed and missing entries")
    if isinstance(source, Memory) and not source.columns and arrays:
        source = describe(arrays)
    facts, loaded = _load(source, base, arrays)
    indices = split_rows(facts, loaded, split, valid, seed)
    train = indices["train"]
    variables: dict[str, dict[str, Resident]] = {name: {} for name in indices}
    fitted: dict[str, Pipeline] = {}
    for variable, binding in bind.items():
        x = _values(source, loaded, variable, binding, missing)
        column = facts.columns[binding.column]
        known: Tensor | None = None
        if variable in partial:
            own = stream(seed, f"partial:{variable}")
            known = keep_labels(x, column, train, partial[variable], own)
        elif variable in missing:
            known = keep_entries(x, missing[variable], stream(seed, f"missing:{variable}"))
        if pipelines is None:
            fitted[variable] = _fitted(binding.steps, column, x, train, known, seed=seed)
        else:
            fitted[variable] = pipelines[variable]
        truth = missing.get(variable) is not True
        for name, rows in indices.items():
            mask = None if known is None else known[rows]
            variables[name][variable] = _resident(
                fitted[variable], x[rows], rows, seed, known=mask, truth=truth
            )
    parts = {name: Part(name, rows, variables[name], seed) for name, rows in indices.items()}
    told = label_of(facts)
    labels = as_tensor(loaded.columns[told]).long() if told is not None else None
    kept = source.reads_files or isinstance(source, Memory)
    columns = sorted({b.column for b in bind.values()}) if kept else []
    return Dataset(
        source, facts, dict(bind), parts, fitted, labels, {c: digest(loaded.columns[c]) for c in columns}
    )


def digest(array: Array) -> str:
    """The sha256 of an array's type, shape and values."""
    whole = np.ascontiguousarray(array)
    found = hashlib.sha256(f"{whole.dtype.str} {whole.shape} ".encode())
    found.update(whole.view(np.uint8).data if whole.size else b"")
    return found.hexdigest()


def label_of(facts: SourceFacts) -> str | None:
    """The source's only column of labels, one for each row; None where there is none or more than one."""
    found = [name for name, column in facts.columns.items() if column.labels and column.shape == ()]
    return found[0] if len(found) == 1 else None


def split_rows(
    facts: SourceFacts, loaded: Loaded, split: Mapping[str, float], valid: bool, seed: int
) -> dict[str, Tensor]:
    """The rows of every part as ascending places in the source (int64), as many as `split_counts` says.

    The source's own parts keep their rows; what is cut is cut from a permutation drawn from the seed.
    Whether a validation part is taken out of train does not change test.
    """
    counts = split_counts(facts, split, valid)
    draw = np.random.default_rng(stream(seed, "split"))
    rows: dict[str, Array] = {}
    if loaded.parts is not None and keeps_parts(facts, split):
        rows = {name: np.arange(cut.start, cut.stop) for name, cut in loaded.parts.items()}
        if "valid" in counts and "valid" not in rows:
            shuffled = draw.permutation(rows["train"])
            rows["train"], rows["valid"] = np.split(shuffled, [counts["train"]])
    else:
        shuffled, start = draw.permutation(facts.rows), 0
        for name, count in counts.items():
            rows[name] = shuffled[start : start + count]
            start += count
    return {name: torch.from_numpy(np.sort(rows[name]).astype(np.int64)) for name in counts}


def keep_labels(x: Tensor, column: Column, train: Tensor, count: int, seed: int) -> Tensor:
    """Which rows of the source keep their label (bool [N]): `count` training rows, drawn from the seed.

    Classes take turns, so that each has as many as every other while it has rows left; values that are no
    labels count as one class. Raises DataError where train has fewer rows.
    """
    if count > len(train):
        raise DataError(f"{count} labels are to be kept, and train has {len(train)} rows")
    shuffled = np.random.default_rng(seed).permutation(train.numpy())
    single = not (column.labels and x.dim() == 1)
    classes = np.zeros(len(shuffled), np.int64) if single else x.numpy()[shuffled].astype(np.int64)
    turn = np.zeros(len(shuffled), np.int64)
    for value in np.unique(classes):
        of = classes == value
        turn[of] = np.arange(of.sum())
    known = torch.zeros(len(x), dtype=torch.bool)
    known[torch.from_numpy(shuffled[np.argsort(turn, kind="stable")[:count]])] = True
    return known


def keep_entries(x: Tensor, rate: float | bool, seed: int) -> Tensor:
    """Which entries of the source are known (bool [N, *shape]): each by chance 1 - rate; True: not NaN."""
    if rate is True:
        return ~x.isnan()
    rows = torch.arange(len(x))
    return torch.cat([row_uniform(part, seed, x.shape[1:]) >= rate for part in torch.split(rows, CHUNK)])


def stream(seed: int, name: str) -> int:
    """A seed of its own for each use of the run's seed."""
    return (seed << 32) + zlib.crc32(name.encode())


def as_tensor(array: Array) -> Tensor:
    """The array in a type that torch works with: reals in its default type, unsigned integers widened."""
    if array.dtype.kind == "f":
        return torch.from_numpy(np.array(array)).to(torch.get_default_dtype())
    wider = {"uint16": np.int32, "uint32": np.int64, "uint64": np.int64}.get(array.dtype.name, array.dtype)
    return torch.from_numpy(np.array(array, wider))


def _values(
    source: Source, loaded: Loaded, variable: str, binding: Binding, missing: Mapping[str, float | bool]
) -> Tensor:
    """The bound column, [N, *shape]; NaN only where they were announced."""
    if binding.column not in loaded.columns:
        raise UsageError(f"the source {source.tag!r} has no column {binding.column!r}")
    x = as_tensor(loaded.columns[binding.column])
    if missing.get(variable) is not True and x.is_floating_point() and bool(x.isnan().any()):
        raise DataError(f"column {binding.column!r} has missing entries: declare {variable} missing: true")
    return x


def _fitted(
    steps: tuple[Step, ...], column: Column, x: Tensor, train: Tensor, known: Tensor | None, *, seed: int
) -> Pipeline:
    """The pipeline, fitted on what is known of the training rows."""
    pipeline = Pipeline(steps, column)
    pipeline.fit(x[train], train, seed, None if known is None else known[train])
    return pipeline


@torch.no_grad()
def _resident(
    pipeline: Pipeline, x: Tensor, rows: Tensor, seed: int, *, known: Tensor | None, truth: bool
) -> Resident:
    """Do now, in chunks, what can be done once; where every step is left, values keep their own type."""
    static, rest = pipeline.split_static()
    done, log_dets = [], []
    for chunk in torch.split(torch.arange(len(x)), CHUNK):
        mask = None if known is None else known[chunk]
        y, log_det = static(x[chunk], rows[chunk], seed, mask)
        done.append(y)
        log_dets.append(log_det)
    spread = None if known is None else static.spread(known)
    return Resident(torch.cat(done), torch.cat(log_dets), rest, spread, truth)


def _load(source: Source, base: Path, arrays: Mapping[str, Any] | None) -> tuple[SourceFacts, Loaded]:
    facts = source.facts(base)
    if not isinstance(source, Memory):
        return facts, load(source, base, facts)
    if arrays is None:
        raise UsageError("this spec takes its data from memory, and no arrays were passed")
    loaded = gather(source, arrays)
    check(loaded, facts)
    rows = len(next(iter(loaded.columns.values())))
    if not rows:
        raise DataError("the arrays have no rows")
    return replace(facts, rows=rows), loaded
