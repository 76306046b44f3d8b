"""The law of sources: what is loaded is what the facts announced, for every example of every source."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from gendsl.compiler.pipeline import analyse
from gendsl.data.loaded import load
from gendsl.data.memory import describe, gather
from gendsl.errors import DataError, UsageError
from gendsl.schema.components.source import Memory, Source, SourceFacts, SourceProblem, split_counts
from gendsl.schema.components.source_files import Idx, Npy, Npz
from gendsl.schema.components.source_generated import Digits, TwoMoons
from gendsl.schema.components.source_media import Audio, Images, Text
from gendsl.schema.components.source_tables import Csv
from gendsl.schema.load import load as load_spec
from gendsl.schema.registry import table

ROOT = Path(__file__).parents[2]
Make = Callable[[str], Path]
Write = Callable[[Path, np.ndarray], None]
SOURCES = {tag: model for tag, model in table("source").items() if tag not in ("memory", "parquet")}
EXAMPLES = [(tag, example) for tag, model in SOURCES.items() for example in model.examples]


@pytest.mark.parametrize(("tag", "example"), EXAMPLES, ids=str)
def test_what_is_loaded_is_what_the_facts_said(
    tag: str, example: Mapping[str, object], tmp_path: Path, make_files: Make
) -> None:
    make_files(tag)
    source = SOURCES[tag].model_validate(example)
    assert isinstance(source, Source)
    facts = source.facts(tmp_path)
    loaded = load(source, tmp_path)
    assert loaded.columns.keys() == facts.columns.keys()
    for name, column in facts.columns.items():
        array = loaded.columns[name]
        assert (array.dtype.name, array.shape) == (column.dtype, (facts.rows, *column.shape))
        assert column.ragged or not (column.support.integer and array.dtype.kind == "f")
        assert np.nanmin(array) >= column.support.low
        assert np.nanmax(array) <= column.support.high
        assert np.isnan(array).any() == column.missing if array.dtype.kind == "f" else not column.missing
        assert len(np.unique(array)) > 1
        if column.names:
            assert len(column.names) == column.levels
    again = load(source, tmp_path)
    assert all(
        np.array_equal(again.columns[n], a, equal_nan=a.dtype.kind == "f") for n, a in loaded.columns.items()
    )


@pytest.mark.parametrize("tag", [tag for tag in SOURCES if "n" in SOURCES[tag].model_fields])
def test_generated_clouds_have_every_label_and_depend_on_their_seed(tag: str, tmp_path: Path) -> None:
    first, second = (load(SOURCES[tag].model_validate({"n": 500, "seed": seed}), tmp_path) for seed in (0, 1))
    classes = SOURCES[tag].model_validate({}).facts(tmp_path).columns["label"].levels
    assert sorted(np.unique(first.columns["label"])) == list(range(classes))
    assert not np.allclose(first.columns["point"], second.columns["point"])
    inside = np.abs(first.columns["point"]).max()
    assert 1.0 < inside < 6.0


def test_digits_are_the_ones_announced(tmp_path: Path) -> None:
    facts = Digits().facts(tmp_path)
    assert facts.columns["image"].levels == 17
    loaded = load(Digits(), tmp_path)
    assert (loaded.columns["image"].min(), loaded.columns["image"].max()) == (0, 16)
    assert loaded.columns["label"][:5].tolist() == [0, 1, 2, 3, 4]


def test_idx_keeps_its_parts_and_values(tmp_path: Path, make_files: Make) -> None:
    make_files("idx")
    source = Idx(path="idx")
    assert source.facts(tmp_path).parts == {"train": 30, "test": 12}
    loaded = load(source, tmp_path)
    expected = np.random.default_rng(0).integers(0, 256, (30, 5, 6))
    assert np.array_equal(loaded.columns["image"][:30, 0], expected)
    assert loaded.parts == {"train": slice(0, 30), "test": slice(30, 42)}
    single = Idx(path="idx/t10k-images-idx3-ubyte")
    assert np.array_equal(load(single, tmp_path).columns["label"], loaded.columns["label"][30:])
    assert single.facts(tmp_path).parts is None


def test_idx_reads_big_endian_numbers(tmp_path: Path, write_idx: Write) -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7
    write_idx(tmp_path / "a.idx", values)
    assert np.array_equal(load(Idx(path="a.idx"), tmp_path).columns["image"], values)


def test_idx_finds_a_data_set_by_name_beside_the_spec(tmp_path: Path, make_files: Make) -> None:
    make_files("idx")
    (tmp_path / "idx").rename(tmp_path / "fashion-mnist")
    assert Idx(name="fashion_mnist").facts(tmp_path).rows == 42


def test_npz_with_parts_named_in_its_arrays(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    arrays = {
        f"x_{part}": draw.integers(0, 9, (rows, 2))
        for part, rows in (("test", 3), ("train", 8), ("valid", 2))
    }
    np.savez(tmp_path / "a.npz", **arrays)
    source = Npz.model_validate({"path": "a.npz", "columns": {"x": {"low": 0, "high": 8}}})
    assert source.facts(tmp_path).parts == {"train": 8, "valid": 2, "test": 3}
    column = load(source, tmp_path).columns["x"]
    assert np.array_equal(column, np.concatenate([arrays["x_train"], arrays["x_valid"], arrays["x_test"]]))


def test_rows_of_their_own_length_are_cut_by_offsets(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frames = {
        part: draw.integers(0, 2, (rows, 4), dtype=np.uint8) for part, rows in (("train", 9), ("test", 5))
    }
    places = {"train": np.array([0, 3, 4, 9]), "test": np.array([0, 5])}
    arrays = {f"{p}_frames": a for p, a in frames.items()} | {f"{p}_offsets": a for p, a in places.items()}
    np.savez(tmp_path / "a.npz", **arrays)
    written = {"path": "a.npz", "columns": {"frames": {"offsets": "offsets", "high": 1}}}
    source = Npz.model_validate(written)
    facts = source.facts(tmp_path)
    assert facts.parts == {"train": 3, "test": 1}
    assert facts.columns["frames"].ragged
    assert str(facts.columns["frames"].support) == "{0, 1}"
    rows = load(source, tmp_path).columns["frames"]
    assert rows.shape == (4, 5, 4)
    for row, (part, start, stop) in zip(
        rows, [("train", 0, 3), ("train", 3, 4), ("train", 4, 9), ("test", 0, 5)], strict=True
    ):
        assert np.array_equal(row[: stop - start], frames[part][start:stop])
        assert np.isnan(row[stop - start :]).all()
    np.savez(tmp_path / "a.npz", **{**arrays, "test_offsets": np.array([0, 4])})
    with pytest.raises(SourceProblem, match="must go up from 0 to the 5 entries"):
        source.facts(tmp_path)
    with pytest.raises(SourceProblem, match="no array 'places'"):
        Npz.model_validate({**written, "columns": {"frames": {"offsets": "places"}}}).facts(tmp_path)


def test_a_running_text_is_cut_into_parts_in_its_order(tmp_path: Path) -> None:
    content = "".join(chr(ord("a") + i % 26) for i in range(103))
    (tmp_path / "text.txt").write_text(content, encoding="utf-8")
    source = Text(path="text.txt", length=6, stride=4, parts={"test": 0.2, "train": 0.8})
    facts, loaded = source.facts(tmp_path), load(source, tmp_path)
    assert facts.parts == {"train": 20, "test": 3}
    assert loaded.parts == {"train": slice(0, 20), "test": slice(20, 23)}
    names = facts.columns["text"].names
    words = ["".join(names[i] for i in row) for row in loaded.columns["text"]]
    assert words[:20] == [content[i : i + 6] for i in range(0, 77, 4)]  # 82 characters
    assert words[20:] == [content[i : i + 6] for i in (82, 88, 94)]
    for parts in ({"test": 0.2}, {"train": 0.9, "test": 0.2}):
        with pytest.raises(SourceProblem, match="the shares must name train"):
            Text(path="text.txt", length=6, parts=parts).facts(tmp_path)
    with pytest.raises(SourceProblem, match="use split for lines"):
        Text(path="text.txt", length=6, lines=True, parts={"train": 0.9}).facts(tmp_path)


def test_images_with_channels_last_become_channels_first(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=colour)
    assert np.array_equal(load(Npz(path="a.npz"), tmp_path).columns["x"], colour.transpose(0, 3, 1, 2))


def test_csv_tells_integers_reals_words_and_missing_cells(tmp_path: Path, make_files: Make) -> None:
    make_files("csv")
    facts = Csv(path="table.csv").facts(tmp_path)
    assert facts.columns["size"].missing
    assert facts.columns["kind"].names == ("?", "cat", "dog", "emu")
    assert str(facts.columns["count"].support) == "{-1, ..., 7}"
    loaded = load(Csv(path="table.csv"), tmp_path).columns
    np.testing.assert_allclose(
        loaded["row"], [[1.5, 3, 0], [np.nan, 4, 1], [2, -1, 1], [-0.25, 7, 0], [1e-3, 5, 1]]
    )
    assert loaded["kind"].tolist() == [1, 2, 1, 0, 3]
    chosen = Csv.model_validate({"path": "table.csv", "columns": {"count": {}, "flag": {"classes": 2}}})
    assert chosen.facts(tmp_path).columns["flag"].labels
    assert load(chosen, tmp_path).columns["row"].tolist() == [[3], [4], [-1], [7], [5]]


def test_text_windows_and_lines_spell_the_text(tmp_path: Path, make_files: Make) -> None:
    make_files("text")
    content = (tmp_path / "text.txt").read_text(encoding="utf-8")
    windows = Text(path="text.txt", length=10, stride=5)
    names = windows.facts(tmp_path).columns["text"].names
    rows = load(windows, tmp_path).columns["text"]
    assert "".join(names[i] for i in rows[3]) == content[15:25]
    lines = Text(path="text.txt", length=12, lines=True)
    names = lines.facts(tmp_path).columns["text"].names
    rows = load(lines, tmp_path).columns["text"]
    assert "".join(names[i] for i in rows[1]) == "jumps over\0\0"


def test_text_fields_share_one_alphabet(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("abc\tcba\nxy\tyx\n", encoding="utf-8")
    source = Text(path="pairs.tsv", length=4, lines=True, fields=("source", "target"))
    facts = source.facts(tmp_path)
    assert facts.columns["source"].names == facts.columns["target"].names == ("\0", "a", "b", "c", "x", "y")
    loaded = load(source, tmp_path).columns
    assert loaded["source"].tolist() == [[1, 2, 3, 0], [4, 5, 0, 0]]
    assert loaded["target"].tolist() == [[3, 2, 1, 0], [5, 4, 0, 0]]


def test_bytes_keep_their_value(tmp_path: Path) -> None:
    (tmp_path / "b.bin").write_bytes(bytes(range(256)))
    source = Text(path="b.bin", unit="bytes", length=64)
    assert np.array_equal(load(source, tmp_path).columns["text"].ravel(), np.arange(256))


def test_audio_windows_average_channels_and_pad_with_silence(tmp_path: Path, write_wave: Write) -> None:
    samples = np.array([[100, 201], [-3, -4], [7, 7]], np.int16)
    write_wave(tmp_path / "a.wav", samples)
    assert load(Audio(path="a.wav", length=5), tmp_path).columns["wave"].tolist() == [[150, -4, 7, 0, 0]]
    write_wave(tmp_path / "b.wav", np.array([1, 2, 3, 4, 5], np.uint8))
    windows = load(Audio(path="b.wav", length=3, stride=2), tmp_path).columns["wave"]
    assert windows.tolist() == [[1, 2, 3], [3, 4, 5]]


def test_memory_describes_and_gathers_arrays(tmp_path: Path) -> None:
    arrays = {"x": np.linspace(0, 1, 12).reshape(6, 2), "y": np.array([0, 2, 1, 0, 1, 2])}
    source = describe(arrays)
    facts = source.facts(tmp_path)
    assert facts.rows == 6
    assert (facts.columns["y"].levels, facts.columns["y"].labels) == (3, True)
    assert facts.columns["x"].shape == (2,)
    assert np.array_equal(gather(source, arrays).columns["x"], arrays["x"])
    with pytest.raises(DataError, match="no array for the column 'y'"):
        gather(source, {"x": arrays["x"]})
    with pytest.raises(DataError, match="do not fit"):
        gather(source, {"x": arrays["x"], "y": arrays["y"] + 0.5})
    with pytest.raises(UsageError, match="pass the arrays"):
        load(source, tmp_path)


@pytest.mark.parametrize(
    ("source", "field", "message"),
    [
        (Idx(path="nowhere"), "path", "no such file or folder: nowhere"),
        (Idx(), "path", "idx needs a path"),
        (Idx(name="mnist"), "name", "mnist is not installed"),
        (Idx(path="table.csv"), "path", "not an idx file"),
        (Npz(path="table.csv"), "path", "not an npz file"),
        (Npy(path="table.csv"), "path", "not a npy array"),
        (Npy(path="words.npy"), "path", "not numbers"),
        (Npz.model_validate({"path": "ragged.npz"}), "columns", "'a' has 3, 'b' has 4"),
        (Npz.model_validate({"path": "ragged.npz", "columns": {"c": {}}}), "columns", "no array 'c'"),
        (Csv(path="ragged.csv"), "path", "row 2 has 3 cells, expected 2"),
        (Csv.model_validate({"path": "table.csv", "columns": {"kid": {}}}), "columns", "no column 'kid'"),
        (Csv.model_validate({"path": "table.csv", "columns": {"size": {"classes": 3}}}), "columns", "labels"),
        (Text(path="table.csv", length=5000), "length", "shorter than one window"),
        (Images(path="."), "path", "no images"),
        (Audio(path="table.csv"), "path", "not a wav file"),
        (Memory(), "columns", "not known"),
        (Npy(path="empty.npy"), "path", "no rows"),
        (Npz(path="empty.npz"), "path", "no rows"),
        (Csv(path="empty.csv"), "path", "no rows"),
        (Csv(path="headless.csv"), "path", "names no columns"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_problems_are_told_at_their_field(
    source: Source, field: str, message: str, tmp_path: Path, make_files: Make
) -> None:
    make_files("csv")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n1,2,3\n", encoding="utf-8")
    (tmp_path / "empty.csv").write_text("a,b\n", encoding="utf-8")
    (tmp_path / "headless.csv").write_text("0.5,1\n1.5,2\n", encoding="utf-8")
    np.save(tmp_path / "empty.npy", np.zeros((0, 2)))
    np.savez(tmp_path / "empty.npz", a=np.zeros((0, 2)))
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    np.savez(tmp_path / "ragged.npz", a=np.zeros(3), b=np.zeros(4))
    with pytest.raises(SourceProblem, match=message) as caught:
        source.facts(tmp_path)
    assert caught.value.field == field


def test_data_that_break_the_promise_of_their_header_are_refused(tmp_path: Path, make_files: Make) -> None:
    make_files("idx")
    with pytest.raises(DataError, match="outside"):
        load(Idx(path="idx", classes=3), tmp_path)
    images = tmp_path / "idx" / "t10k-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(DataError, match="360 bytes"):
        load(Idx(path="idx"), tmp_path)


def test_damaged_archives_are_told_apart_from_absent_ones(tmp_path: Path, make_files: Make) -> None:
    make_files("idx")
    images = tmp_path / "idx" / "train-images-idx3-ubyte.gz"
    content = bytearray(images.read_bytes())
    content[len(content) // 2] ^= 0xFF
    images.write_bytes(bytes(content))
    with pytest.raises((DataError, SourceProblem), match="cannot be read"):
        load(Idx(path="idx"), tmp_path)


def test_pickled_objects_are_never_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(SourceProblem, match="not numbers"):
        Npy(path="a.npy").facts(tmp_path)


@pytest.mark.parametrize(
    ("rows", "parts", "split", "valid", "expected"),
    [
        (1797, None, {}, False, {"train": 1437, "test": 360}),
        (1797, None, {}, True, {"train": 1294, "valid": 143, "test": 360}),
        (10, None, {"train": 0.7, "valid": 0.1, "test": 0.2}, True, {"train": 7, "valid": 1, "test": 2}),
        (10, None, {"train": 1.0}, False, {"train": 10}),
        (10, None, {"valid": 0.25}, False, {"train": 6, "valid": 2, "test": 2}),
        (90, {"train": 60, "test": 30}, {}, False, {"train": 60, "test": 30}),
        (90, {"train": 60, "test": 30}, {}, True, {"train": 54, "valid": 6, "test": 30}),
        (90, {"train": 60, "valid": 10, "test": 20}, {}, True, {"train": 60, "valid": 10, "test": 20}),
        (90, {"train": 60, "test": 30}, {"train": 0.5, "test": 0.5}, False, {"train": 45, "test": 45}),
    ],
)
def test_split_counts(
    rows: int, parts: dict[str, int] | None, split: dict[str, float], valid: bool, expected: dict[str, int]
) -> None:
    assert split_counts(SourceFacts({}, rows, parts), split, valid) == expected


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"train": 0.9, "test": 0.2}, "add up to 1.1"),
        ({"test": 0.2}, "'train' is missing"),
        ({"train": 0.8, "dev": 0.1}, "unknown part 'dev'"),
        ({"train": 1.5}, "not a fraction"),
        ({"train": 0.99, "test": 0.001}, "no rows"),
    ],
)
def test_splits_that_cannot_be_cut(split: dict[str, float], message: str) -> None:
    with pytest.raises(SourceProblem, match=message) as caught:
        split_counts(SourceFacts({}, 100), split)
    assert caught.value.field == "split"


@pytest.mark.slow
def test_facts_import_no_heavy_library() -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from gendsl.schema.components.source_generated import Digits, TwoMoons\n"
        "import gendsl.schema.components.source, gendsl.schema.components.step\n"
        "Digits().facts(Path('.')); TwoMoons().facts(Path('.'))\n"
        "heavy = {'torch', 'numpy', 'sklearn', 'scipy', 'matplotlib', 'PIL'} & sys.modules.keys()\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_source_is_the_same_after_a_round_trip_through_its_fields() -> None:
    source = TwoMoons(n=50, noise=0.3)
    fields = source.model_dump()
    assert fields.pop("type") == "two_moons"
    assert TwoMoons.model_validate(fields) == source


def test_digits_are_scikit_learns(tmp_path: Path) -> None:
    """Its file is read without it; its own function reads the same."""
    from sklearn.datasets import load_digits as bundled

    pixels, labels = bundled(return_X_y=True)
    loaded = load(Digits(), tmp_path)
    assert np.array_equal(loaded.columns["image"].reshape(-1, 64), pixels)
    assert np.array_equal(loaded.columns["label"], labels)


def test_a_header_does_not_tell_whether_entries_are_missing(tmp_path: Path) -> None:
    """So `missing: true` is not called needless; columns of whole numbers are complete."""
    np.savez(tmp_path / "some.npz", a=np.array([[0.5], [np.nan]]), b=np.array([1, 2]))
    columns = Npz(path="some.npz").facts(tmp_path).columns
    assert {name: column.unseen for name, column in columns.items()} == {"a": True, "b": False}
    text = (
        "gendsl: 1\ndata: {source: npz, path: some.npz, bind: {x: COLUMN}}\nvariables: {x: {missing: true}}\n"
    )
    for column, notes in (("a", 0), ("b", 1)):
        (tmp_path / "spec.yaml").write_text(
            text.replace("COLUMN", column) + "decoder: {x: {dist: normal}}\n", encoding="utf-8"
        )
        found = analyse(load_spec(tmp_path / "spec.yaml"))
        assert len([n for n in found.notes if "changes nothing" in n.message]) == notes
