"""Reading wav files with the standard library."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from gendsl.data.loaded import Array, Loaded
from gendsl.data.npz import part_slices
from gendsl.errors import DataError
from gendsl.schema.components.source_media import Audio, Labelled, read_wave


def load_audio(source: Audio, base: Path) -> Loaded:
    """`wave` [N, length] (uint8 or int16 as stored) and, with sub-folders, `label` int64 [N].

    Raises DataError for a file that is shorter than its header says.
    """
    files = source.files(base)
    facts = source.facts(base)
    pieces = [_windows(_samples(file), source) for file in files]
    columns: dict[str, Array] = {"wave": np.concatenate(pieces)}
    if "label" in facts.columns:
        place = {name: i for i, name in enumerate(facts.columns["label"].names)}
        counts = [len(piece) for piece in pieces]
        columns["label"] = np.repeat(np.array([place[file.label] for file in files], np.int64), counts)
    return Loaded(columns, None if facts.parts is None else part_slices(facts.parts))


def _samples(file: Labelled) -> Array:
    """One number for each frame: the mean of the channels, rounded down."""
    layout = read_wave(file.path)
    with wave.open(str(file.path), "rb") as opened:
        content = opened.readframes(layout.frames)
    if len(content) != layout.frames * layout.width * layout.channels:
        raise DataError(f"{file.path} is shorter than its header says")
    stored = np.frombuffer(content, np.uint8 if layout.width == 1 else np.dtype("<i2"))
    frames = stored.reshape(-1, layout.channels)
    native = np.uint8 if layout.width == 1 else np.int16
    mono: Array = np.floor(frames.mean(axis=1)).astype(native)
    return mono


def _windows(samples: Array, source: Audio) -> Array:
    silence = 128 if samples.dtype == np.uint8 else 0
    if len(samples) < source.length:
        samples = np.pad(samples, (0, source.length - len(samples)), constant_values=silence)
    starts = np.arange(source.windows(len(samples))) * (source.stride or source.length)
    windows: Array = samples[starts[:, None] + np.arange(source.length)]
    return windows
