"""Files for the sources under test: one maker for each tag writes what the source's examples name."""

from __future__ import annotations

import gzip
import struct
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


def write_idx(path: Path, array: np.ndarray) -> None:
    """An idx file; gzipped if its name ends in gz."""
    codes = {"uint8": 8, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D}
    head = bytes([0, 0, codes[array.dtype.name], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content = head + array.astype(array.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def idx(base: Path) -> None:
    draw = np.random.default_rng(0)
    folder = base / "idx"
    folder.mkdir()
    for prefix, rows, end in (("train", 30, ".gz"), ("t10k", 12, "")):
        write_idx(
            folder / f"{prefix}-images-idx3-ubyte{end}", draw.integers(0, 256, (rows, 5, 6)).astype(np.uint8)
        )
        write_idx(folder / f"{prefix}-labels-idx1-ubyte{end}", draw.integers(0, 10, rows).astype(np.uint8))


def npy(base: Path) -> None:
    np.save(base / "points.npy", np.random.default_rng(1).standard_normal((20, 3)).astype(np.float32))


def npz(base: Path) -> None:
    draw = np.random.default_rng(2)
    np.savez(
        base / "arrays.npz",
        x=draw.integers(0, 256, (20, 4, 6), dtype=np.uint8),
        y=draw.integers(0, 10, 20),
        z=draw.standard_normal((20, 2)).astype(">f8"),
    )
    np.savez(base / "ragged.npz", x=draw.integers(0, 2, (12, 3), dtype=np.uint8), o=np.array([0, 2, 7, 12]))


TABLE = "size,kind,count,flag\n1.5,cat,3,0\n,dog,4,1\n2,cat,-1,1\n-0.25,?,7,0\n1e-3,emu,5,1\n"


def csv(base: Path) -> None:
    (base / "table.csv").write_text(TABLE, encoding="utf-8")


def text(base: Path) -> None:
    (base / "text.txt").write_text("The quick brown fox\njumps over\n\nthe läzy dog.\n" * 3, encoding="utf-8")


def images(base: Path) -> None:
    from PIL import Image

    draw = np.random.default_rng(3)
    for part, rows in (("train", 4), ("test", 2)):
        for label in ("cats", "dogs"):
            folder = base / "images" / part / label
            folder.mkdir(parents=True)
            for row in range(rows):
                Image.fromarray(draw.integers(0, 256, (7, 9)).astype(np.uint8)).save(folder / f"{row}.png")


def write_wave(path: Path, samples: np.ndarray) -> None:
    """A wav file of int16 or uint8 samples [frames] or [frames, channels]."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(samples.dtype.itemsize)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())


def audio(base: Path) -> None:
    draw = np.random.default_rng(4)
    for label, frames in (("no", 130), ("yes", 30)):
        (base / "audio" / label).mkdir(parents=True)
        write_wave(base / "audio" / label / "a.wav", draw.integers(-9000, 9000, (frames, 2)).astype(np.int16))


MAKERS: dict[str, Callable[[Path], None]] = {
    "idx": idx,
    "npy": npy,
    "npz": npz,
    "csv": csv,
    "text": text,
    "images": images,
    "audio": audio,
}


@pytest.fixture
def make_files(tmp_path: Path) -> Callable[[str], Path]:
    """A function that writes the files of a tag's examples, if it has any, and returns their folder."""

    def make(tag: str) -> Path:
        MAKERS.get(tag, lambda base: None)(tmp_path)
        return tmp_path

    return make


@pytest.fixture(name="write_idx")
def _write_idx() -> Callable[[Path, np.ndarray], None]:
    return write_idx


@pytest.fixture(name="write_wave")
def _write_wave() -> Callable[[Path, np.ndarray], None]:
    return write_wave
