"""The report's sections of numbers: cards, the table of metrics, judges of samples, curves of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gendsl.runtime.balance import balance, overlap
from gendsl.runtime.curves import curve, finite, names
from gendsl.runtime.report.charts import curve_panel, judge_line
from gendsl.runtime.report.records import Files
from gendsl.runtime.report.words import (
    JUDGES,
    UNITS,
    esc,
    kind_words,
    number,
    plain,
    term_unit,
    term_words,
    title,
    with_error,
)

Metric = dict[str, Any]
CARDS = 4


def metrics_by_split(result: Mapping[str, Any]) -> dict[str, dict[str, Metric]]:
    """The metrics of result.json by split and name; a bare number becomes one of unknown kind."""
    splits = result.get("metrics")
    found: dict[str, dict[str, Metric]] = {}
    for split, entries in splits.items() if isinstance(splits, dict) else ():
        if isinstance(entries, dict):
            found[str(split)] = {
                str(name): entry if isinstance(entry, dict) else {"value": entry}
                for name, entry in entries.items()
            }
    return found


def cards(files: Files) -> str:
    """The headline: the first numbers of the first split that is not training, with their kinds in words."""
    splits = metrics_by_split(files.result)
    split = next((s for s in ("test", "valid", *splits) if splits.get(s)), None)
    if split is None:
        return '<p class="empty">No metrics were recorded.</p>'
    entries = splits[split]
    valued = [n for n, e in entries.items() if finite(e.get("value")) is not None]
    shown = [n for n in valued if n not in JUDGES][:CARDS]
    judges = [n for n in ("c2st", "coverage", "precision", "mmd") if n in valued]
    shown += judges[: max(0, min(CARDS, 3) - len(shown))]
    made = "".join(_card(name, entries[name]) for name in shown)
    absent = "".join(_absent(name, e) for name, e in entries.items() if finite(e.get("value")) is None)
    return f'<p class="note">On the {esc(split)} split.</p><div class="cards">{made}</div>{absent}'


def _card(name: str, entry: Metric) -> str:
    value, error = with_error(entry.get("value"), entry.get("stderr"))
    kind = str(entry.get("kind", "estimate"))
    label, meaning = kind_words(kind)
    how = [str(entry["estimator"])] if entry.get("estimator") else []
    if finite(entry.get("samples")) is not None:
        how.append(f"{number(entry['samples'])} {'rows of each' if name in JUDGES else 'samples'}")
    if error:
        how.append(f"standard error {error}")
    floor = _floor(entry)
    if floor is not None:
        how.append(f"real against real: {with_error(*floor)[0]}")
    how += _baseline(entry)
    meaning = JUDGES[name].meaning + "; " + JUDGES[name].best if name in JUDGES else meaning
    return (
        f'<div class="card"><div class="over"><h3>{esc(title(name))}</h3>'
        f'<span class="badge {_kind_class(kind)}">{esc(label)}</span></div>'
        f'<p class="value">{esc(value)} <span class="unit">{esc(_unit(name, entry))}</span></p>'
        f'<p class="kind">{esc(meaning[:1].upper() + meaning[1:])}.</p>'
        f'<p class="how"><code>{esc(name)}</code> {esc(" · ".join(how))}</p></div>'
    )


def _absent(name: str, entry: Metric) -> str:
    why = entry.get("why") or kind_words("none")[1]
    return (
        f'<p class="absent"><span class="badge none">no value</span> <b>{esc(title(name))}</b>'
        f" <code>{esc(name)}</code>: {esc(why)}</p>"
    )


def metrics_table(files: Files) -> str:
    """Every metric of every split but the judges of samples, one row each."""
    rows = []
    for split, entries in metrics_by_split(files.result).items():
        for name, entry in entries.items():
            if name in JUDGES:
                continue
            value, error = with_error(entry.get("value"), entry.get("stderr"))
            kind = str(entry.get("kind", "estimate"))
            remark = "; ".join(
                [str(entry.get("why") or entry.get("note") or kind_words(kind)[1]), *_baseline(entry)]
            )
            cells = [
                f"<td>{esc(split)}</td><th scope='row'>{esc(title(name))} <code>{esc(name)}</code></th>",
                f"<td class='n'>{esc(value)}</td><td class='n'>{esc(error)}</td>",
                f"<td>{esc(_unit(name, entry))}</td>",
                f"<td><span class='badge {_kind_class(kind)}'>{esc(kind_words(kind)[0])}</span></td>",
                f"<td>{esc(entry.get('estimator', ''))}</td>",
                f"<td class='n'>{esc(number(entry['samples']) if 'samples' in entry else '')}</td>",
                f"<td class='remark'>{esc(remark)}</td>",
            ]
            rows.append(f"<tr>{''.join(cells)}</tr>")
    if not rows:
        return ""
    heads = ("split", "metric", "value", "± s.e.", "unit", "kind", "estimator", "samples", "reading")
    return _table("Metrics by split", heads, rows)


def judges_table(files: Files) -> str:
    """The judges of samples, each with its value, real against real, and both on a line; "" without any."""
    rows = []
    notes: dict[str, list[str]] = {}
    for split, entries in metrics_by_split(files.result).items():
        for name, entry in entries.items():
            value = finite(entry.get("value"))
            if name not in JUDGES or value is None:
                continue
            floor = _floor(entry)
            if entry.get("note"):
                notes.setdefault(str(entry["note"]), []).append(title(name))
            rows.append(
                f"<tr><th scope='row'>{esc(title(name))} <code>{esc(name)}</code>"
                f"<span class='words'>{esc(JUDGES[name].meaning)}; {esc(JUDGES[name].best)}</span></th>"
                f"<td class='n'>{_both(value, entry.get('stderr'))}</td>"
                f"<td class='n floor'>{_both(*floor) if floor else '–'}</td>"
                f"<td>{judge_line(name, value, floor[0] if floor else None)}</td>"
                f"<td class='n'>{esc(number(entry.get('samples')))}</td><td>{esc(split)}</td></tr>"
            )
    if not rows:
        return ""
    heads = ("judge", "samples", "real against real", "on its line", "rows of each", "split")
    said = "".join(f"<li><b>{esc(', '.join(who))}</b>: {esc(note)}</li>" for note, who in notes.items())
    found = (overlap(entries) for entries in metrics_by_split(files.result).values())
    words = "".join(f"<p>{esc(sentence)}</p>" for sentence in found if sentence)
    return (
        f"{words}"
        '<p class="note">Each judge compares samples with real rows. Two halves of the real rows, compared '
        "in the same way, give the floor that a perfect model would reach: the tick on the line. The dot is "
        "the model.</p>"
        f"{_table('Judges of samples', heads, rows)}"
        '<p class="fine">All are computed on the rows themselves, not on features of a network.</p>'
        f'<ul class="fine">{said}</ul>'
    )


def curves(files: Files) -> str:
    """One panel for each loss, term and diagnostic of metrics.jsonl; one that never changes is only told."""
    parts = []
    for groups, heading in (
        (("losses", "terms"), "Losses and their terms"),
        (("diagnostics",), "Diagnostics"),
    ):
        panels = [
            _panel(files, group, name)
            for group in groups
            for name in names(files.records, group)
            if not _is_own_term(files, group, name)
        ]
        drawn = [panel for panel in panels if panel.startswith("<figure")]
        told = "".join(panel for panel in panels if not panel.startswith("<figure"))
        if panels:
            words = balance(files.records) if groups == ("diagnostics",) else []
            said = "".join(f"<p>{esc(sentence)}</p>" for sentence in words)
            parts.append(f'<h3>{heading}</h3>{said}<div class="panels">{"".join(drawn)}</div>{told}')
    return "".join(parts)


def _is_own_term(files: Files, group: str, name: str) -> bool:
    """Whether a player's loss is nothing but the term of its own name, which is shown anyway."""
    return (
        group == "losses"
        and name in names(files.records, "terms")
        and all(
            curve(files.records, "terms", name, split) == curve(files.records, "losses", name, split)
            for split in ("train", "valid")
        )
    )


def _panel(files: Files, group: str, name: str) -> str:
    train, valid = curve(files.records, group, name), curve(files.records, group, name, "valid")
    values = {value for _, value in (*train, *valid)}
    if not values:
        return f'<p class="fine"><b>{esc(name)}</b> was never finite.</p>'
    if len(values) == 1 and len(train) + len(valid) > 2:
        return f'<p class="fine"><b>{esc(name)}</b> was {number(plain(values.pop()))} throughout.</p>'
    if group == "terms":
        return curve_panel(name, train, valid, term_unit(name), term_words(name))
    if group == "losses":
        adversarial = any(n.startswith("adversary.") for n in names(files.records, "losses"))
        return curve_panel(name, train, valid, "" if adversarial else "nats", "what this player minimises")
    return curve_panel(name, train, valid, "", "")


def _both(value: float, stderr: object) -> str:
    shown, error = with_error(value, stderr)
    return f"{esc(shown)}" + (f" <span class='se'>± {esc(error)}</span>" if error else "")


def _floor(entry: Metric) -> tuple[float, object] | None:
    floor = entry.get("floor")
    value, stderr = (floor.get("value"), floor.get("stderr")) if isinstance(floor, dict) else (floor, None)
    known = finite(value)
    return None if known is None else (known, stderr)


def _baseline(entry: Metric) -> list[str]:
    """What the same metric gives without a model, and how; nothing where there is none."""
    baseline = entry.get("baseline")
    if not isinstance(baseline, dict) or finite(baseline.get("value")) is None:
        return []
    return [f"baseline {with_error(baseline['value'], baseline.get('stderr'))[0]}, {baseline.get('of', '')}"]


def _unit(name: str, entry: Metric) -> str:
    return str(entry.get("unit") or UNITS.get(name, ""))


def _kind_class(kind: str) -> str:
    return kind if kind in ("exact", "lower", "upper", "estimate", "none") else "unknown"


def _table(caption: str, heads: tuple[str, ...], rows: list[str]) -> str:
    head = "".join(f"<th scope='col'>{esc(h)}</th>" for h in heads)
    return (
        f'<div class="scroll"><table><caption class="hidden">{esc(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
