"""Writes vowels.wav: sung vowels, synthesised by the source-filter model; CC0, no recording is in it.

    python specs/data/vowels.py specs/data/vowels.wav

An impulse train at a gliding pitch goes through three two-pole resonators, the formants of /a/, /e/, /i/, /o/, /u/ of
a man's voice (Peterson and Barney 1952, table II). 8,000 samples a second, 16 bits; the same bytes every time.
"""

from __future__ import annotations

import math
import random
import struct
import sys
import wave

RATE = 8000
FORMANTS = ((730, 1090, 2440), (530, 1840, 2480), (270, 2290, 3010), (570, 840, 2410), (300, 870, 2240))
WIDTHS = (80, 90, 120)
PITCHES = (110.0, 123.5, 130.8, 146.8)
SECONDS = 0.3


def resonate(samples: list[float], centre: float, width: float) -> list[float]:
    """A two-pole resonator: y_t = g x_t + 2 r cos(w) y_{t-1} - r^2 y_{t-2}."""
    r = math.exp(-math.pi * width / RATE)
    a, b = 2 * r * math.cos(2 * math.pi * centre / RATE), -r * r
    one = two = 0.0
    out = []
    for sample in samples:
        now = (1 - a - b) * sample + a * one + b * two
        one, two = now, one
        out.append(now)
    return out


def vowel(formants: tuple[int, int, int], pitch: float, noise: random.Random) -> list[float]:
    """One vowel with a slight fall of the pitch, breath noise, and a soft beginning and end."""
    size = int(SECONDS * RATE)
    phase, source = 0.0, []
    for t in range(size):
        phase += pitch * (1.05 - 0.1 * t / size) / RATE
        pulse = 1.0 if phase >= 1.0 else 0.0
        phase -= pulse
        source.append(pulse + 0.01 * noise.gauss(0, 1))
    for centre, width in zip(formants, WIDTHS, strict=True):
        source = resonate(source, centre, width)
    peak = max(abs(s) for s in source)
    return [s / peak * math.sin(math.pi * (t + 0.5) / size) ** 0.5 for t, s in enumerate(source)]


def main(path: str) -> None:
    """Every vowel at every pitch, in a fixed shuffled order."""
    noise = random.Random(0)
    notes = [(f, p) for f in FORMANTS for p in PITCHES]
    noise.shuffle(notes)
    samples = [s for formants, pitch in notes for s in vowel(formants, pitch, noise)]
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(b"".join(struct.pack("<h", round(25_000 * s)) for s in samples))


if __name__ == "__main__":
    main(sys.argv[1])
