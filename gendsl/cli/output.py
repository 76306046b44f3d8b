"""What commands say: results on standard output, everything said to people while working on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gendsl.errors import Diagnostic, UsageError

DONE, BAD_SPEC, BAD_USAGE, FAILED, INTERRUPTED = 0, 1, 2, 3, 130


def tell(message: str) -> None:
    """A line for people."""
    print(message, file=sys.stderr)


def warn(message: str) -> None:
    """A warning of the runtime."""
    tell(f"warning: {message}")


def put_json(document: Any) -> None:
    """The one document of `--json`."""
    print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def write_json(path: Path, document: Any) -> None:
    """The same document in a file, whole or not at all. Raises RunError."""
    from gendsl.runtime.durable import write_atomically

    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())


def diagnostics_json(diagnostics: Sequence[Diagnostic], *, valid: bool) -> dict[str, Any]:
    """What `check --json` says of a spec."""
    return {"format_version": 1, "valid": valid, "diagnostics": [d.as_json() for d in diagnostics]}


def fail(message: str, status: int, as_json: bool) -> int:
    """Say why a command ends early; its exit status."""
    tell(message if status == INTERRUPTED else f"error: {message}")
    if as_json:
        put_json({"status": "interrupted" if status == INTERRUPTED else "failed", "error": message})
    return status


def check_file(path: Path) -> None:
    """Whether a file can be written there: a folder that exists, and no folder of that name. Raises UsageError."""
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}")
    if path.is_dir():
        raise UsageError(f"{path} is a folder: give a file")


def aside(words: str) -> str:
    """A suggestion in brackets, or nothing."""
    return f" ({words.rstrip('?')}?)" if words else ""


STYLES = {
    "error": "bold red",
    "warning": "bold yellow",
    "note": "bold blue",
    "caret": "red",
    "related": "blue",
    "gutter": "cyan",
    "message": "bold",
}


def show(diagnostics: Sequence[Diagnostic], sources: Any) -> None:
    """Diagnostics with their lines of the spec, in colours on a terminal."""
    from gendsl.schema.render import render_all

    paint: Callable[[str, str], str] | None = None
    if on_terminal() and not os.environ.get("NO_COLOR"):
        from rich.style import Style

        def paint(role: str, text: str) -> str:
            return Style.parse(STYLES.get(role, "none")).render(text)

    sys.stderr.write(render_all(list(diagnostics), sources, style=paint) + "\n")


def on_terminal() -> bool:
    """Whether standard error is a terminal, or FORCE_COLOR says that it is to be taken for one."""
    return sys.stderr.isatty() or bool(os.environ.get("FORCE_COLOR"))


def summary(result: dict[str, Any], path: Path) -> None:
    print(f"{result['spec']['name']}: {result['status']} at step {result['steps']}")
    for split, metrics in result["metrics"].items():
        for name, entry in metrics.items():
            print(f"  {split} {name:<20} {number_words(entry)}")
    for warning in result.get("warnings", []):
        print(f"  warning: {warning}")
    if (path / "report.html").is_file():
        print(f"  report: {path / 'report.html'}")


KIND_WORDS = {"lower": "at least", "upper": "at most", "exact": "exactly", "estimate": "about"}


def number_words(entry: Mapping[str, Any] | None) -> str:
    """A metric in words: its kind, value, error, unit and how it was estimated."""
    if entry is None:
        return "not measured"
    if entry.get("value") is None:
        return f"none: {entry.get('why', '')}"
    error = f" +- {entry['stderr']:.3g}" if entry.get("stderr") is not None else ""
    how = f", {entry['estimator']}" if entry.get("estimator") else ""
    count = entry.get("samples") if entry.get("estimator") else None
    draws = f" with {count} sample{'s' if count > 1 else ''}" if count else ""
    floor = f"; real against real {entry['floor']['value']:.4g}" if "floor" in entry else ""
    plain = f"; baseline {entry['baseline']['value']:.4g}" if "baseline" in entry else ""
    value = f"{KIND_WORDS[entry['kind']]} {entry['value']:.4f}{error} {entry.get('unit', '')}"
    return f"{value}{how}{draws}{floor}{plain}"
