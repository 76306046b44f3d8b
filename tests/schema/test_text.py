"""The loader of one text: every problem of the folder bad_specs/text, scalars, places, limits."""

from __future__ import annotations

import re
import textwrap
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gendsl.errors import Place, SpecError
from gendsl.schema import events, text
from gendsl.schema.codes import CODES
from gendsl.schema.nodes import Map, Node, Scalar, Seq, plain
from gendsl.schema.overlay import load
from gendsl.schema.render import render_all
from gendsl.schema.source import LINE_END, MAX_BYTES
from gendsl.schema.text import MAX_ALIASES, MAX_DEPTH, MAX_NODES, read

FOLDER = Path(__file__).parent.parent / "bad_specs" / "text"
BAD = sorted(path for path in FOLDER.glob("*.yaml") if not path.name.startswith("_"))
GENERATED = {"GD115", "GD136"}
"""Codes of this stage with no file: a text of more than 1 MiB, and a warning."""


def problems(source: str | bytes) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read(source, "f")
    return [d.code for d in caught.value.diagnostics]


def covered(source: str, place: Place) -> str:
    """The text of a place within one line."""
    line = LINE_END.split(source)[place.start.line - 1]
    assert place.start.line == place.end.line
    return line[place.start.column - 1 : place.end.column - 1]


def scalars(node: Node) -> list[Scalar]:
    if isinstance(node, Scalar):
        return [node]
    children = node.items if isinstance(node, Seq) else [entry.node for entry in node.entries.values()]
    return [scalar for child in children for scalar in scalars(child)]


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_spec(path: Path) -> None:
    header = path.read_bytes().decode("latin-1")
    expected = re.findall(r"^# expect: (GD\d+ \d+:\d+)$", header, re.MULTILINE)
    options = {kind: re.findall(rf"^# {kind}: (.*)$", header, re.MULTILINE) for kind in ("set", "unset")}
    with pytest.raises(SpecError) as caught:
        load(path, sets=options["set"], unsets=options["unset"], find=lambda name: None)
    found = caught.value.diagnostics
    assert expected
    assert [f"{d.code} {d.place.start.line}:{d.place.start.column}" for d in found if d.place] == expected
    for diagnostic in found:
        assert diagnostic.place is not None
        assert diagnostic.severity == "error"
        assert diagnostic.message
        assert diagnostic.place.file in caught.value.sources


def test_every_text_code_has_a_bad_spec_and_a_page() -> None:
    used = {
        code
        for path in BAD
        for code in re.findall(r"^# expect: (GD\d+)", path.read_bytes().decode("latin-1"), re.M)
    }
    assert used | GENERATED == {code for code in CODES if code.startswith("GD1")}


LITERAL = [
    "101",
    "105",
    "106",
    "107",
    "108",
    "109",
    "110",
    "111",
    "112",
    "113",
    "114",
    "119",
    "120",
    "132",
    "133",
    "134",
    "135",
]


@pytest.mark.parametrize("number", LITERAL)
def test_the_examples_of_a_page_are_refused_and_accepted(number: str) -> None:
    _, bad, good = re.split("(?:Refused|Accepted):\n", CODES[f"GD{number}"].text)
    shipped = FOLDER / "_parent.yaml"
    with pytest.raises(SpecError) as caught:
        load(textwrap.dedent(bad), find=lambda name: shipped)
    assert {d.code for d in caught.value.diagnostics} == {f"GD{number}"}
    good = "\n".join(line for line in textwrap.dedent(good).split("\n") if "common.yaml" not in line)
    load(good, find=lambda name: shipped)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("-.5", -0.5),
        ("2.", 2.0),
        ("+7", 7),
        ("0", 0),
        ("9223372036854775807", 2**63 - 1),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("no", "no"),
        ("y", "y"),
        ("2024-01-31", "2024-01-31"),
        ("12:30:45", "12:30:45"),
        ("1.2.3", "1.2.3"),
        ("1e", "1e"),
        ("e3", "e3"),
        ("=", "="),
        ("'010'", "010"),
        ('"1e3"', "1e3"),
        ("'null'", "null"),
        ("0b12", "0b12"),
        ("٣", "٣"),
    ],
)
def test_scalars(written: str, value: object) -> None:
    found = plain(read(f"k: {written}\n", "f"))["k"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        ("010", "write 10 "),
        ("-007", "write -7 "),
        ("00.50", "write 0.50 "),
        ("0o17", "write 15 "),
        ("0xff", "write 255 "),
        ("-0b11", "write -3 "),
        ("1_000", "write 1000 "),
        ("1_0.5", "write 10.5 "),
        (".inf", "leave the key out"),
        ("-.INF", "leave the key out"),
        (".NaN", "leave the key out"),
        ("9223372036854775808", "write 9.22e18 "),
        ("123456789012345678901234567890", "write 1.23e29 "),
        ("1" + "0" * 5000, "write 1.0e5000 "),
        ("1e999", "finite"),
        ("1e-999", "write 0.0"),
        ("0x" + "f" * 5000, "in decimal"),
    ],
)
def test_unclear_numbers_say_how_to_write_them(written: str, advice: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(f"k: {written}", "f")
    (found,) = caught.value.diagnostics
    assert found.code == "GD114"
    assert advice in found.help


def test_places_cover_exactly_the_text_of_scalars() -> None:
    lines = "name: é日本 # c\r\nb: 'x y' \rc: [&q 1, \"a\\tb\", *q, {k😀: &r 'v'}]\nd: &e\n"
    source = lines + "e: plain word  \n"
    root = read(("\ufeff" + source).encode(), "f")
    found = [covered(source, scalar.place) for scalar in scalars(root)]
    assert found == ["é日本", "'x y'", "1", '"a\\tb"', "1", "'v'", "", "plain word"]
    keys = [covered(source, entry.key) for entry in root.entries.values()]
    assert keys == ["name", "b", "c", "d", "e"]
    c = root.entries["c"].node
    assert isinstance(c, Seq)
    assert isinstance(c.items[3], Map)
    assert covered(source, c.items[3].entries["k😀"].key) == "k😀"


def test_places_of_scalars_on_several_lines() -> None:
    source = "a: one\n   two  \nb: |\n  x\n  y\n\nc: 'p\n  q'\n"
    a, b, c = scalars(read(source, "f"))
    assert (a.value, b.value, c.value) == ("one two", "x\ny\n", "p q")
    assert [(s.place.start.line, s.place.end.line, s.place.end.column) for s in (a, b, c)] == [
        (1, 2, 7),
        (3, 5, 4),
        (7, 8, 5),
    ]


def test_aliases_share_the_node_of_their_anchor() -> None:
    root = read("a: &x {k: [1]}\nb: *x\nc: &s word\nd: *s\n&t e: 1\nf: *t\n", "f")
    assert root.entries["b"].node is root.entries["a"].node
    assert plain(root) == {"a": {"k": [1]}, "b": {"k": [1]}, "c": "word", "d": "word", "e": 1, "f": "e"}


def test_tabs_are_text_inside_quotes_and_blocks_and_after_a_value() -> None:
    root = read('a: "x\n\ty"\nb: |\n  u\n  \tv\nc:\t1\t# comment\nd: {e: 2,\n\t# comment\n f: 3}\n', "f")
    assert plain(root) == {"a": "x y", "b": "u\n\tv\n", "c": 1, "d": {"e": 2, "f": 3}}
    assert problems('a: 1\n\t# comment\nb: "x\n\ty" z\n') == ["GD104"]
    assert problems('a: "x\n\ty" z\n') == ["GD101"]


def test_several_problems_are_reported_with_the_syntax_error_that_ends_reading() -> None:
    assert problems("a: 1\na: 010\nb: *c\nd: [1\n") == ["GD108", "GD114", "GD112", "GD101"]


def test_limits_are_reached_and_not_passed() -> None:
    nested = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    read(f"a: {nested}", "f")
    assert problems(f"a: [{nested}]") == ["GD116"]
    read("a: [" + "1, " * (MAX_NODES - 3) + "]", "f")
    assert problems("a: [" + "1, " * (MAX_NODES - 2) + "]") == ["GD117"]
    read("a: &a 1\nb: [" + "*a, " * MAX_ALIASES + "]", "f")
    assert problems("a: &a 1\nb: [" + "*a, " * (MAX_ALIASES + 1) + "]") == ["GD118"]
    comment = "a: 1 #"
    read(comment + "x" * (MAX_BYTES - len(comment)), "f")
    assert problems(comment + "x" * (MAX_BYTES - len(comment) + 1)) == ["GD115"]
    assert problems(comment + "é" * (MAX_BYTES // 2)) == ["GD115"]
    assert problems(b"#" * (MAX_BYTES + 1)) == ["GD115"]


def test_an_alias_adds_the_depth_and_weight_of_its_anchor() -> None:
    half = "[" * 20 + "]" * 20
    assert problems(f"a: &a {half}\nb: {'[' * 20}*a{']' * 20}\n") == ["GD116"]
    big = "{" + ", ".join(f"k{i}: 1" for i in range(10_000)) + "}"
    read(f"a: &a {big}\nb: *a\n", "f")
    assert problems(f"a: &a {big}\nb: *a\nc: *a\n") == ["GD117"]


def attacks() -> dict[str, str]:
    letters = "abcdefghijklmnopqrst"
    bomb = "a: &a [1, 1]\n" + "".join(f"{y}: &{y} [*{x}, *{x}]\n" for x, y in pairwise(letters))
    merges = "a: &a {x: 1}\n" + "".join(f"{y}: &{y} {{<<: [*{x}, *{x}]}}\n" for x, y in pairwise(letters))
    return {
        "brackets": "[" * 30_000,
        "brackets on lines": "[\n" * 30_000,
        "braces": "{a: " * 30_000,
        "dashes": "- " * 30_000,
        "questions": "? " * 30_000,
        "indentation": "".join(" " * i + "a:\n" for i in range(1_000)),
        "alias bomb": bomb,
        "merge bomb": merges,
        "scalars": "a: [" + "1," * 200_000 + "]",
        "empty lists": "a: [" + "[]," * 200_000 + "]",
    }


@pytest.mark.parametrize("name", attacks())
def test_attacks_are_refused_while_reading(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    built = 0
    add = text._Reader._add

    def counting(self: text._Reader, node: Node, weight: int, height: int) -> None:
        nonlocal built
        built += 1
        assert len(self.stack) <= MAX_DEPTH
        add(self, node, weight, height)

    monkeypatch.setattr(text._Reader, "_add", counting)
    codes = problems(attacks()[name])
    assert set(codes) <= {"GD109", "GD111", "GD116", "GD117"}
    assert codes
    assert built <= MAX_NODES


def test_the_python_parser_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    good = "a: &x {k: [1, 'y', ~]}\nb: *x\nc: |\n  t\nd:\n- 1e-3\n- é: \"\\u00e9\"\n"
    expected = read(good, "f")
    places = {path: _codes(path) for path in BAD}
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    assert isinstance(events.parser("a"), events.PythonParser)
    assert read(good, "f") == expected
    assert {path: _codes(path) for path in BAD} == places
    assert problems('a: "\\U00110000"') == ["GD101"]
    assert problems("[" * 3_000) == ["GD116"]


def _codes(path: Path) -> list[str]:
    try:
        read(path.read_bytes(), path.name)
    except SpecError as error:
        return [d.code for d in error.diagnostics]
    return []


def check(source: str | bytes) -> None:
    """Reading ends in a map or in a SpecError with places inside the text; nothing else."""
    root: Map | None = None
    refusal = SpecError([])
    try:
        root = read(source, "f")
    except SpecError as error:
        refusal = error
    if root is not None:
        plain(root)
        return
    lines = len(LINE_END.split(refusal.sources.get("f", "")))
    for diagnostic in refusal.diagnostics:
        assert diagnostic.code in CODES
        assert diagnostic.place is not None
        assert diagnostic.place.start <= diagnostic.place.end
        assert diagnostic.place.end.line <= lines
    last = render_all(refusal.diagnostics, refusal.sources).split("\n")[-1]
    assert last.startswith(f"{len(refusal.diagnostics)} error")


PIECES = [
    *(
        "a",
        "b: ",
        "c: 1\n",
        "\n",
        "  ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        ": ",
        "? ",
        "'",
        '"',
        "&a ",
        "*a ",
        "<<: ",
    ),
    *(
        "!t ",
        "|\n",
        ">\n",
        "#x\n",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "\t",
        "\r",
        "010",
        "1e-3",
        ".nan",
        "é",
        "日",
        "\\",
        "${a}",
    ),
]


@settings(derandomize=True, max_examples=300, deadline=None, database=None)
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_fuzz_yaml_pieces(source: str) -> None:
    check(source)


@settings(derandomize=True, max_examples=100, deadline=None, database=None)
@given(st.one_of(st.text(max_size=60), st.binary(max_size=60)))
def test_fuzz_anything(source: str | bytes) -> None:
    check(source)


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63) + 1, 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(
            st.characters(
                exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\ufeff\ufffe\uffff"
            ),
            max_size=8,
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "b", "on", "é", "1"]), inner, max_size=3),
    ),
    max_leaves=12,
)


@settings(derandomize=True, max_examples=100, deadline=None, database=None)
@given(st.dictionaries(st.sampled_from(["x", "y", "z"]), JSON, min_size=1))
def test_what_pyyaml_writes_is_read_back(value: dict[str, object]) -> None:
    """Strings that only look like numbers are quoted by PyYAML's rules (YAML 1.1), so quote all of them."""

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    Dumper.add_representer(str, lambda d, s: d.represent_scalar("tag:yaml.org,2002:str", s, style='"'))
    Dumper.add_representer(float, lambda d, f: d.represent_scalar("tag:yaml.org,2002:float", f"{f:.17e}"))
    written = yaml.dump(value, Dumper=Dumper)
    assert plain(read(written, "f")) == value
