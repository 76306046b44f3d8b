"""What a run's records say in words: pure functions from numbers to sentences.

A sentence names what was seen, with its numbers, and what usually helps. Thresholds are conservative: a
healthy run says nothing. `records` are the parsed lines of metrics.jsonl in order (docs/language.md):
{"step", "split", "terms", "losses", "diagnostics"}; `result` is the parsed result.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from gendsl.runtime.balance import (
    critic_leak,
    critic_saturated,
    generator_collapse,
    gradient_vanished,
    modes_missed,
)
from gendsl.runtime.curves import Record, curve, finite, group_of, names

FEW_WORDS = 0.1
"""The share of a codebook below which its use is a collapse."""
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
        *(critic_leak(records) or critic_saturated(records)),
        *gradient_vanished(records),
        *posterior_collapse(records),
        *codebook_collapse(records),
        *energy_runs_away(records),
    ]
    metrics = result.get("metrics")
    for metrics_of_split in metrics.values() if isinstance(metrics, Mapping) else ():
        if isinstance(metrics_of_split, Mapping):
            found.extend(modes_missed(metrics_of_split) or generator_collapse(metrics_of_split))
    return list(dict.fromkeys(found))


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
            for name, value in group_of(record, group).items():
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

    Records under a weight that still grows ("warming") do not count. All of these must hold: no adversary (its losses
    have no such reading); five validation records or more;
    the best is before three quarters of them; each of the last two exceeds it by 5 % of the fall from first
    to best and by 1 % of the best; the mean training loss of the last quarter since is below that around it.
    """
    records = [r for r in records if not r.get("warming")]
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


def codebook_collapse(records: Sequence[Record]) -> list[str]:
    """Says that few words of a codebook are in use: at the end "codebook.c.used" < a tenth of "codebook.c.codes"."""
    found = []
    for name in names(records, "diagnostics"):
        latent = name.removeprefix("codebook.").removesuffix(".used")
        if name != f"codebook.{latent}.used":
            continue
        used = curve(records, "diagnostics", name)
        codes = curve(records, "diagnostics", f"codebook.{latent}.codes")
        if used and codes and used[-1][1] < FEW_WORDS * codes[-1][1]:
            found.append(
                f"Codebook collapse: {used[-1][1]:.0f} of {codes[-1][1]:.0f} words of {latent} are in use. Fewer "
                "codes, a smaller dim, a higher weight of the codebook's term or a lower learning rate helps."
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
    return (
        f"Posterior collapse: {seen}. A smaller weight of the KL, or one that warms up, free_bits, or a weaker decoder "
        "helps."
    )
