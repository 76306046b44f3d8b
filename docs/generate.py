"""Writes what the registry knows into the documentation: `make docs`.

docs/components/*.md (a page for each kind), docs/codes.md (a section for each diagnostic), docs/specs.md (a
row for each shipped spec), and the table of the catalogue in README.md and docs/components/index.md. What
README.md and docs/tutorial.md show of `gendsl check` is run and written again: a block `yaml NAME.yaml` (or a
comment) is the file, a block `console` the transcript. tests/house/test_docs.py fails while a page is old.
"""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gendsl.cli import main as gendsl
from gendsl.compiler.pipeline import analyse
from gendsl.schema.catalogue import PARTS, detail, listing
from gendsl.schema.codes import CODES
from gendsl.schema.components.later import LATER
from gendsl.schema.load import load, shipped
from gendsl.schema.registry import KINDS

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- catalogue: written by make docs -->", "<!-- end of catalogue -->"

WRITTEN: Mapping[str, str] = {
    "dist": "prior: {z: {dist: TAG}}",
    "flow": "flow: [TAG]",
    "net": "net: TAG",
    "ordering": "ordering: {x: TAG}",
    "loss": "adversary: {d: {loss: TAG}}",
    "penalty": "adversary: {d: {penalty: TAG}}",
    "augment": "adversary: {d: {augment: TAG}}",
    "energy": "energy: {z: {type: TAG}}",
    "negatives": "energy: {x: {negatives: TAG}}",
    "corruption": "corruption: {x_noisy: {given: x, dist: TAG}}",
    "bound": "objective: {bound: TAG}",
    "estimator": "objective: {estimator: {c: TAG}}",
    "energy_objective": "objective: {energy: {x: TAG}}",
    "source": "data: {source: TAG}",
    "step": "data: {bind: {x: {column: image, as: [TAG]}}}",
    "optim": "train: {optim: TAG}",
    "schedule": "train: {optim: {type: adam, schedule: TAG}}",
    "extractor": "evaluate: {extractor: TAG}",
}
"""Where a component of each kind stands in a spec."""

GROUPS: Mapping[str, str] = {
    "GD1": "Text",
    "GD2": "Names and keys",
    "GD3": "The graph",
    "GD4": "Shapes, supports and data",
    "GD5": "Capabilities, objective and players",
    "GD6": "Resources",
    "GD9": "Plug-ins",
}


def pages() -> dict[Path, str]:
    """Every generated file with its text."""
    folder = ROOT / "docs" / "components"
    found = {folder / f"{kind}.md": kind_page(kind) for kind in KINDS}
    found[folder / "index.md"] = f"# Components\n\n{catalogue('')}\n"
    found[ROOT / "docs" / "codes.md"] = codes_page()
    found[ROOT / "docs" / "specs.md"] = specs_page()
    readme = ROOT / "README.md"
    text = readme.read_text("utf-8")
    before, rest = text.split(BEGIN)
    found[readme] = transcribed(
        f"{before}{BEGIN}\n{catalogue('docs/components/')}\n{END}{rest.split(END)[1]}"
    )
    tutorial = ROOT / "docs" / "tutorial.md"
    found[tutorial] = transcribed(tutorial.read_text("utf-8"))
    return found


BLOCK = re.compile(
    r"(?:```|<!-- )yaml (?P<file>\S+)\n(?P<spec>.*?)(?:```|-->)"
    r"|```console\n\$ gendsl (?P<command>check .*?)\n.*?```",
    re.DOTALL,
)


def transcribed(text: str) -> str:
    """The document with every transcript of `gendsl check` made again from the files that it shows."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):

        def again(block: re.Match[str]) -> str:
            if block["file"]:
                Path(block["file"]).write_text(block["spec"], "utf-8")
                return block[0]
            with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(said):
                gendsl(block["command"].split())
            return f"```console\n$ gendsl {block['command']}\n{said.getvalue().strip()}\n```"

        return BLOCK.sub(again, text)


def catalogue(folder: str) -> str:
    """A row for each kind."""
    rows = ["| kind | components |", "|---|---|"]
    for kind, words in KINDS.items():
        built = ", ".join(listing(kind)[kind]) or "none"
        rows.append(_row(f"[{words}]({folder}{kind}.md)", built))
    return "\n".join(rows)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def kind_page(kind: str) -> str:
    """One kind: where it is written, and a section for each component."""
    parts = [f"# {KINDS[kind].capitalize()}", f"Written as `{WRITTEN[kind]}`."]
    parts += [_section(detail(kind, tag)) for tag in listing(kind)[kind]]
    later = sorted(LATER.get(kind, ()))
    if later:
        parts.append(
            f"## Not built yet\n\n{', '.join(later)}: words of the language that this version refuses."
        )
    return "\n\n".join(parts) + "\n"


def _section(component: Mapping[str, Any]) -> str:
    parts = [f"## {component['tag']}", component["description"]]
    said = [f"- **{word}**: {component[word.lower()]}" for word in PARTS if word.lower() in component]
    if said:
        parts.append("\n".join(said))
    if component["parameters"]:
        rows = ["| parameter | takes | default | |", "|---|---|---|---|"]
        for name, about in component["parameters"].items():
            default = "required" if about["default"] == "required" else f"`{flow_style(about['default'])}`"
            rows.append(_row(f"`{name}`", about["type"], default, about["description"]))
        parts.append("\n".join(rows))
    shown = "\n".join(flow_style({"type": component["tag"], **e}) for e in component["examples"])
    if shown:
        parts.append(f"```yaml\n{shown}\n```")
    return "\n\n".join(parts)


def flow_style(value: Any) -> str:
    """A value as YAML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {flow_style(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow_style(v) for v in value) + "]"
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return f"'{value}'" if isinstance(value, str) and not value.replace("_", "").isalnum() else str(value)


def codes_page() -> str:
    """Every diagnostic, with an example that is refused and one that is accepted."""
    parts = [
        "# Diagnostics",
        "Every problem in a spec has a code and a place. `gendsl explain GD210` prints its section.",
    ]
    for group, title in GROUPS.items():
        codes = {code: about for code, about in CODES.items() if code.startswith(group)}
        if codes:
            parts.append(f"## {title}")
            parts += [f"### {code}: {about.title}\n\n{about.text.strip()}" for code, about in codes.items()]
    return "\n\n".join(parts) + "\n"


def specs_page() -> str:
    """Every shipped spec: its first comment, its size, and the kind of its objective."""
    rows = ["| spec | what it is | parameters | objective |", "|---|---|---|---|"]
    for name, path in shipped().items():
        about = path.read_text("utf-8").splitlines()[0].removeprefix("# ")
        graph = analyse(load(name), device="cpu")
        scored = graph.objective_of != "nothing"
        objective = (
            f"{graph.objective_kind} for {graph.objective_of}" if scored else "a game without a likelihood"
        )
        link, size = f"[{name}](../specs/{name}.yaml)", f"{graph.resources.parameters:,}"
        rows.append(_row(link, about, size, objective))
    head = "Each runs by its name: `gendsl run NAME`. The last column says what minus the training loss is."
    return f"# Shipped specs\n\n{head}\n\n" + "\n".join(rows) + "\n"


def main() -> None:
    """Write every page."""
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
