"""Autoregressive networks that walk the entries one after another: `rnn`, `lstm`, `gru`, `transformer`.

The entries of the head become tokens in the turn of the ordering: token t is made of entry t - 1, the first
is learned, and what the net says at token t are the raw parameters of entry t.

A head that has parents and no ordering is said from them: then the net is a `Reader`. The parent of most entries
becomes tokens, one for each entry or instant of [T, D], all other parents modulate them, and the state after the last
token, or of a transformer the mean over the tokens, are the features.
"""

from abc import abstractmethod
from typing import Any, ClassVar, Literal

from pydantic import Field

from gendsl.schema.components.net import Bill, Net, Size, Target, as_input, dense, describe
from gendsl.schema.components.net_ar import entry_bill
from gendsl.schema.components.net_planes import context_width
from gendsl.schema.components.net_tokens import TokenNet
from gendsl.schema.facts import Input, Inputs, Shape, embedding_parameters, numel
from gendsl.schema.registry import component


def instants(source: Input) -> int:
    """How many tokens a parent has: its entries, or the instants of [T, D]."""
    return source.shape[0] if len(source.shape) == 2 else numel(source.shape)


def token_bill(source: Input, width: int) -> Bill:
    """Making its tokens of a parent."""
    tokens = instants(source)
    return (
        entry_bill(source) + dense(source.width // tokens, width, tokens) + Bill(activations=width * tokens)
    )


def film_bill(context: int, width: int, tokens: int) -> Bill:
    """Modulating every token by the context."""
    if not context:
        return Bill()
    return dense(context, 2 * width) + Bill(activations=width * (tokens + 1))


class SequenceNet(TokenNet):
    """Base of the nets that walk the head's tokens in an order, or else read those of a parent."""

    reader: ClassVar[str]
    """The builder of what reads a parent."""

    width: Size = 128

    @property
    def named(self) -> str | None:
        """The parent that the spec names, to be read token by token."""
        return None

    def reading(self) -> Net:
        return Reader(of=self)

    def lacking(self) -> str | None:
        """Why the net cannot be built on whatever it reads."""
        return None

    def source(self, inputs: Inputs) -> Input | None:
        """The parent that is named; None where none is, or it is not among these."""
        return next((i for i in inputs if i.name == self.named), None)

    @abstractmethod
    def over(self, source: Input, context: int) -> Bill:
        """The body over the tokens of a parent, which a context modulates."""


class Recurrent(SequenceNet):
    """Base of the recurrent nets: `gates` maps per step, each of the token, the state and two biases."""

    reader: ClassVar[str] = "gendsl.nn.networks.recurrent:build_reader"
    gates: ClassVar[int]
    kept: ClassVar[int]
    """Numbers per unit and step that the backward pass needs."""
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"width": 12},
        {"width": 8, "layers": 2},
        {"width": 10, "frame": {"type": "made", "hidden": [9]}},
    )

    layers: Size = 1

    def bill(self, inputs: Inputs, target: Target, outputs: int = 0) -> Bill:
        head = as_input(target)
        width, context = self.width, context_width(inputs)
        total = self.entering(head, width) + Bill(width + embedding_parameters(inputs), 0, context)
        return total + self._body(self.tokens(head.shape), context) + self.saying(head, width, outputs)

    def over(self, source: Input, context: int) -> Bill:
        return self._body(instants(source), context)

    def _body(self, tokens: int, context: int) -> Bill:
        """The recurrence over so many tokens."""
        step = dense(self.width, self.gates * self.width, tokens) * 2
        step += Bill(activations=self.kept * self.width * tokens)
        return film_bill(context, self.width, tokens) + step * self.layers


@component("net", "rnn", build="gendsl.nn.networks.recurrent:build_recurrent")
class Rnn(Recurrent):
    """A recurrent net with tanh units (Elman 1990)."""

    gates: ClassVar[int] = 1
    kept: ClassVar[int] = 2


@component("net", "lstm", build="gendsl.nn.networks.recurrent:build_recurrent")
class Lstm(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997)."""

    gates: ClassVar[int] = 4
    kept: ClassVar[int] = 8


@component("net", "gru", build="gendsl.nn.networks.recurrent:build_recurrent")
class Gru(Recurrent):
    """Gated recurrent units (Cho et al. 2014)."""

    gates: ClassVar[int] = 3
    kept: ClassVar[int] = 7


@component("net", "transformer", build="gendsl.nn.networks.transformer:build_transformer")
class Transformer(SequenceNet):
    """Causal self-attention over the entries, and attention to one parent if `cross` names it.

    Under `ordering: any` the attention is not causal: hidden entries are said from all that are not hidden. Of a head
    without an ordering it reads a parent: every token attends to all, and their mean is what it gives.
    """

    reader: ClassVar[str] = "gendsl.nn.networks.transformer:build_reader"
    op: ClassVar[str | None] = "attention"

    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"layers": 2, "width": 8, "heads": 2},
        {"layers": 1, "width": 12, "heads": 3, "cross": "t"},
        {"layers": 1, "width": 8, "heads": 2, "frame": {"type": "mlp", "hidden": [6]}},
        {"layers": 2, "width": 8, "heads": 2, "positions": "rope", "cross": "t"},
        {"layers": 1, "width": 8, "heads": 1, "positions": "axes"},
    )

    cloze: ClassVar[str] = "gendsl.nn.networks.cloze:build_cloze"

    layers: Size = 4
    heads: Size = 4
    positions: Literal["learned", "axes", "rope"] = Field(
        default="learned",
        description="a learned vector for each token, one for each place on each axis, or rotations (RoPE)",
    )
    cross: str | None = None
    """The parent that is read token by token by an encoder of as many layers; all others modulate."""

    def lacking(self) -> str | None:
        if self.width % self.heads:
            return f"transformer needs a `width` divisible by its {self.heads} heads; it is {self.width}"
        if self.positions == "rope" and self.width // self.heads % 2:
            return f"transformer turns pairs of channels with rope: {self.width // self.heads} of a `width` are odd"
        return None

    def problem(self, inputs: Inputs, target: Target) -> str | None:
        why = self.lacking()
        if why is not None:
            return why
        if self.cross is not None and self.cross not in [i.name for i in inputs]:
            return f"transformer attends to {self.cross}, which is not among its parents; {describe(inputs)}"
        return super().problem(inputs, target)

    @property
    def named(self) -> str | None:
        return self.cross

    def rest(self, inputs: Inputs) -> Inputs:
        """The parents that modulate."""
        return tuple(i for i in inputs if i.name != self.cross)

    def bill(self, inputs: Inputs, target: Target, outputs: int = 0) -> Bill:
        head, source, width = as_input(target), self.source(inputs), self.width
        entries, context = self.tokens(head.shape), context_width(self.rest(inputs))
        total = self.entering(head, width) + Bill(
            width * (1 + self._places(head.shape if self.frame is None else head.shape[:1]))
        )
        total += Bill(embedding_parameters(self.rest(inputs)), 0, context)
        block = self._attention(entries, entries) + self._dense(entries)
        block += film_bill(context, width, entries) * 2
        if source is not None:
            total += token_bill(source, width) + self.over(source, 0)
            block += self._attention(entries, instants(source))
        return total + block * self.layers + self._norm(entries) + self.saying(head, width, outputs)

    def over(self, source: Input, context: int) -> Bill:
        tokens = instants(source)
        block = (
            self._attention(tokens, tokens) + self._dense(tokens) + film_bill(context, self.width, tokens) * 2
        )
        shape = source.shape if len(source.shape) != 2 else source.shape[:1]
        return block * self.layers + self._norm(tokens) + Bill(self.width * self._places(shape))

    def _places(self, shape: Shape) -> int:
        """How many learned vectors tell tokens of this shape apart."""
        return {"learned": numel(shape), "axes": sum(shape), "rope": 0}[self.positions]

    def orderings(self) -> tuple[str, ...] | None:
        """Under `any` hidden entries are alike but for their places, which rope tells by differences only."""
        known = super().orderings()
        return tuple(o for o in known or () if o != "any") if self.positions == "rope" else known

    def _norm(self, tokens: int) -> Bill:
        return Bill(2 * self.width, 0, 2 * self.width * tokens)

    def _attention(self, queries: int, keys: int) -> Bill:
        """Norm, queries, keys and values, attention (whose weights are not kept), output."""
        width = self.width
        maps = dense(width, width, queries) * 2 + dense(width, width, keys) * 2
        scores = Bill(0, 4 * queries * keys * width, 2 * width * (queries + keys))
        return self._norm(queries) + maps + scores

    def _dense(self, tokens: int) -> Bill:
        """Norm, a dense layer four times as wide, gelu, a dense layer."""
        width = self.width
        maps = dense(width, 4 * width, tokens) + dense(4 * width, width, tokens)
        return self._norm(tokens) + maps + Bill(activations=8 * width * tokens)


class Reader(Net):
    """A sequence net that reads the tokens of a parent and gives features, [width]."""

    kind: ClassVar[str] = "net"
    tag: ClassVar[str] = "reader"
    build: ClassVar[str] = "gendsl.nn.building:build_reader"

    of: SequenceNet

    @property
    def op(self) -> str | None:  # type: ignore[override]
        """That of the net."""
        return self.of.op

    @property
    def words(self) -> str:
        return f"{self.of.tag} over a parent"

    def source(self, inputs: Inputs) -> Input:
        """The parent that is read token by token: the one that is named, or the first of most entries."""
        return self.of.source(inputs) or max(inputs, key=lambda i: numel(i.shape))

    def rest(self, inputs: Inputs) -> Inputs:
        """The parents that modulate."""
        return tuple(i for i in inputs if i.name != self.source(inputs).name)

    def problem(self, inputs: Inputs, target: Target) -> str | None:
        if not inputs:
            return f"{self.of.tag} has nothing to read"
        if self.of.frame is not None:
            reads = self.source(inputs).name
            return f"{self.of.tag} takes `frame` where its head has an ordering; here it reads {reads}"
        if self.of.named is not None and self.of.source(inputs) is None:
            return f"{self.of.tag} attends to {self.of.named}, which is not among its parents; {describe(inputs)}"
        return self.of.lacking()

    def features(self, inputs: Inputs, target: Target) -> Shape:
        return (self.of.width,)

    def bill(self, inputs: Inputs, target: Target, outputs: int = 0) -> Bill:
        source, rest = self.source(inputs), self.rest(inputs)
        context = context_width(rest)
        entering = token_bill(source, self.of.width) + Bill(embedding_parameters(rest), 0, context)
        return entering + self.of.over(source, context)
