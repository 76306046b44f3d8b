"""Every bad spec gives exactly the diagnostics that its first lines name, at exactly their places.

The header of a file says what is found: `# expect: GD210 9:15` (code, line, column; then the file's name
where the place
is in another one), `# expect-warning: ...` for what is only a note, `# set: a.b=VALUE` for an option.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from gendsl.compiler.pipeline import analyse
from gendsl.errors import Diagnostic, SpecError
from gendsl.schema.codes import CODES
from gendsl.schema.load import loads, parse
from gendsl.schema.render import render_all

TESTS = Path(__file__).parent.parent
FOLDER = TESTS / "bad_specs"
BAD = sorted(path for path in FOLDER.glob("*/*.yaml") if path.parent.name != "text")
SOURCE = TESTS.parent

SPECIAL = {
    "GD601": "the memory of the machine: see below",
    "GD901": "plug-ins: see below and tests of the loader",
    "GD902": "plug-ins: see below",
}
"""Codes that need more than a file."""


def found(path: Path) -> tuple[list[Diagnostic], dict[str, str]]:
    """The errors of a file (with the options of its header) or else the warnings, and their texts."""
    text = path.read_text()
    options = {kind: re.findall(rf"^# {kind}: (.*)$", text, re.MULTILINE) for kind in ("set", "unset")}
    try:
        spec = parse(path, sets=options["set"], unsets=options["unset"])
        graph = analyse(spec)
    except SpecError as error:
        return list(error.diagnostics), dict(error.sources)
    assert spec.document is not None
    return [d for d in graph.notes if d.severity == "warning"], spec.document.sources


def line(diagnostic: Diagnostic, path: Path) -> str:
    """A diagnostic as a line of a header."""
    place = diagnostic.place
    assert place is not None, diagnostic
    kind = "expect" if diagnostic.severity == "error" else "expect-warning"
    other = "" if place.file == str(path) else f" {Path(place.file).name}"
    return f"# {kind}: {diagnostic.code} {place.start.line}:{place.start.column}{other}"


@pytest.mark.parametrize("path", BAD, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_bad_spec(path: Path) -> None:
    expected = re.findall(r"^# expect.*$", path.read_text(), re.MULTILINE)
    diagnostics, sources = found(path)
    assert expected
    assert [line(d, path) for d in diagnostics] == expected
    for diagnostic in diagnostics:
        assert diagnostic.place is not None
        assert diagnostic.place.end > diagnostic.place.start
        assert diagnostic.place.file in sources
        assert diagnostic.message[0] != " "
        assert not re.search(
            r"Input should|validation error|NoneType|gendsl\.schema|<class", diagnostic.message
        )
    shown = render_all(diagnostics, sources)
    assert shown.count("-->") >= len(diagnostics)
    assert "^" in shown


def raised() -> set[str]:
    """Every code that the source names in quotes, the pages themselves aside."""
    files = [
        p for folder in ("gendsl/schema", "compiler", "runtime") for p in (SOURCE / folder).rglob("*.py")
    ]
    texts = [
        p.read_text() for p in files if "codes" not in p.relative_to(SOURCE).parts and p.name != "codes.py"
    ]
    return {code for text in texts for code in re.findall(r"\"(GD\d{3})\"", text)}


def test_every_code_that_is_raised_has_a_page_and_every_page_is_of_a_code_that_is_raised() -> None:
    assert raised() == set(CODES)


def test_every_code_has_a_bad_spec() -> None:
    named = {
        code
        for path in FOLDER.glob("*/*.yaml")
        for code in re.findall(
            r"^# expect(?:-warning)?: (GD\d+)", path.read_bytes().decode("latin-1"), re.MULTILINE
        )
    }
    generated = {"GD115", "GD136"}  # tests/schema/test_text.py makes them
    assert named | set(SPECIAL) | generated == set(CODES)


def test_a_spec_that_does_not_fit_into_memory_names_its_largest_part() -> None:
    spec = loads("gendsl: 1\nextends: vae\ndecoder: {x: {net: {type: mlp, hidden: [60000, 60000]}}}\n")
    with pytest.raises(SpecError) as caught:
        analyse(spec, memory=2**30)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "GD601"
    assert diagnostic.place is not None
    assert diagnostic.place.start.line == 3
    assert "decoder.x" in diagnostic.help
    assert analyse(loads("gendsl: 1\nextends: vae\n"), memory=2**33).resources.memory < 2**33


@pytest.mark.parametrize(
    ("error", "code"), [(ImportError("no module"), "GD902"), (LookupError("p"), "GD901")]
)
def test_plug_ins_that_fail_are_reported_where_they_are_named(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    def fail(name: str) -> None:
        raise error

    monkeypatch.setattr("gendsl.schema.load.load_plugin", fail)
    with pytest.raises(SpecError) as caught:
        loads("gendsl: 1\nrequires: [first, second]\n")
    assert [(d.code, d.place.start.column) for d in caught.value.diagnostics if d.place] == [
        (code, 12),
        (code, 19),
    ]


@pytest.mark.parametrize("code", CODES)
def test_a_page_has_a_title_a_meaning_and_two_examples(code: str) -> None:
    page = CODES[code]
    meaning, bad, good = examples(code)
    assert page.title[0].islower() or page.title.startswith("YAML")
    assert len(meaning) > 15
    assert bad != good
    assert all(len(row) <= 100 for row in page.text.split("\n"))


@pytest.mark.parametrize("code", [c for c in CODES if c >= "GD2" and c not in SPECIAL])
def test_the_examples_of_a_page_are_what_the_page_says(code: str) -> None:
    _, bad, good = examples(code)
    assert codes(bad) == {code}
    assert codes(good) == set()


def examples(code: str) -> tuple[str, str, str]:
    meaning, bad, good = re.split(r"\n\n(?:Refused|Accepted):\n\n", CODES[code].text)
    return meaning, textwrap.dedent(bad), textwrap.dedent(good)


def codes(example: str) -> set[str]:
    """The codes of a page's example; `gendsl: 1` goes without saying. A mere fragment is only loaded."""
    text = example if example.startswith("gendsl") else f"gendsl: 1\n{example}"
    try:
        spec = loads(text)
        whole = spec.data is not None
        return {d.code for d in analyse(spec).notes} if whole else set()
    except SpecError as error:
        return {d.code for d in error.diagnostics}
