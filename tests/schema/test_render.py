"""Diagnostics as text: the form, the caret, long and wide lines, counts."""

from __future__ import annotations

import unicodedata

import pytest

from gendsl.errors import Diagnostic, Place, Position, Related, SpecError
from gendsl.schema.codes import CODES
from gendsl.schema.render import MAX_WIDTH, render, render_all
from gendsl.schema.text import read

FILE = "specs/vae_planar.yaml"


def at(line: int, start: int, end: int, file: str = FILE) -> Place:
    return Place(file, Position(line, start), Position(line, end))


def cells(text: str) -> int:
    zero = ("Mn", "Me", "Cf")
    return sum(
        0 if unicodedata.category(c) in zero else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def marked(output: str) -> str:
    """What stands above the caret run."""
    _, _, line, marks, *_ = output.split("\n")
    start = marks.index("^")
    length = len(marks) - start - len(marks[start:].lstrip("^"))
    before = next(i for i in range(len(line) + 1) if cells(line[:i]) == start)
    after = next((i for i in range(before, len(line) + 1) if cells(line[:i]) == start + length), len(line))
    return line[before:after]


def test_the_form_of_the_language_page() -> None:
    diagnostic = Diagnostic(
        "GD210",
        "unknown flow layer 'planer'",
        at(9, 15, 21),
        label="did you mean 'planar'?",
        help="known here: actnorm, coupling, masked_ar, planar, ...   (gendsl components flow)",
    )
    assert render(diagnostic, {FILE: "\n" * 8 + "      - type: planer\n"}) == (
        "error[GD210] unknown flow layer 'planer'\n"
        "  --> specs/vae_planar.yaml:9:15\n"
        " 9 |       - type: planer\n"
        "   |               ^^^^^^ did you mean 'planar'?\n"
        "   = known here: actnorm, coupling, masked_ar, planar, ...   (gendsl components flow)"
    )


def test_related_places_and_line_numbers_of_two_widths() -> None:
    with pytest.raises(SpecError) as caught:
        read("train: {}\n" + "# x\n" * 8 + "train: {}\n", FILE)
    (diagnostic,) = caught.value.diagnostics
    assert render(diagnostic, caught.value.sources) == (
        "error[GD108] the key 'train' is written twice\n"
        "   --> specs/vae_planar.yaml:10:1\n"
        " 10 | train: {}\n"
        "    | ^^^^^\n"
        "   --> specs/vae_planar.yaml:1:1\n"
        "  1 | train: {}\n"
        "    | ----- first written here\n"
        "    = keep one of the two"
    )


def test_without_a_place_or_a_text() -> None:
    related = (Related("nowhere", None),)
    assert render(Diagnostic("GD1", "m", label="l", help="h\ni", related=related, severity="note"), {}) == (
        "note[GD1] m\n   = l\n   = nowhere\n   = h\n     i"
    )
    assert (
        render(Diagnostic("GD1", "m", at(3, 1, 2), label="l"), {})
        == f"error[GD1] m\n  --> {FILE}:3:1\n   = l"
    )
    assert (
        render(Diagnostic("GD1", "m", at(3, 1, 2)), {FILE: "one line"}) == f"error[GD1] m\n  --> {FILE}:3:1"
    )


@pytest.mark.parametrize(
    "line",
    [
        "a: planer",
        "\tb:\t\tplaner\tc",
        "日本語: planer",
        "ｶﾅ カナ 😀: [planer, x]",
        "e\u0301e\u0301: planer",
        "x, " * 100 + "planer",
        "x, " * 100 + "planer" + ", y" * 100,
        "日, " * 100 + "planer" + ", 本" * 100,
        "planer" + ", y" * 100,
    ],
)
def test_the_caret_stands_under_its_word(line: str) -> None:
    column = line.index("planer") + 1
    output = render(Diagnostic("GD1", "m", at(1, column, column + 6)), {FILE: line})
    assert marked(output) == "planer"
    assert cells(output.split("\n")[2]) <= MAX_WIDTH + len(" 1 | ")


def test_a_long_mark_is_cut_with_its_line() -> None:
    output = render(Diagnostic("GD1", "m", at(1, 3, 500)), {FILE: "a " + "b" * 600}).split("\n")
    assert output[2].endswith("b...")
    assert len(output[3]) <= MAX_WIDTH + len(" 1 | ")


def test_empty_and_many_line_places_have_a_mark() -> None:
    assert render(Diagnostic("GD1", "m", at(1, 3, 3)), {FILE: "a:\n"}).endswith("\n   |   ^")
    place = Place(FILE, Position(1, 4), Position(3, 2))
    assert render(Diagnostic("GD1", "m", place), {FILE: "a: [1,\n2\n]\n"}).endswith(
        " 1 | a: [1,\n   |    ^^^"
    )


def test_lines_are_counted_as_yaml_does() -> None:
    output = render(Diagnostic("GD1", "m", at(3, 1, 2)), {FILE: "a\r\nb\rc\nd\u2028e"})
    assert " 3 | c\n" in output


def test_control_characters_do_not_reach_the_terminal() -> None:
    place = at(1, 4, 5, "f\x1b[31m")
    output = render(
        Diagnostic("GD1", "m\x1b[0m", place, label="\u202el", help="\x07"), {place.file: "a: \x1b[2Jb\u2066"}
    )
    assert all(c == "\n" or unicodedata.category(c) not in ("Cc", "Cf") for c in output)


def test_style_gets_every_part_by_its_role() -> None:
    roles: dict[str, list[str]] = {}

    def style(role: str, text: str) -> str:
        roles.setdefault(role, []).append(text)
        return f"<{text}>"

    related = (Related("r", at(1, 1, 2)),)
    output = render(
        Diagnostic("GD1", "m", at(1, 4, 5), label="l", help="h", related=related), {FILE: "a: b"}, style
    )
    assert set(roles) == {"error", "message", "place", "gutter", "caret", "related", "help"}
    assert roles["caret"] == ["^ l"]
    assert output.startswith("<error[GD1]> <m>")


def test_all_shows_errors_first_and_counts_the_rest() -> None:
    found = [Diagnostic("GD2", f"w{i}", severity="warning") for i in range(3)]
    found += [Diagnostic("GD1", f"e{i}") for i in range(22)]
    blocks = render_all(found, {}).split("\n\n")
    assert [block.split()[1] for block in blocks[:-1]] == [f"e{i}" for i in range(20)]
    assert blocks[-1] == "22 errors, 3 warnings (5 not shown)"
    assert render_all(found[:1] + found[3:4], {}).endswith("\n\n1 error, 1 warning")
    assert render_all([], {}) == "no problems"
    assert render_all(found, {}, limit=25).endswith("22 errors, 3 warnings")


def test_every_code_has_a_page_with_two_examples() -> None:
    assert list(CODES) == sorted(CODES)
    for code, page in CODES.items():
        assert page.title == page.title.strip()
        assert page.text.count("Refused:") == page.text.count("Accepted:") == 1, code
        prose = [line for line in page.text.split("\n") if not line.startswith("    ")]
        assert max(map(len, prose)) <= MAX_WIDTH
