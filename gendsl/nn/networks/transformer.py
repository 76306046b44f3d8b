"""`transformer`: causal self-attention over the entries in their turn (Vaswani et al. 2017, pre-norm form).

    h <- h + attention(film(norm(h)))      causal: a token attends to itself and to the ones before it
    h <- h + attention(norm(h), memory)    if `cross` names a parent, which an encoder turns into the memory
    h <- h + W_2 gelu(W_1 film(norm(h)))

Positions are learned or rotations (`gendsl.nn.networks.positions`). The other parents modulate through the two films.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gendsl.kernels.attention import attention
from gendsl.kernels.table import Policy
from gendsl.nn.conditioning import Context, Film, Values
from gendsl.nn.networks.frames import entering, said, saying, stepping
from gendsl.nn.networks.layers import require
from gendsl.nn.networks.positions import Positions, rotated
from gendsl.nn.networks.tokens import Tokens
from gendsl.nn.stepping import Stepper
from gendsl.schema.components.net_seq import Reader, Transformer, instants
from gendsl.schema.facts import Input, Inputs, Shape


class Attention(nn.Module):
    """Heads of scaled dot-product attention: queries [B, T, W], memory [B, S, W] -> [B, T, W].

    `twice`: with second derivatives. `kernels` is the spec's policy, which `compiler.build` sets.
    """

    kernels: Policy = "auto"

    def __init__(
        self, width: int, heads: int, causal: bool, rotary: bool = False, twice: bool = False
    ) -> None:
        super().__init__()
        self.heads, self.causal, self.rotary, self.twice = heads, causal, rotary, twice
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, h: Tensor, memory: Tensor, past: Past | None = None) -> Tensor:
        q = self._turned(self._split(self.query(h)), 0 if past is None else past.seen)
        k, v = self.pair(memory) if past is None else past.pair(self, memory)
        causal = self.causal and past is None
        mixed = attention(q, k, v, causal=causal, twice=self.twice, kernels=self.kernels)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out

    def pair(self, memory: Tensor, start: int = 0) -> tuple[Tensor, Tensor]:
        """Keys and values, [B, heads, S, W / heads] each, of tokens from turn `start` on."""
        key, value = self.key_value(memory).chunk(2, dim=-1)
        return self._turned(self._split(key), start), self._split(value)

    def _turned(self, h: Tensor, start: int) -> Tensor:
        return rotated(h, start) if self.rotary else h

    def _split(self, h: Tensor) -> Tensor:
        return h.reshape(*h.shape[:2], self.heads, h.shape[2] // self.heads).transpose(1, 2)


class Past:
    """Keys and values that are kept: of `tokens` tokens that come one by one, or of a memory (0), once."""

    def __init__(self, tokens: int = 0) -> None:
        self.tokens, self.seen = tokens, 0
        self.kept: tuple[Tensor, Tensor] | None = None

    def pair(self, attention: Attention, memory: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values so far, those of the new tokens in `memory` [B, n, W] included."""
        if not self.tokens:
            self.kept = self.kept or attention.pair(memory)
            return self.kept
        new = attention.pair(memory, self.seen)
        if self.kept is None:
            size = (*new[0].shape[:2], self.tokens, new[0].shape[3])
            self.kept = (new[0].new_empty(size), new[1].new_empty(size))
        before, self.seen = self.seen, self.seen + new[0].shape[2]
        for kept, fresh in zip(self.kept, new, strict=True):
            kept[:, :, before : self.seen] = fresh
        return self.kept[0][:, :, : self.seen], self.kept[1][:, :, : self.seen]


class Block(nn.Module):
    """One layer: tokens [B, T, W] -> the same shape."""

    def __init__(
        self, spec: Transformer, *, causal: bool, cross: bool, context: int, twice: bool = False
    ) -> None:
        super().__init__()
        width = spec.width
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3 if cross else 2))
        self.films = nn.ModuleList(Film(context, width) for _ in range(2 if context else 0))
        self.attend = Attention(width, spec.heads, causal, spec.positions == "rope", twice)
        self.cross = Attention(width, spec.heads, causal=False) if cross else None
        self.dense = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.drop = nn.Dropout(spec.dropout)

    def forward(
        self,
        h: Tensor,
        memory: Tensor | None,
        context: Tensor | None,
        past: tuple[Past, Past] | None = None,
    ) -> Tensor:
        before, beside = past or (None, None)
        own = self._modulate(0, h, context)
        h = h + self.drop(self.attend(own, own, before))
        if self.cross is not None and memory is not None:
            h = h + self.drop(self.cross(self.norms[2](h), memory, beside))
        out: Tensor = h + self.drop(self.dense(self._modulate(1, h, context)))
        return out

    def _modulate(self, which: int, h: Tensor, context: Tensor | None) -> Tensor:
        h = self.norms[which](h)
        if context is not None:
            h = self.films[which](h, context)
        return h


class Encoder(nn.Module):
    """A parent's tokens, each attending to all: [B, *shape] -> [B, S, width], with S entries, or instants of [T, D].

    `context`: the size of what modulates them. `twice`: with second derivatives.
    """

    def __init__(self, spec: Transformer, source: Input, context: int = 0, *, twice: bool = False) -> None:
        super().__init__()
        count = instants(source)
        self.enter = Tokens(source, spec.width, count)
        shape = source.shape if len(source.shape) != 2 else source.shape[:1]
        self.positions = placed(spec, shape, torch.arange(count), 0.02)
        self.blocks = nn.ModuleList(
            Block(spec, causal=False, cross=False, context=context, twice=twice) for _ in range(spec.layers)
        )
        self.norm = nn.LayerNorm(spec.width)
        self.drop = nn.Dropout(spec.dropout)

    def forward(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        h: Tensor = self.drop(self.positions(self.enter(value)))
        for block in self.blocks:
            h = block(h, None, context)
        out: Tensor = self.norm(h)
        return out


class Attending(nn.Module):
    """Layers over tokens and the output layer: one parent may be their memory, the others modulate them."""

    def build(self, spec: Transformer, inputs: Inputs, target: Input, outputs: int, *, causal: bool) -> None:
        """Adds these to what a subclass has built of its own."""
        source, rest = spec.source(inputs), spec.rest(inputs)
        self.source = spec.cross
        self.drop = nn.Dropout(spec.dropout)
        self.encoder = Encoder(spec, source) if source is not None else None
        self.context = Context(rest) if rest else None
        width = self.context.width if self.context is not None else 0
        self.blocks = nn.ModuleList(
            Block(spec, causal=causal, cross=source is not None, context=width) for _ in range(spec.layers)
        )
        self.norm = nn.LayerNorm(spec.width)
        self.out = saying(spec, target, spec.width, outputs)

    def beside(self, values: Values) -> tuple[Tensor | None, Tensor | None]:
        """What the parents make: the memory [B, S, width], the context [B, C]."""
        context = self.context(values) if self.context is not None else None
        if self.encoder is None or self.source is None:
            return None, context
        return self.encoder(values[self.source]), context

    def states(self, h: Tensor, values: Values) -> Tensor:
        """Tokens [B, T, width] -> what the entries are said from, [B, T, width]."""
        state: Tensor = self.norm(self.stack(h, values)[-1])
        return state

    def stack(self, h: Tensor, values: Values) -> list[Tensor]:
        """The tokens [B, T, width], and what each layer makes of them."""
        memory, context = self.beside(values)
        found = [self.drop(h)]
        for block in self.blocks:
            found.append(block(found[-1], memory, context))
        return found

    def tokens(self, x: Tensor) -> Tensor:
        """The tokens [B, T, width] of whole rows x [B, *target]."""
        raise TypeError(f"{type(self).__name__} is abstract")

    def layers(self, values: Values, x: Tensor) -> list[Tensor]:
        """The activations [B, width] of the tokens and of every layer, averaged over the tokens."""
        return [h.mean(1) for h in self.stack(self.tokens(x), values)]


class TransformerNet(Attending):
    """Values and x [B, *target] -> raw parameters [B, outputs, *target]."""

    def __init__(self, spec: Transformer, inputs: Inputs, target: Input, outputs: int, order: Tensor) -> None:
        super().__init__()
        self.framed = spec.frame is not None
        self.enter = entering(spec, target, spec.width, order)
        self.count = spec.tokens(target.shape)
        shape = target.shape if spec.frame is None else target.shape[:1]
        turns = torch.argsort(order) if spec.frame is None else torch.arange(self.count)
        self.positions = placed(spec, shape, turns, 0.02)
        self.build(spec, inputs, target, outputs, causal=True)

    def tokens(self, x: Tensor) -> Tensor:
        h: Tensor = self.positions(self.enter(x))
        return h

    def forward(self, values: Values, x: Tensor) -> Tensor:
        return said(self.out, self.enter, self.states(self.tokens(x), values), x)

    def stepper(self, values: Values, rows: int) -> Stepper:
        return stepping(TransformerSteps(self, values, rows), self.out)


class TransformerSteps:
    """One token after another; what is kept are the keys and values of the tokens before, and the memory's."""

    differentiable = False

    def __init__(self, net: TransformerNet, values: Values, rows: int) -> None:
        self.net, self.rows, self.turn = net, rows, 0
        self.memory, self.context = net.beside(values)
        self.past = [(Past(net.count), Past()) for _ in net.blocks]

    def state(self, last: Tensor | None) -> Tensor:
        h = self.net.positions.one(self.net.enter.one(last, self.rows), self.turn)[:, None]
        self.turn += 1
        h = self.net.drop(h)
        for block, past in zip(self.net.blocks, self.past, strict=True):
            h = block(h, self.memory, self.context, past)
        state: Tensor = self.net.norm(h[:, 0])
        return state


def placed(spec: Transformer, shape: Shape, turns: Tensor, scale: float) -> Positions:
    """What tells the tokens of a variable apart, of the entries `turns` [T] in their turn."""
    if spec.positions == "learned":
        shape, turns = (len(turns),), torch.arange(len(turns))
    return Positions(() if spec.positions == "rope" else shape, turns, spec.width, scale)


def build_transformer(
    spec: Transformer, inputs: Inputs, target: Input, outputs: int, order: Tensor
) -> TransformerNet:
    """The module of a `transformer`; `order` is the rank of every flattened entry.

    Raises ValueError if the heads do not divide the width, or `cross` names none of the parents.
    """
    require(spec, inputs, target)
    return TransformerNet(spec, inputs, target, outputs, order)


class TransformerReader(nn.Module):
    """Values -> the mean over the tokens of a parent, [B, width], which the others modulate.

    A critic or an energy may be one, so it has second derivatives.
    """

    def __init__(self, spec: Reader, inputs: Inputs) -> None:
        super().__init__()
        assert isinstance(spec.of, Transformer)
        source, rest = spec.source(inputs), spec.rest(inputs)
        self.source = source.name
        self.context = Context(rest) if rest else None
        width = self.context.width if self.context is not None else 0
        self.encoder = Encoder(spec.of, source, width, twice=True)

    def forward(self, values: Values) -> Tensor:
        context = self.context(values) if self.context is not None else None
        mean: Tensor = self.encoder(values[self.source], context).mean(1)
        return mean


def build_reader(spec: Reader, inputs: Inputs, target: Shape | None) -> TransformerReader:
    """The module of a `transformer` that reads a parent."""
    require(spec, inputs, target)
    return TransformerReader(spec, inputs)
