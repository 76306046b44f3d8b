"""Sources of text, images and audio. A text is read once for its alphabet; the others have headers."""

import importlib
import math
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from gendsl.schema.components.source_base import (
    PARTS,
    Column,
    Source,
    SourceFacts,
    SourceProblem,
    dtype_support,
    find,
    label_column,
)
from gendsl.schema.facts import categories
from gendsl.schema.fields import Fraction
from gendsl.schema.registry import component

IMAGE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})
WIDTHS = {1: "uint8", 2: "int16"}
Length = Annotated[int, Field(ge=1)]


@component("source", "text", build="gendsl.data.text:load_text")
class Text(Source):
    """A text as integers, in windows of `length` or line by line.

    Characters are numbered in the order of their code points; 0 is the padding of short lines. Bytes keep
    their value. With `lines`, tab-separated `fields` become one column each, over one alphabet.
    """

    path: str
    unit: Literal["characters", "bytes"] = "characters"
    length: Length = 128
    stride: Length | None = None
    """Steps from one window to the next; `length` if not given, so that windows do not overlap."""
    lines: bool = False
    """Every line is one row, cut to `length` or ended and padded with 0."""
    fields: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = ("text",)
    parts: dict[Literal["train", "valid", "test"], Fraction] | None = None
    """Shares of the text in its order, cut before the windows: `{train: 0.9, test: 0.1}`. The windows of valid and test
    do not overlap."""
    examples = (
        {"path": "text.txt", "length": 16},
        {"path": "text.txt", "length": 12, "lines": True},
        {"path": "text.txt", "length": 8, "stride": 2, "parts": {"train": 0.7, "test": 0.3}},
    )

    def facts(self, base: Path) -> SourceFacts:
        """Each field: integers [length], labels; alphabet and rows come from reading the text once."""
        units = self.read(base)
        if len(self.fields) > 1 and not self.lines:
            raise SourceProblem("fields", "fields need lines: true")
        if self.parts is not None and self.lines:
            raise SourceProblem("parts", "parts are cut out of a running text; use split for lines")
        names = self.alphabet(units)
        end = 0 if self.lines else None
        column = Column("int64", (self.length,), categories(len(names)), labels=True, names=names, end=end)
        columns = dict.fromkeys(self.fields, column)
        if self.lines:
            return SourceFacts(columns, self._enough(sum(1 for line in units.split("\n") if line)))
        starts = self.starts(len(units))
        rows = {part: self._enough(len(found)) for part, found in starts.items()}
        return SourceFacts(columns, sum(rows.values()), None if self.parts is None else rows)

    def _enough(self, rows: int) -> int:
        if rows < 1:
            what = self.path if self.parts is None else f"a part of {self.path}"
            raise SourceProblem("length", f"{what} is shorter than one window of {self.length}")
        return rows

    def starts(self, size: int) -> dict[str, range]:
        """Where the windows of each part begin in a text of `size` units; without parts, of "all"."""
        if self.parts is None:
            return {"all": range(0, size - self.length + 1, self.stride or self.length)}
        if "train" not in self.parts or sum(self.parts.values()) > 1 + 1e-9:
            raise SourceProblem("parts", "the shares must name train and add up to at most 1")
        found: dict[str, range] = {}
        before, share = 0, 0.0
        for part, own in sorted(self.parts.items(), key=lambda item: PARTS.index(item[0])):
            share += own
            end = math.floor(share * size + 1e-6)
            step = (self.stride or self.length) if part == "train" else self.length
            found[part] = range(before, end - self.length + 1, step)
            before = end
        return found

    def read(self, base: Path) -> str:
        """The text with line ends as \\n; for bytes, one character (code points 0 to 255) for each."""
        try:
            content = find(base, self.path).read_bytes()
            text = content.decode("utf-8" if self.unit == "characters" else "latin-1")
        except (OSError, UnicodeDecodeError) as error:
            raise SourceProblem(
                "path", f"{self.path} cannot be read as text: {error}", "try unit: bytes"
            ) from error
        return text.replace("\r\n", "\n") if self.unit == "characters" or self.lines else text

    def alphabet(self, units: str) -> tuple[str, ...]:
        """The symbol of every integer."""
        if self.unit == "bytes":
            return tuple(chr(value) for value in range(256))
        seen = set(units) - ({"\n", "\t"} if len(self.fields) > 1 else {"\n"} if self.lines else set())
        return ("\0", *sorted(seen - {"\0"})) if self.lines else tuple(sorted(seen))


@component("source", "images", build="gendsl.data.images:load_images")
class Images(Source):
    """A folder of images of one size (needs pillow): `image` uint8 [C, H, W], `label` the name of its folder.

    Sub-folders train, valid and test, with or without folders of labels in them, are parts of their own.
    """

    path: str
    size: Annotated[tuple[Length, Length], Field(strict=False)] | None = None
    """Height and width that every image is resized to. If not given, all must have the first image's."""
    channels: Literal[1, 3] | None = None
    """1 for grey, 3 for colour; as the first image if not given."""
    examples = ({"path": "images"}, {"path": "images", "size": [6, 5], "channels": 3})

    def facts(self, base: Path) -> SourceFacts:
        """The names of the files and the header of the first image."""
        files = self.files(base)
        height, width, channels = self.layout(files[0])
        columns = {"image": Column("uint8", (channels, height, width), dtype_support("uint8"))}
        names = tuple(sorted({file.label for file in files}))
        if len(names) > 1:
            columns["label"] = label_column(len(names), names)
        parts = {part: sum(file.part == part for file in files) for part in PARTS}
        own = {part: rows for part, rows in parts.items() if rows} if files[0].part else None
        return SourceFacts(columns, len(files), own)

    def files(self, base: Path) -> list["Labelled"]:
        """Every image, parts in the order train, valid, test, then by name."""
        found = labelled_files(find(base, self.path), IMAGE_ENDINGS)
        if not found:
            raise SourceProblem("path", f"no images in {self.path}")
        return found

    def layout(self, first: "Labelled") -> tuple[int, int, int]:
        """Height, width and channels of every row."""
        pillow = import_pillow()
        try:
            with pillow.open(first.path) as image:
                (width, height), mode = image.size, image.mode
        except OSError as error:
            raise SourceProblem("path", f"{first.path.name} cannot be read: {error}") from error
        height, width = self.size or (height, width)
        return height, width, self.channels or (1 if mode in ("1", "L", "LA", "I;16") else 3)


@component("source", "audio", build="gendsl.data.audio:load_audio")
class Audio(Source):
    """Windows of wav files (8 or 16 bits): `wave` integers [length] as stored, channels averaged.

    A file shorter than `length` is one window, padded with silence. `label` is the name of the sub-folder.
    """

    path: str
    length: Length = 4096
    stride: Length | None = None
    """Steps from one window to the next; `length` if not given, so that windows do not overlap."""
    examples = ({"path": "audio", "length": 50}, {"path": "audio", "length": 50, "stride": 20})

    def facts(self, base: Path) -> SourceFacts:
        """The header of every file."""
        files = self.files(base)
        formats = [read_wave(file.path) for file in files]
        if len({(f.width, f.rate) for f in formats}) > 1:
            raise SourceProblem("path", f"the files in {self.path} differ in sample width or rate")
        dtype = WIDTHS[formats[0].width]
        columns = {"wave": Column(dtype, (self.length,), dtype_support(dtype))}
        names = tuple(sorted({file.label for file in files}))
        if len(names) > 1:
            columns["label"] = label_column(len(names), names)
        counts = [self.windows(f.frames) for f in formats]
        own = None
        if files[0].part:
            each = zip(files, counts, strict=True)
            sums = dict.fromkeys(PARTS, 0)
            for file, count in each:
                sums[file.part] += count
            own = {part: rows for part, rows in sums.items() if rows}
        return SourceFacts(columns, sum(counts), own)

    def files(self, base: Path) -> list["Labelled"]:
        """Every wav file, parts in the order train, valid, test, then by name."""
        found = labelled_files(find(base, self.path), frozenset({".wav"}))
        if not found:
            raise SourceProblem("path", f"no wav files in {self.path}")
        return found

    def windows(self, frames: int) -> int:
        """How many windows a file of `frames` samples makes."""
        return max(1, (frames - self.length) // (self.stride or self.length) + 1)


@dataclass(frozen=True)
class Labelled:
    """A file with the part ("" if there are none) and the label ("" if none) that its folders name."""

    path: Path
    part: str
    label: str


def labelled_files(root: Path, endings: frozenset[str]) -> list["Labelled"]:
    """The files below `root`, or `root` itself, with what their first folders say."""
    if root.is_file():
        return [Labelled(root, "", "")]
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in endings and path.is_file())
    folders = [path.relative_to(root).parts[:-1] for path in paths]
    own = (
        bool(folders)
        and all(names and names[0] in PARTS for names in folders)
        and ("train",) in {names[:1] for names in folders}
    )
    found = []
    for path, names in zip(paths, folders, strict=True):
        part, rest = (names[0], names[1:]) if own else ("", names)
        found.append(Labelled(path, part, rest[0] if rest else ""))
    return sorted(found, key=lambda file: (PARTS.index(file.part) if file.part else 0, file.path))


@dataclass(frozen=True)
class WaveFormat:
    """The header of a wav file: frames, bytes of a sample, channels, samples per second."""

    frames: int
    width: int
    channels: int
    rate: int


def read_wave(path: Path) -> WaveFormat:
    """The header of one wav file. Raises SourceProblem for other files and for 24 and 32 bits."""
    try:
        with wave.open(str(path), "rb") as file:
            found = WaveFormat(
                file.getnframes(), file.getsampwidth(), file.getnchannels(), file.getframerate()
            )
    except (OSError, EOFError, wave.Error) as error:
        raise SourceProblem("path", f"{path.name} is not a wav file that can be read: {error}") from error
    if found.width not in WIDTHS:
        raise SourceProblem("path", f"{path.name} has {8 * found.width} bits a sample; 8 and 16 can be read")
    return found


def import_pillow() -> Any:
    """The module PIL.Image. Raises SourceProblem where pillow is not installed."""
    try:
        return importlib.import_module("PIL.Image")
    except ImportError as error:
        raise SourceProblem("source", "images needs pillow", "pip install 'gendsl[images]'") from error
