"""The data that ship with the specs are what their README says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from gendsl.schema.components.source_media import Audio, Text, read_wave
from gendsl.schema.load import SHIPPED

FOLDER = SHIPPED / "data"


def test_the_vowels_are_what_their_program_writes(tmp_path: Path) -> None:
    found = importlib.util.spec_from_file_location("vowels", FOLDER / "vowels.py")
    assert found is not None
    assert found.loader is not None
    vowels = importlib.util.module_from_spec(found)
    found.loader.exec_module(vowels)
    vowels.main(str(tmp_path / "again.wav"))
    assert (tmp_path / "again.wav").read_bytes() == (FOLDER / "vowels.wav").read_bytes()
    assert read_wave(FOLDER / "vowels.wav").rate == 8000
    assert Audio(path="vowels.wav", length=384).facts(FOLDER).rows > 100


def test_every_file_has_its_licence_in_the_readme() -> None:
    readme = (FOLDER / "README.md").read_text("utf-8")
    for file in FOLDER.iterdir():
        assert file.name in ("README.md", "__pycache__") or f"| `{file.name}` |" in readme, file.name


def test_the_play_is_plain_text() -> None:
    text = Text(path="coriolanus.txt").read(FOLDER)
    assert text.isascii()
    assert len(text) > 59_000
