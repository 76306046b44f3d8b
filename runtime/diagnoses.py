"""What a run's records say in words: pure functions from numbers to sentences.

A sentence names what was seen, with its numbers, and what usually helps. Thresholds are conservative: a
healthy run says nothing. `records` are the parsed lines of metrics.jsonl in order (LANGUAGE, section 5):
{"step", "split", "terms", "losses", "diagnostics"}; `result` is the parsed result.json.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

Record = Mapping[str, Any]
Curve = list[tuple[int, float]]

ENDINGS = {
    "interrupted": "the run was interrupted",
    "nan": "the run stopped at a value that is not finite",
    "failed": "the run failed",
    "patience": "training stopped because the validation loss had stopped improving",
}


def diagnose(records: Sequence[Record], result: Mapping[str, Any] | None = None) -> list[str]:
    """Every diagnosis of this module that applies, in a fixed order; empty for a healthy run."""
    result = result or {}
    found = [
        *stopped_early(records, result),
        *not_finite(records),
        *skipped_steps(records),
        *overfitting(records),
        *critic_saturated(records),
        *posterior_collapse(records),
        *energy_runs_away(records),
    ]
    metrics = result.get("metrics")
    for metrics_of_split in metrics.values() if isinstance(metrics, Mapping) else ():
        if isinstance(metrics_of_split, Mapping):
            found.extend(generator_collapse(metrics_of_split))
    return list(dict.fromkeys(found))


def curve(records: Iterable[Record], group: str, name: str, split: str = "train") -> Curve:
    """The finite (step, value) pairs of one entry of "terms", "losses" or "diagnostics", in order."""
    points: Curve = []
    for record in records:
        value = _group(record, group).get(name)
        number = finite(value)
        if record.get("split", "train") == split and number is not None:
            points.append((int(record.get("step", 0)), number))
    return points


def names(records: Iterable[Record], group: str) -> list[str]:
    """The names that occur in one group of the records, in order of first appearance."""
    return list(dict.fromkeys(name for record in records for name in _group(record, group)))


def finite(value: object) -> float | None:
    """A value read from JSON as a finite number, or None if it is not one (true and false are not)."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def stopped_early(records: Sequence[Record], result: Mapping[str, Any]) -> list[str]:
    """Says that there is no result, or that its `status` is not "completed", and the last step recorded."""
    last = max((int(r.get("step", 0)) for r in records), default=0)
    if not result:
        where = f"after step {last}" if records else "before its first record"
        return [
            f"The run has no result: it stopped {where}, or is still going. What is shown is what it left."
        ]
    status = str(result.get("status", "completed"))
    if status == "completed":
        return []
    ending = ENDINGS.get(status, f"the run ended with status {status!r}")
    return [f"{ending[0].upper()}{ending[1:]} (last record: step {last})."]


def not_finite(records: Sequence[Record]) -> list[str]:
    """Says which term or loss was recorded as NaN or infinite (null in strict JSON), and the first step."""
    first: dict[str, int] = {}
    for record in records:
        for group in ("terms", "losses"):
            for name, value in _group(record, group).items():
                if finite(value) is None:
                    first.setdefault(name, int(record.get("step", 0)))
    return [f"{name} was not finite, first at step {step}." for name, step in first.items()]


def skipped_steps(records: Sequence[Record]) -> list[str]:
    """Says how many steps were skipped for NaN: the largest "skipped_steps", a running count."""
    counts = [value for _, value in curve(records, "diagnostics", "skipped_steps")]
    count = int(max(counts, default=0))
    if count == 0:
        return []
    steps = "1 step was" if count == 1 else f"{count} steps were"
    return [f"{steps} skipped because a gradient was not finite: lower the learning rate, or clip."]


def overfitting(records: Sequence[Record]) -> list[str]:
    """Says that the validation loss of `model` rises while its training loss falls.

    All of these must hold: no adversary (its losses have no such reading); five validation records or more;
    the best is before three quarters of them; each of the last two exceeds it by 5 % of the fall from first
    to best and by 1 % of the best; the mean training loss of the last quarter since is below that around it.
    """
    if any(name.startswith("adversary.") for g in ("terms", "losses") for name in names(records, g)):
        return []
    valid, train = curve(records, "losses", "model", "valid"), curve(records, "losses", "model")
    if len(valid) < 5 or len(train) < 4:
        return []
    values = [v for _, v in valid]
    index = min(range(len(values)), key=values.__getitem__)
    best_step, best = valid[index]
    margin = max(0.05 * (values[0] - best), 0.01 * abs(best))
    if index >= 0.75 * (len(values) - 1) or min(values[-2:]) <= best + margin:
        return []
    end = train[-1][0]
    late = [v for s, v in train if s >= end - 0.25 * (end - best_step)]
    around = [v for s, v in train if abs(s - best_step) <= 0.25 * (end - best_step)]
    if not around or not late or fmean(late) >= fmean(around):
        return []
    return [
        f"Overfitting: the validation loss was best at step {best_step} ({best:.4g}) and has risen to "
        f"{values[-1]:.4g}, while the training loss went on falling. Stop earlier (train.validate.patience), "
        "use a smaller network, or weight_decay."
    ]


def critic_saturated(records: Sequence[Record]) -> list[str]:
    """Says that a critic is right more than 98 % of the time in every record of the last half of training.

    Reads diagnostics named "<critic>.accuracy", of at least four records in that half.
    """
    found = []
    for name in names(records, "diagnostics"):
        points = curve(records, "diagnostics", name)
        late = [v for s, v in points if s > points[-1][0] / 2] if points else []
        if name.endswith(".accuracy") and len(late) >= 4 and min(late) > 0.98:
            critic = name.removesuffix(".accuracy")
            found.append(
                f"{critic} told real from generated rows with an accuracy above "
                f"{math.floor(min(late) * 100)} % for the last half of training: the generator then learns "
                "little. A penalty (gradient, r1), instance noise, or a lower critic learning rate helps."
            )
    return found


def generator_collapse(metrics: Mapping[str, Any]) -> list[str]:
    """Says that samples look real but show little of the data: precision >= 0.5, recall or coverage < 0.1.

    Where `floor` (real against real) is given, recall or coverage must also be below a quarter of it.
    """
    precision, _ = _value_and_floor(metrics.get("precision"))
    if precision is None or precision < 0.5:
        return []
    for name in ("coverage", "recall"):
        value, floor = _value_and_floor(metrics.get(name))
        if value is not None and value < 0.1 and (floor is None or value < 0.25 * floor):
            return [
                f"Mode collapse: {precision:.0%} of the samples lie among the real rows, but {name} is "
                f"{value:.1%}: they show a small part of the data. Try packing (pack), unrolling (unroll), "
                "another loss, or a larger batch."
            ]
    return []


def posterior_collapse(records: Sequence[Record]) -> list[str]:
    """Says that most dimensions of a latent carry nothing: at the end "kl.z.active" < half of "kl.z.units".

    A unit is active if the variance over rows of E_q[z] is above 0.01 (`gendsl.runtime.activity`); the sentence
    also has "kl.z.informed", how many have a mean KL of at least 0.01 nats. Without these
    diagnostics: the term kl.z itself, averaged over the last quarter of the training records (four or more), is
    within 0.01 nats of 0.
    """
    found = []
    for name in names(records, "terms"):
        points = curve(records, "terms", name)
        if not name.startswith("kl.") or len(points) < 4:
            continue
        latent = name.removeprefix("kl.")
        active = curve(records, "diagnostics", f"{name}.active") or curve(
            records, "diagnostics", f"{name}.active", "valid"
        )
        units = curve(records, "diagnostics", f"{name}.units") or curve(
            records, "diagnostics", f"{name}.units", "valid"
        )
        late = fmean(v for _, v in points[-max(1, len(points) // 4) :])
        if active and units:
            if active[-1][1] < 0.5 * units[-1][1]:
                used = (
                    f"only {active[-1][1]:.0f} of {units[-1][1]:.0f} dimensions of {latent} vary with the data "
                    "(variance of E_q over rows above 0.01)"
                )
                informed = curve(records, "diagnostics", f"{name}.informed")
                if informed:
                    used += f", and {informed[-1][1]:.0f} have a KL of 0.01 nats or more"
                found.append(_collapse_sentence(used))
        elif abs(late) < 0.01:
            found.append(
                _collapse_sentence(f"the KL of {latent} is {late:.2g} nats, so it carries no information")
            )
    return found


def energy_runs_away(records: Sequence[Record]) -> list[str]:
    """Says that an energy's contrast grows without end: its chains do not reach where the energy is low.

    Of each term energy.x, in eight training records or more: the mean size in the last quarter is above 100
    and four times that of the second quarter.
    """
    found = []
    for name in names(records, "terms"):
        sizes = [abs(v) for _, v in curve(records, "terms", name)]
        if not name.startswith("energy.") or len(sizes) < 8:
            continue
        quarter = len(sizes) // 4
        early, late = fmean(sizes[quarter : 2 * quarter]), fmean(sizes[-quarter:])
        if late > 100 and late > 4 * early:
            found.append(
                f"{name} grows without end (from {early:.3g} to {late:.3g}): the chains do not reach where the "
                "energy is low. Longer chains, a larger step_size, a lower temperature, magnitude, or a lower "
                "learning rate helps."
            )
    return found


def active_units(kl_per_dimension: Sequence[float], threshold: float = 0.01) -> int:
    """How many dimensions of a latent have a mean KL of at least `threshold` nats."""
    return sum(1 for value in kl_per_dimension if value >= threshold)


def _collapse_sentence(seen: str) -> str:
    return f"Posterior collapse: {seen}. A warm-up of the KL weight, free_bits, or a weaker decoder helps."


def _value_and_floor(entry: object) -> tuple[float | None, float | None]:
    if not isinstance(entry, Mapping):
        return None, None
    value, floor = entry.get("value"), entry.get("floor")
    if isinstance(floor, Mapping):
        floor = floor.get("value")
    return finite(value), finite(floor)


def _group(record: Record, group: str) -> Mapping[str, Any]:
    entries = record.get(group)
    return entries if isinstance(entries, Mapping) else {}
