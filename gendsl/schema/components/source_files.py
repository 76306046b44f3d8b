"""Sources that are arrays in files: idx (the format of MNIST), npy and npz. Only headers are read here."""

import gzip
import itertools
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Annotated, Literal, cast

from pydantic import Field

from gendsl.schema.components.source_base import (
    PARTS,
    Column,
    Declared,
    Source,
    SourceFacts,
    SourceProblem,
    dtype_support,
    find,
    label_column,
)
from gendsl.schema.facts import Shape
from gendsl.schema.registry import component

IDX_TYPES = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
MNIST_FILES = {"train": "train", "test": "t10k"}
USUAL_PLACES = {
    "fashion_mnist": (
        "fashion-mnist",
        "data/fashion-mnist",
        "data/FashionMNIST/raw",
        "/usr/share/datasets/fashion-mnist",
        "~/data/fashion-mnist",
        "~/data/FashionMNIST/raw",
    ),
    "mnist": (
        "mnist",
        "data/mnist",
        "data/MNIST/raw",
        "/usr/share/datasets/mnist",
        "~/data/mnist",
        "~/data/MNIST/raw",
    ),
}


def image_shape(dtype: str, shape: Shape) -> Shape:
    """The shape of one row as gendsl lays it out: uint8 [H, W] and [H, W, 1 | 3 | 4] become [C, H, W].

    Arrays of other types, and uint8 arrays of other shapes, stay as they are.
    """
    if dtype == "uint8" and len(shape) == 2:
        return (1, *shape)
    if dtype == "uint8" and len(shape) == 3 and shape[2] in (1, 3, 4) and shape[0] not in (1, 3, 4):
        return (shape[2], shape[0], shape[1])
    return shape


@dataclass(frozen=True)
class Header:
    """numpy's name of the element type, and the whole shape, rows first."""

    dtype: str
    shape: Shape


def read_idx_header(path: Path) -> Header:
    """The header of an idx file, gzipped or not. Raises SourceProblem at `path` where it is none."""
    try:
        with open_idx(path) as file:
            start = file.read(4)
            if len(start) != 4 or start[:2] != b"\0\0" or start[2] not in IDX_TYPES or not start[3]:
                raise SourceProblem(
                    "path", f"{path.name} is not an idx file: it begins with {start.hex() or 'nothing'}"
                )
            sizes = file.read(4 * start[3])
    except (OSError, EOFError, zlib.error) as error:
        raise SourceProblem("path", f"{path.name} cannot be read: {error}") from error
    if len(sizes) != 4 * start[3]:
        raise SourceProblem("path", f"{path.name} ends within its header")
    return Header(IDX_TYPES[start[2]], struct.unpack(f">{start[3]}I", sizes))


def open_idx(path: Path) -> IO[bytes]:
    """The file, unpacked if it is gzipped (told by its first bytes, not its name)."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb")


@dataclass(frozen=True)
class IdxFiles:
    """Where the images of one part are, and its labels, if any."""

    images: Path
    labels: Path | None


@component("source", "idx", build="gendsl.data.idx:load_idx")
class Idx(Source):
    """Images in the format of MNIST: a folder with train and t10k files, or one file of images."""

    path: str | None = None
    """A folder (train-images-idx3-ubyte and so on, gzipped or not), or one file of images."""
    labels: str | None = None
    """The file of labels beside a single file of images; found by its name (images -> labels) by default."""
    name: Literal["fashion_mnist", "mnist"] | None = None
    """A well-known data set, found in the usual places instead of at `path`."""
    classes: Annotated[int, Field(ge=2)] = 10
    examples = ({"path": "idx"},)

    def facts(self, base: Path) -> SourceFacts:
        """Headers: `image` [1, H, W], and `label` where there are labels."""
        files = self.files(base)
        headers = {part: read_idx_header(pair.images) for part, pair in files.items()}
        first = next(iter(headers.values()))
        if len(first.shape) < 2:
            raise SourceProblem("path", "the file holds labels, not images", "give the file of images")
        for part, pair in files.items():
            if (headers[part].dtype, headers[part].shape[1:]) != (first.dtype, first.shape[1:]):
                raise SourceProblem("path", f"the images of {part} differ in type or size from the others")
            if pair.labels is not None and read_idx_header(pair.labels).shape != headers[part].shape[:1]:
                raise SourceProblem("labels", f"{pair.labels.name} does not hold one label for each image")
        shape = image_shape(first.dtype, first.shape[1:])
        columns = {"image": Column(first.dtype, shape, dtype_support(first.dtype))}
        if all(pair.labels is not None for pair in files.values()):
            columns["label"] = label_column(self.classes)
        rows = {part: header.shape[0] for part, header in headers.items()}
        if not all(rows.values()):
            raise SourceProblem("path", "the file has no images")
        return SourceFacts(columns, sum(rows.values()), parts=rows if "train" in rows else None)

    def files(self, base: Path) -> dict[str, IdxFiles]:
        """The files of train and test, or of one part "all". Raises SourceProblem where there are none."""
        root = self._root(base)
        if root.is_file():
            if self.labels is not None:
                return {"all": IdxFiles(root, find(base, self.labels, "labels"))}
            beside = root.with_name(root.name.replace("images", "labels").replace("idx3", "idx1"))
            return {"all": IdxFiles(root, beside if beside != root and beside.is_file() else None)}
        found: dict[str, IdxFiles] = {}
        for part, prefix in MNIST_FILES.items():
            images, labels = _one_of(root, f"{prefix}-images", 3), _one_of(root, f"{prefix}-labels", 1)
            if images is not None:
                found[part] = IdxFiles(images, labels)
        if "train" not in found:
            raise SourceProblem("path", f"no train-images-idx3-ubyte, gzipped or not, in {root}")
        return found

    def _root(self, base: Path) -> Path:
        if self.path is not None:
            return find(base, self.path)
        if self.name is None:
            raise SourceProblem("path", "idx needs a path, or a name", "for example name: fashion_mnist")
        places = [base / Path(place).expanduser() for place in USUAL_PLACES[self.name]]
        for place in places:
            if _one_of(place, "train-images", 3) is not None:
                return place
        looked = ", ".join(str(place) for place in places)
        raise SourceProblem(
            "name", f"{self.name} is not installed", f"looked in {looked}; give its folder as path"
        )


def _one_of(folder: Path, stem: str, dims: int) -> Path | None:
    names = [f"{stem}{mark}idx{dims}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


@component("source", "npy", build="gendsl.data.npz:load_npy")
class Npy(Source):
    """One array in numpy's .npy format, rows first: the column `row`."""

    path: str
    columns: dict[str, Declared] = Field(default={})
    """Facts of `row` that the header does not tell: `{row: {classes: 10}}`."""
    examples = ({"path": "points.npy"},)

    def facts(self, base: Path) -> SourceFacts:
        """The header, read with numpy.lib.format."""
        with find(base, self.path).open("rb") as file:
            header = read_npy_header(file, self.path)
        return array_facts({"row": header}, self.columns)


@component("source", "npz", build="gendsl.data.npz:load_npz")
class Npz(Source):
    """Arrays in numpy's .npz format: every array is a column.

    Arrays named `x_train`, `x_valid`, `x_test` (or `train_x`, ...) make one column `x` with parts of its own. With
    `columns: {x: {offsets: o}}` row i of `x` is x[o[i]:o[i + 1]], of its own length; T is that of the longest.
    """

    path: str
    columns: dict[str, Declared] = Field(default={})
    """If given, only these columns are read; with what headers do not tell (`{y: {classes: 10}, x: {}}`)."""
    examples = (
        {"path": "arrays.npz"},
        {"path": "ragged.npz", "columns": {"x": {"offsets": "o", "high": 1}}},
    )

    def facts(self, base: Path) -> SourceFacts:
        """The headers inside the archive, read with numpy.lib.format."""
        headers = self.headers(base)
        arrays = self.arrays(headers)
        lengths = {name: self.lengths(base, name, of, headers) for name, of in arrays.items()}
        for name, of in arrays.items():
            for part, array in of.items() if lengths[name] else ():
                long = max(max(each, default=0) for each in lengths[name].values())
                shape = (len(lengths[name][part]), long, *headers[array].shape[1:])
                headers[array] = Header(headers[array].dtype, shape)
        sizes = {
            name: {part: headers[array].shape[0] for part, array in of.items()} for name, of in arrays.items()
        }
        rows = next(iter(sizes.values()))
        for name, counts in sizes.items():
            if counts != rows:
                first = next(iter(sizes))
                raise SourceProblem(
                    "columns",
                    f"arrays differ in rows: {first!r} has {_rows(rows)}, {name!r} has {_rows(counts)}",
                    "name under columns: those that belong together",
                )
        joined = {}
        for name, of in arrays.items():
            kinds = {(headers[array].dtype, headers[array].shape[1:]) for array in of.values()}
            if len(kinds) > 1:
                raise SourceProblem("path", f"the parts of {name!r} differ in type or shape")
            dtype, shape = kinds.pop()
            joined[name] = Header(dtype, (sum(rows.values()), *shape))
        cut = [name for name, of in lengths.items() if of]
        facts = array_facts(joined, self._plain(), None if "all" in rows else rows, rowwise=cut)
        ragged = {
            name: replace(column, dtype="float32", missing=True, ragged=True) if name in cut else column
            for name, column in facts.columns.items()
        }
        return replace(facts, columns=ragged)

    def _plain(self) -> dict[str, Declared]:
        """What is declared of each column, but for how its rows are cut."""
        return {
            name: declared.model_copy(update={"offsets": None}) for name, declared in self.columns.items()
        }

    def lengths(
        self, base: Path, name: str, of: Mapping[str, str], headers: Mapping[str, Header]
    ) -> dict[str, tuple[int, ...]]:
        """How long each row of a column is, in every part; empty where rows are not cut by offsets."""
        offsets = self.columns[name].offsets if name in self.columns else None
        if offsets is None:
            return {}
        split, whole = split_arrays(headers), {"all": offsets}
        own = whole if "all" in of else split.get(offsets, {})
        found = {}
        for part, array in of.items():
            if own.get(part) not in headers:
                raise SourceProblem("columns", f"no array {offsets!r} for the part {part} of {name!r}")
            places = read_places(find(base, self.path), own[part])
            steps = tuple(b - a for a, b in itertools.pairwise(places))
            if not steps or min(steps) < 1 or places[0] != 0 or places[-1] != headers[array].shape[0]:
                raise SourceProblem(
                    "columns",
                    f"{own[part]} must go up from 0 to the {headers[array].shape[0]} entries of {array}",
                )
            found[part] = steps
        return found

    def headers(self, base: Path) -> dict[str, Header]:
        """The header of every array of the archive."""
        path = find(base, self.path)
        try:
            with zipfile.ZipFile(path) as archive:
                found = {}
                for member in archive.namelist():
                    with archive.open(member) as file:
                        found[member.removesuffix(".npy")] = read_npy_header(file, f"{self.path}:{member}")
        except (zipfile.BadZipFile, OSError, EOFError, zlib.error) as error:
            raise SourceProblem("path", f"{self.path} is not an npz file: {error}") from error
        return found

    def arrays(self, headers: Mapping[str, Header]) -> dict[str, dict[str, str]]:
        """Column -> part -> name of the array; the one part is "all" where the names tell no parts."""
        split = split_arrays(headers)
        whole = {name: {"all": name} for name in headers}
        wanted = tuple(self.columns) or tuple(split or whole)
        for name in wanted:
            if name not in split and name not in whole:
                raise SourceProblem(
                    "columns", f"no array {name!r} in {self.path}", f"it holds {', '.join(headers)}"
                )
        if not wanted:
            raise SourceProblem("path", f"{self.path} holds no arrays")
        return {name: split[name] if name in split else whole[name] for name in wanted}


def split_arrays(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Column -> part -> name, of names that end or begin with train, valid or test."""
    split: dict[str, dict[str, str]] = {}
    for name in names:
        stem, _, part = name.rpartition("_")
        if part not in PARTS:
            part, _, stem = name.partition("_")
        if stem and part in PARTS:
            split.setdefault(stem, {})[part] = name
    return {stem: {p: of[p] for p in PARTS if p in of} for stem, of in split.items() if "train" in of}


def read_places(path: Path, array: str) -> tuple[int, ...]:
    """An array [N + 1] of integers of an archive. Raises SourceProblem for another."""
    from numpy.lib import format as npy

    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{array}.npy") as file:
            found = npy.read_array(file, allow_pickle=False)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise SourceProblem("path", f"{array} cannot be read: {error}") from error
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise SourceProblem("columns", f"{array} holds no places: it must be a row of integers")
    return tuple(int(place) for place in found)


def read_npy_header(file: IO[bytes], name: str) -> Header:
    """The header of one .npy stream. Raises SourceProblem for other content, pickled objects and scalars."""
    from numpy.lib import format as npy

    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
    except ValueError as error:
        raise SourceProblem("path", f"{name} is not a npy array: {error}") from error
    if dtype.kind not in "biuf":
        raise SourceProblem("path", f"{name} holds {dtype.name} values, not numbers")
    if not shape:
        raise SourceProblem("path", f"{name} is a single number, not rows")
    return Header(dtype.name, tuple(int(size) for size in shape))


def array_facts(
    headers: Mapping[str, Header],
    declared: Mapping[str, Declared],
    parts: Mapping[str, int] | None = None,
    *,
    rowwise: Sequence[str] = (),
) -> SourceFacts:
    """Facts of arrays, rows first, refined by what is declared; `rowwise`: those that are no images in any case.

    Raises SourceProblem at `columns`, and where there are no rows.
    """
    for name in declared:
        if name not in headers:
            raise SourceProblem("columns", f"no column {name!r}", f"there is {', '.join(headers)}")
    columns = {}
    for name, header in headers.items():
        shape = header.shape[1:]
        shape = shape if name in rowwise else image_shape(header.dtype, shape)
        unseen = header.dtype.startswith("float")
        column = Column(header.dtype, shape, dtype_support(header.dtype), unseen=unseen)
        columns[name] = declared[name].refine(name, column) if name in declared else column
    rows = next(iter(headers.values())).shape[0]
    if not rows:
        raise SourceProblem("path", "the arrays have no rows")
    return SourceFacts(columns, rows, parts)


def _rows(of: Mapping[str, int]) -> str:
    return " + ".join(str(rows) for rows in of.values())
