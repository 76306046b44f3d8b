"""Lossless compression by a trained model: range coding of discrete rows, or bits-back coding through normal latents.

Exact models: every entry is coded by its own probabilities, entry by entry where they come in an order. Bits-back
(Townsend, Bird and Barber 2019): for each row z is decoded from the file by q(z | x), then x is coded by p(x | z) and z
by p(z), on a grid of spacing STEP; the expected length is minus the ELBO.

Both directions evaluate the networks on the same numbers in tensors of the same shapes, so that their probabilities
agree to the last bit: bits-back row by row, since a row is only known when those coded after it are decoded; entries in
an order with zeros in place of what is not decoded yet. A file holds a fingerprint of the parameters; it is read by the
same model on the same kind of machine.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gendsl.compiler.plans.compress import coded
from gendsl.data.dataset import Dataset
from gendsl.errors import RunError, UsageError
from gendsl.nn.factor import Plain, Sequential
from gendsl.nn.model import Model
from gendsl.runtime.streams import stream

MAGIC = b"gendsl-compressed 1\n"
DIGEST = hashlib.sha256().digest_size
ROWS = 64
"""Rows whose entries are coded side by side."""
STEP = 2.0**-9
"""Spacing of the grid on which latents are coded, in standard deviations of their prior."""
REACH = 8.0
"""How far the grid goes, in standard deviations of the prior."""


@dataclass(frozen=True)
class Packed:
    """A compressed file: its words, the number of rows, and the bits that the model claims for them."""

    words: np.ndarray[Any, np.dtype[np.uint32]]
    rows: int
    claimed: float
    spare: int = 0
    """Words at the bottom of a bits-back file that it began with and never used: they are known and left out."""

    @property
    def size(self) -> int:
        """Bytes of the coded words."""
        return 4 * len(self.words)


def coder() -> Any:
    """The package of entropy coders. Raises UsageError where it is not installed."""
    try:
        import constriction
    except ImportError as error:
        raise UsageError(
            "compression needs the package constriction: pip install 'gendsl[compress]'"
        ) from error
    return constriction.stream


@torch.no_grad()
def compress(model: Model, values: Mapping[str, Tensor]) -> Packed:
    """Rows of every observed variable, in the variables' own space. Raises UsageError where the model cannot."""
    refuse(model)
    names = coded(model.graph)
    absent = [n for n in names if n not in values]
    if absent:
        raise UsageError(f"compress needs {', '.join(absent)}, which was not given")
    checked = {n: _checked(model, n, values[n]) for n in names}
    rows = len(checked[names[0]])
    return (_bits_back if model.graph.routes else _in_order)(model, checked, rows)


@torch.no_grad()
def decompress(model: Model, packed: Packed) -> dict[str, Tensor]:
    """The rows again, exactly. Raises UsageError where the model cannot."""
    refuse(model)
    return (_bits_forth if model.graph.routes else _out_of_order)(model, packed)


def refuse(model: Model) -> None:
    """Raises UsageError where the model cannot be asked to compress."""
    plan = model.graph.capabilities["compress"]
    if plan.how is None:
        raise UsageError(f"this model cannot be asked to compress: {plan.why}")


def _checked(model: Model, name: str, value: Tensor) -> Tensor:
    variable = model.graph.variables[name]
    assert variable.support is not None
    if tuple(value.shape[1:]) != variable.shape:
        raise UsageError(f"{name} is {list(variable.shape or ())} for each row, not {list(value.shape[1:])}")
    whole = value.double()
    inside = (whole == whole.round()) & (whole >= variable.support.low) & (whole <= variable.support.high)
    if not bool(inside.all()):
        raise UsageError(f"{name} has values outside {variable.support}")
    return value.to(_empty(model, name, 0).dtype).to(model.device)


def _empty(model: Model, name: str, rows: int) -> Tensor:
    """Zeros for the rows of a variable, in the type that data of it have."""
    variable = model.graph.variables[name]
    assert variable.shape is not None
    assert variable.column is not None
    dtype = torch.int64 if variable.column.dtype.startswith(("int", "uint")) else model.dtype
    return torch.zeros(rows, *variable.shape, dtype=dtype, device=model.device)


# -- probabilities ----------------------------------------------------------------------------------------------------


def _tables(model: Model, name: str, values: Mapping[str, Tensor], rows: int) -> Iterator[tuple[Tensor, Any]]:
    """For each turn of a variable: the flat places of its entries, and their probabilities [rows, places, K].

    `values[name]` is read entry by entry as it is filled in, and holds zeros at what is not there yet.
    """
    factor, variable = model.graph.p(name), model.graph.variables[name]
    assert factor is not None
    assert variable.support is not None
    assert variable.support.count is not None
    conditioned = model.distribution(factor.name, values, rows)
    low = int(variable.support.low)
    levels = range(low, low + variable.support.count)
    if isinstance(conditioned, Plain):
        like = values[name]
        scores = [conditioned.entries(torch.full_like(like, v)) for v in levels]
        flat = torch.stack(scores, -1).reshape(rows, -1, len(levels))
        yield torch.arange(flat.shape[1]), _probabilities(flat)
        return
    assert isinstance(conditioned, Sequential)
    for turn in conditioned.turns.tolist():
        drawn = conditioned.family(conditioned.raw(values[name]))
        scores = [
            drawn.log_prob(torch.full_like(values[name], v).to(model.dtype)).reshape(rows, -1)[:, turn]
            for v in levels
        ]
        yield torch.tensor([turn]), _probabilities(torch.stack(scores, -1)[:, None])


def _probabilities(log_p: Tensor) -> Any:
    return torch.softmax(log_p.double(), -1).cpu().numpy()


def _symbols(value: Tensor, places: Tensor, low: int) -> Any:
    return (value.reshape(len(value), -1)[:, places.to(value.device)] - low).to(torch.int32).cpu().numpy()


def _low(model: Model, name: str) -> int:
    support = model.graph.variables[name].support
    assert support is not None
    return int(support.low)


def _bits(symbols: Any, table: Any) -> float:
    """-log2 of the probabilities of the symbols."""
    return float(-np.log2(np.take_along_axis(table, symbols[..., None].astype(np.int64), -1)).sum())


def _family(stream: Any) -> Any:
    return stream.model.Categorical(perfect=False)


# -- exact models -----------------------------------------------------------------------------------------------------


def _in_order(model: Model, values: Mapping[str, Tensor], rows: int) -> Packed:
    stream = coder()
    encoder, claimed = stream.queue.RangeEncoder(), 0.0
    for start in range(0, rows, ROWS):
        count = min(ROWS, rows - start)
        held: dict[str, Tensor] = {}
        for name in coded(model.graph):
            true = values[name][start : start + count]
            held[name] = _empty(model, name, count)
            for places, table in _tables(model, name, held, count):
                symbols = _symbols(true, places, _low(model, name))
                encoder.encode(symbols.reshape(-1), _family(stream), table.reshape(-1, table.shape[-1]))
                claimed += _bits(symbols, table)
                held[name].view(len(true), -1)[:, places] = true.reshape(len(true), -1)[:, places]
    return Packed(encoder.get_compressed(), rows, claimed)


def _out_of_order(model: Model, packed: Packed) -> dict[str, Tensor]:
    stream = coder()
    decoder = stream.queue.RangeDecoder(packed.words)
    found: dict[str, list[Tensor]] = {}
    for start in range(0, packed.rows, ROWS):
        count = min(ROWS, packed.rows - start)
        held: dict[str, Tensor] = {}
        for name in coded(model.graph):
            held[name] = _empty(model, name, count)
            for places, table in _tables(model, name, held, count):
                symbols = decoder.decode(_family(stream), table.reshape(-1, table.shape[-1]))
                _put(held[name], places, symbols.reshape(count, -1), _low(model, name))
            found.setdefault(name, []).append(held[name])
    return {name: torch.cat(parts) for name, parts in found.items()}


def _put(value: Tensor, places: Tensor, symbols: Any, low: int) -> None:
    value.view(len(value), -1)[:, places] = (torch.from_numpy(symbols.astype(np.int64)) + low).to(value)


# -- bits back --------------------------------------------------------------------------------------------------------


class _Latents:
    """The latents of a model on their grid, and both of their distributions as the coder's."""

    def __init__(self, model: Model, stream: Any) -> None:
        self.model = model
        names = set(model.graph.routes)
        self.names = [n for n in model.graph.order("q") if n in names]
        self.size = sum(math.prod(model.graph.variables[n].shape or ()) for n in self.names)
        self.uniform = stream.model.Uniform(1 << 16)
        self.grid = round(REACH / STEP)
        self.family = stream.model.QuantizedGaussian(-self.grid, self.grid)
        self.spacing: dict[str, Tensor] = {}
        for name in self.names:
            prior = model.distribution(f"prior.{name}", {}, 1)
            assert isinstance(prior, Plain)
            self.spacing[name] = STEP * prior.distribution().scale.double()  # type: ignore[attr-defined]

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

    def value(self, name: str, symbols: Any) -> Tensor:
        shape = self.model.graph.variables[name].shape
        assert shape is not None
        steps = torch.from_numpy(symbols.astype(np.float64)).view(1, *shape).to(self.model.device)
        return (steps * self.spacing[name]).to(self.model.dtype)

    def bits(self, symbols: Any, mean: Any, scale: Any) -> float:
        """-log2 of the normal density at the grid's points, times one step."""
        z = (symbols - mean) / scale
        return float((0.5 * z**2 + np.log(scale) + 0.5 * math.log(2 * math.pi)).sum() / math.log(2))


def _bits_back(model: Model, values: Mapping[str, Tensor], rows: int) -> Packed:
    words = _Latents(model, coder()).size // 2 + 6
    while True:
        packed = _with_words(model, values, rows, words)
        if packed is not None:
            return packed
        words *= 2


def _with_words(model: Model, values: Mapping[str, Tensor], rows: int, words: int) -> Packed | None:
    """The file that begins with so many random words, or None where they are too few."""
    stream = coder()
    initial = _initial(words)
    ans, latents, claimed = stream.stack.AnsCoder(initial, True), _Latents(model, stream), 0.0
    for row in range(rows):
        if ans.num_bits() < 16 * latents.size + 96:
            return None
        latents.stir(ans, row)
        held = {name: value[row : row + 1] for name, value in values.items()}
        symbols: dict[str, Any] = {}
        for name in latents.names:
            mean, scale = latents.parameters(f"encoder.{name}", name, held)
            symbols[name] = ans.decode(latents.family, mean, scale)
            if ans.num_bits() < 96:
                return None
            claimed -= latents.bits(symbols[name], mean, scale)
            held[name] = latents.value(name, symbols[name])
        for name in reversed(coded(model.graph)):
            claimed += _push(model, ans, name, held, stream)
        for name in reversed(latents.names):
            mean, scale = latents.parameters(f"prior.{name}", name, {})
            ans.encode_reverse(symbols[name], latents.family, mean, scale)
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
    held = {**values, name: _empty(model, name, 1)}
    turns, claimed = [], 0.0
    for places, table in _tables(model, name, held, 1):
        symbols = _symbols(true, places, _low(model, name))
        turns.append((symbols.reshape(-1), table.reshape(-1, table.shape[-1])))
        claimed += _bits(symbols, table)
        held[name].view(len(true), -1)[:, places] = true.reshape(len(true), -1)[:, places]
    for symbols, table in reversed(turns):
        ans.encode_reverse(symbols, _family(stream), table)
    return claimed


def _whole(packed: Packed) -> Any:
    return np.concatenate([_initial(packed.spare), packed.words])


def _bits_forth(model: Model, packed: Packed) -> dict[str, Tensor]:
    stream = coder()
    ans, latents = stream.stack.AnsCoder(_whole(packed)), _Latents(model, stream)
    found: dict[str, list[Tensor]] = {}
    for row in reversed(range(packed.rows)):
        held: dict[str, Tensor] = {}
        symbols: dict[str, Any] = {}
        for name in latents.names:
            symbols[name] = ans.decode(latents.family, *latents.parameters(f"prior.{name}", name, {}))
            held[name] = latents.value(name, symbols[name])
        for name in coded(model.graph):
            held[name] = _empty(model, name, 1)
            for places, table in _tables(model, name, held, 1):
                drawn = ans.decode(_family(stream), table.reshape(-1, table.shape[-1]))
                _put(held[name], places, drawn.reshape(1, -1), _low(model, name))
            found.setdefault(name, []).append(held[name])
        for name in reversed(latents.names):
            mean, scale = latents.parameters(f"encoder.{name}", name, held)
            ans.encode_reverse(symbols[name], latents.family, mean, scale)
        latents.stir(ans, row)
    return {name: torch.cat(parts[::-1]) for name, parts in found.items()}


# -- files ------------------------------------------------------------------------------------------------------------


def fingerprint(model: Model) -> str:
    """SHA-256 of the parameters and buffers, names and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _header(model: Model, packed: Packed) -> dict[str, Any]:
    return {
        "rows": packed.rows,
        "bits": packed.claimed,
        "spare": packed.spare,
        "model": fingerprint(model),
    }


def write(path: Path, model: Model, packed: Packed) -> int:
    """One file: a line that says what it is, the length of a JSON header, the header, the words, the sha256 of it all.

    Returns its bytes.
    """
    header = json.dumps(_header(model, packed)).encode()
    body = MAGIC + struct.pack("<I", len(header)) + header + packed.words.astype("<u4").tobytes()
    body += hashlib.sha256(body).digest()
    path.write_bytes(body)
    return len(body)


def read(path: Path, model: Model) -> Packed:
    """The file that `write` wrote. Raises UsageError for another file or model, RunError for a damaged one."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    body = path.read_bytes()
    if not body.startswith(MAGIC):
        raise UsageError(f"{path} is not a compressed file of gendsl")
    at = len(MAGIC)
    body, digest = body[:-DIGEST], body[-DIGEST:]
    if hashlib.sha256(body).digest() != digest:
        raise RunError(f"{path} is damaged: cut short or altered (the sha256 does not match)")
    try:
        (length,) = struct.unpack_from("<I", body, at)
        header = json.loads(body[at + 4 : at + 4 + length])
        words = np.frombuffer(body, "<u4", offset=at + 4 + length).astype(np.uint32)
        found = Packed(words, int(header["rows"]), float(header["bits"]), int(header["spare"]))
        coder_of = header["model"]
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    if coder_of != fingerprint(model):
        raise UsageError(f"{path} was compressed by a model with other parameters")
    return found


# -- parts and arrays -------------------------------------------------------------------------------------------------


def rows_of(model: Model, data: Dataset | None, source: str | Path, seed: int) -> dict[str, Tensor]:
    """The rows to compress: a part of the data by its name, or an array file in the variables' own space.

    `.npz` holds variables by name, `.npy` the only one. Raises UsageError for another file or a name that is not there.
    """
    names = coded(model.graph)
    if data is not None:
        part = data.parts[str(source)].to(model.device)
        with stream(seed, "data/compress"):
            batch = part.batch(torch.arange(part.rows, device=model.device))
        return {name: batch.values[name] for name in names}
    path = Path(source)
    if path.suffix not in (".npz", ".npy") or not path.is_file():
        raise UsageError(f"{path}: give a .npz or .npy file, or --split")
    if path.suffix == ".npy" and len(names) != 1:
        raise UsageError(f"{path} is one array, and the model has {', '.join(names)}: give a .npz file")
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            held = (
                {names[0]: loaded} if path.suffix == ".npy" else {n: loaded[n] for n in names if n in loaded}
            )
        return {name: torch.from_numpy(array) for name, array in held.items()}
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} does not hold arrays of numbers: {error}") from error
