"""Bits-back coding (Townsend, Bird and Barber 2019) through normal latents, with asymmetric numeral systems.

For each row z is decoded from the file by q(z | x), then x is coded by p(x | z) and z by p(z), on a grid of spacing
STEP; the expected length is minus the ELBO. Rows go one by one: a row is only known when those coded after it are
decoded.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gendsl.compiler.plans.compress import coded
from gendsl.nn.factor import Plain
from gendsl.nn.model import Model
from gendsl.runtime.compress.packed import Packed
from gendsl.runtime.compress.tables import bits, coder, empty, family, low, put, symbols_of, tables

STEP = 2.0**-9
"""Spacing of the grid on which latents are coded, in standard deviations of their prior."""
REACH = 8.0
"""How far the grid goes, in standard deviations of the prior."""
WINDOW = 8.0
"""How far from its mean a latent is coded at least, in standard deviations of what codes it.

The coder gives every value that it may take 2^-24 at least: over the whole grid a narrow distribution would be left for
any point of it once in 2,000 draws, at which the row then costs what a wrong latent costs.
"""


class Latents:
    """The latents of a model on their grid, and both of their distributions as the coder's."""

    def __init__(self, model: Model, stream: Any) -> None:
        self.model = model
        names = set(model.graph.routes)
        self.names = [n for n in model.graph.order("q") if n in names]
        self.size = sum(math.prod(model.graph.variables[n].shape or ()) for n in self.names)
        self.uniform = stream.model.Uniform(1 << 16)
        self.grid = round(REACH / STEP)
        self.family = functools.cache(lambda half: stream.model.QuantizedGaussian(-half, half))
        self.spacing: dict[str, Tensor] = {}
        for name in self.names:
            prior = model.distribution(f"prior.{name}", {}, 1)
            assert isinstance(prior, Plain)
            normal: Any = prior.distribution()
            self.spacing[name] = STEP * normal.scale.double()

    def stir(self, ans: Any, row: int) -> None:
        """Exchange the bits on top by others, by pseudo-random ones of the row: done twice, it undoes itself.

        The bits on top are those of the latents coded before. Where q is near p they would choose the same quantiles
        again and again, and the values of a latent would wander off instead of being draws of q.
        """
        pad = np.random.default_rng(row).integers(0, 1 << 16, self.size, dtype=np.int32)
        ans.encode_reverse(ans.decode(self.uniform, self.size) ^ pad, self.uniform)

    def parameters(self, factor: str, name: str, values: Mapping[str, Tensor]) -> tuple[Any, Any]:
        """Means and scales of one row's latent, in steps of its grid, [D] each."""
        conditioned = self.model.distribution(factor, values, 1)
        assert isinstance(conditioned, Plain)
        normal: Any = conditioned.distribution()
        spacing = self.spacing[name]
        mean = (normal.loc.double() / spacing).clamp(-self.grid, self.grid).flatten().cpu().numpy()
        scale = (
            (normal.scale.double().expand_as(normal.loc) / spacing).clamp(min=1e-2).flatten().cpu().numpy()
        )
        return mean.copy(), scale.copy()

    def decode(self, ans: Any, mean: Any, scale: Any) -> Any:
        """Symbols off the stack, [D]."""
        centre, groups = self._windows(mean, scale)
        found = np.zeros(len(mean), dtype=np.int32)
        for half, at in groups:
            found[at] = ans.decode(self.family(half), (mean - centre)[at], scale[at]) + centre[at]
        return found

    def encode(self, ans: Any, symbols: Any, mean: Any, scale: Any) -> None:
        """Symbols [D] onto the stack: undoes `decode`."""
        centre, groups = self._windows(mean, scale)
        for half, at in reversed(groups):
            ans.encode_reverse((symbols - centre)[at], self.family(half), (mean - centre)[at], scale[at])

    def _windows(self, mean: Any, scale: Any) -> tuple[Any, list[tuple[int, Any]]]:
        """Centres of the windows of the grid, [D], and half of each size that occurs with its entries."""
        halves = np.exp2(np.ceil(np.log2(np.maximum(WINDOW * scale, 1)))).clip(max=self.grid).astype(np.int32)
        centre = np.rint(mean).astype(np.int32).clip(halves - self.grid, self.grid - halves)
        return centre, [(int(h), np.flatnonzero(halves == h)) for h in np.unique(halves)]

    def value(self, name: str, symbols: Any) -> Tensor:
        shape = self.model.graph.variables[name].shape
        assert shape is not None
        steps = torch.from_numpy(symbols.astype(np.float64)).view(1, *shape).to(self.model.device)
        return (steps * self.spacing[name]).to(self.model.dtype)

    def bits(self, symbols: Any, mean: Any, scale: Any) -> float:
        """-log2 of the normal density at the grid's points, times one step."""
        z = (symbols - mean) / scale
        return float((0.5 * z**2 + np.log(scale) + 0.5 * math.log(2 * math.pi)).sum() / math.log(2))


def bits_back(model: Model, values: Mapping[str, Tensor], rows: int) -> Packed:
    """The file of the rows, with as many random words to begin with as it takes."""
    words = Latents(model, coder()).size // 2 + 6
    while True:
        packed = _with_words(model, values, rows, words)
        if packed is not None:
            return packed
        words *= 2


def _with_words(model: Model, values: Mapping[str, Tensor], rows: int, words: int) -> Packed | None:
    """The file that begins with so many random words, or None where they are too few."""
    stream = coder()
    initial = _initial(words)
    ans, latents, claimed = stream.stack.AnsCoder(initial, True), Latents(model, stream), 0.0
    for row in range(rows):
        if ans.num_bits() < 16 * latents.size + 96:
            return None
        latents.stir(ans, row)
        held = {name: value[row : row + 1] for name, value in values.items()}
        symbols: dict[str, Any] = {}
        for name in latents.names:
            mean, scale = latents.parameters(f"encoder.{name}", name, held)
            symbols[name] = latents.decode(ans, mean, scale)
            if ans.num_bits() < 96:
                return None
            claimed -= latents.bits(symbols[name], mean, scale)
            held[name] = latents.value(name, symbols[name])
        for name in reversed(coded(model.graph)):
            claimed += _push(model, ans, name, held, stream)
        for name in reversed(latents.names):
            mean, scale = latents.parameters(f"prior.{name}", name, {})
            latents.encode(ans, symbols[name], mean, scale)
            claimed += latents.bits(symbols[name], mean, scale)
    found = ans.get_compressed()
    same = min(len(found), words)
    spare = int(np.argmin(np.append(found[:same] == initial[:same], False)))
    return Packed(found[spare:], rows, claimed, spare)


def _initial(words: int) -> Any:
    """The pseudo-random words that a bits-back file begins with."""
    return np.random.default_rng(0).integers(1, 2**32, 1 << 16, dtype=np.uint32)[:words]


def _push(model: Model, ans: Any, name: str, values: Mapping[str, Tensor], stream: Any) -> float:
    """One row of one observed variable, last turn first, as a stack wants it; its bits."""
    true = values[name]
    held = {**values, name: empty(model, name, 1)}
    turns, claimed = [], 0.0
    for places, table in tables(model, name, held, 1):
        symbols = symbols_of(true, places, low(model, name))
        turns.append((symbols.reshape(-1), table.reshape(-1, table.shape[-1])))
        claimed += bits(symbols, table)
        held[name].view(len(true), -1)[:, places] = true.reshape(len(true), -1)[:, places]
    for symbols, table in reversed(turns):
        ans.encode_reverse(symbols, family(stream), table)
    return claimed


def _whole(packed: Packed) -> Any:
    return np.concatenate([_initial(packed.spare), packed.words])


def bits_forth(model: Model, packed: Packed) -> dict[str, Tensor]:
    """The rows of the file, the last one first, in their order."""
    stream = coder()
    ans, latents = stream.stack.AnsCoder(_whole(packed)), Latents(model, stream)
    found: dict[str, list[Tensor]] = {}
    for row in reversed(range(packed.rows)):
        held: dict[str, Tensor] = {}
        symbols: dict[str, Any] = {}
        for name in latents.names:
            symbols[name] = latents.decode(ans, *latents.parameters(f"prior.{name}", name, {}))
            held[name] = latents.value(name, symbols[name])
        for name in coded(model.graph):
            held[name] = empty(model, name, 1)
            for places, table in tables(model, name, held, 1):
                drawn = ans.decode(family(stream), table.reshape(-1, table.shape[-1]))
                put(held[name], places, drawn.reshape(1, -1), low(model, name))
            found.setdefault(name, []).append(held[name])
        for name in reversed(latents.names):
            mean, scale = latents.parameters(f"encoder.{name}", name, held)
            latents.encode(ans, symbols[name], mean, scale)
        latents.stir(ans, row)
    return {name: torch.cat(parts[::-1]) for name, parts in found.items()}
