"""Sources that come with gendsl: scikit-learn's digits, and point clouds in the plane drawn from a formula.

Every generated source has the columns `point` (float32 [2]) and `label`; the same fields give the same rows.
"""

from abc import abstractmethod
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from gendsl.schema.components.source_base import Column, Source, SourceFacts, label_column
from gendsl.schema.facts import REAL, Support
from gendsl.schema.registry import component

Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]


@component("source", "digits", build="gendsl.data.digits:load_digits")
class Digits(Source):
    """The 1,797 handwritten digits that come with scikit-learn: 8 x 8 pixels with the grey values 0 to 16."""

    reads_files = False

    def facts(self, base: Path) -> SourceFacts:
        """Constants: `image` uint8 [1, 8, 8], `label` 0 .. 9."""
        image = Column("uint8", (1, 8, 8), Support(0.0, 16.0, integer=True))
        return SourceFacts({"image": image, "label": label_column(10)}, rows=1797)


class Generated(Source):
    """Base of the point clouds: `n` rows, drawn with a seed of their own: every run sees the same data."""

    reads_files = False
    n: Annotated[int, Field(ge=2)] = 10_000
    seed: Annotated[int, Field(ge=0)] = 0

    @property
    @abstractmethod
    def classes(self) -> int:
        """The number of values of `label`."""

    @property
    def support(self) -> Support:
        """Where both coordinates lie."""
        return REAL

    @property
    def exact_density(self) -> bool:
        """Whether `gendsl.data.density.log_density` knows this cloud's density."""
        return False

    def facts(self, base: Path) -> SourceFacts:
        """Constants: `point` float32 [2] and `label`."""
        columns = {"point": Column("float32", (2,), self.support), "label": label_column(self.classes)}
        return SourceFacts(columns, self.n, generated=True, exact_density=self.exact_density)


@component("source", "two_moons", build="gendsl.data.generated:load_two_moons")
class TwoMoons(Generated):
    """Two interleaved half circles of radius 1; the label is the moon."""

    noise: NotNegative = 0.1
    examples = ({}, {"n": 300, "noise": 0.0, "seed": 3})

    @property
    def classes(self) -> int:
        """Two moons."""
        return 2


@component("source", "ring", build="gendsl.data.generated:load_ring")
class Ring(Generated):
    """Gaussians of standard deviation `noise`, evenly spaced on a circle; the label is the mode."""

    modes: Annotated[int, Field(ge=2)] = 8
    radius: Positive = 2.0
    noise: Positive = 0.1
    examples = ({}, {"n": 300, "modes": 5, "radius": 1.0, "noise": 0.3})

    @property
    def classes(self) -> int:
        """One for each mode."""
        return self.modes

    @property
    def exact_density(self) -> bool:
        """A mixture of Gaussians."""
        return True


@component("source", "grid", build="gendsl.data.generated:load_grid")
class Grid(Generated):
    """Gaussians of standard deviation `noise` on a square grid, side x side; the label is the mode."""

    side: Annotated[int, Field(ge=2)] = 5
    spacing: Positive = 2.0
    noise: Positive = 0.1
    examples = ({}, {"n": 300, "side": 3, "spacing": 1.0, "noise": 0.2})

    @property
    def classes(self) -> int:
        """One for each mode."""
        return self.side * self.side

    @property
    def exact_density(self) -> bool:
        """A mixture of Gaussians."""
        return True


@component("source", "spirals", build="gendsl.data.generated:load_spirals")
class Spirals(Generated):
    """Arms of a spiral that start at the centre and end at radius 2; the label is the arm."""

    arms: Annotated[int, Field(ge=2)] = 2
    turns: Positive = 1.5
    noise: NotNegative = 0.05
    examples = ({}, {"n": 300, "arms": 3, "noise": 0.0})

    @property
    def classes(self) -> int:
        """One for each arm."""
        return self.arms


@component("source", "checkerboard", build="gendsl.data.generated:load_checkerboard")
class Checkerboard(Generated):
    """Uniform on the dark squares, of side 2, of a board centred on the origin; the label is the square."""

    cells: Annotated[int, Field(ge=2, multiple_of=2)] = 4
    examples = ({}, {"n": 300, "cells": 2})

    @property
    def classes(self) -> int:
        """One for each dark square."""
        return self.cells * self.cells // 2

    @property
    def support(self) -> Support:
        """The board."""
        return Support(-float(self.cells), float(self.cells))

    @property
    def exact_density(self) -> bool:
        """Uniform on half of the board."""
        return True


@component("source", "swiss_roll", build="gendsl.data.generated:load_swiss_roll")
class SwissRoll(Generated):
    """The section of a Swiss roll, from radius 0.5 to 1.5; the label is the quarter along the roll."""

    turns: Positive = 1.5
    noise: NotNegative = 0.02
    inner: Positive = 0.5
    outer: Positive = 1.5
    examples = ({}, {"n": 300, "turns": 2.0, "noise": 0.0})

    @model_validator(mode="after")
    def _ordered(self) -> "SwissRoll":
        if self.inner >= self.outer:
            raise ValueError("inner must be below outer")
        return self

    @property
    def classes(self) -> int:
        """Four quarters."""
        return 4
