"""`rnn`, `lstm`, `gru`: recurrent nets over the entries in their turn; the parents modulate every token."""

from __future__ import annotations

from torch import Tensor, nn

from gendsl.nn.conditioning import Context, Film, Values
from gendsl.nn.networks.frames import entering, said, saying, stepping
from gendsl.nn.networks.layers import require
from gendsl.nn.networks.tokens import Tokens
from gendsl.nn.stepping import Stepper
from gendsl.schema.components.net_seq import Reader, Recurrent, instants
from gendsl.schema.facts import Input, Inputs, Shape


def recurrence(spec: Recurrent) -> nn.RNN | nn.LSTM | nn.GRU:
    """The layers of a recurrent net, over tokens [B, T, width]."""
    cells: dict[str, type[nn.RNN] | type[nn.LSTM] | type[nn.GRU]] = {
        "rnn": nn.RNN,
        "lstm": nn.LSTM,
        "gru": nn.GRU,
    }
    dropout = spec.dropout if spec.layers > 1 else 0.0
    return cells[spec.tag](spec.width, spec.width, spec.layers, batch_first=True, dropout=dropout)


class RecurrentNet(nn.Module):
    """Values and x [B, *target] -> raw parameters [B, outputs, *target]."""

    def __init__(self, spec: Recurrent, inputs: Inputs, target: Input, outputs: int, order: Tensor) -> None:
        super().__init__()
        self.framed = spec.frame is not None
        self.enter = entering(spec, target, spec.width, order)
        self.context = Context(inputs) if inputs else None
        self.film = Film(self.context.width, spec.width) if self.context is not None else None
        self.body = recurrence(spec)
        self.drop = nn.Dropout(spec.dropout)
        self.out = saying(spec, target, spec.width, outputs)

    def forward(self, values: Values, x: Tensor) -> Tensor:
        h = self.enter(x)
        if self.film is not None and self.context is not None:
            h = self.film(h, self.context(values))
        h, _ = self.body(self.drop(h))
        return said(self.out, self.enter, self.drop(h), x)

    def stepper(self, values: Values, rows: int) -> Stepper:
        return stepping(RecurrentSteps(self, values, rows), self.out)


class RecurrentSteps:
    """One step of the recurrence for each token; what is kept is the state."""

    differentiable = True

    def __init__(self, net: RecurrentNet, values: Values, rows: int) -> None:
        self.net, self.rows = net, rows
        self.context = net.context(values) if net.context is not None else None
        self.kept: Tensor | tuple[Tensor, Tensor] | None = None

    def state(self, last: Tensor | None) -> Tensor:
        h = self.net.enter.one(last, self.rows)
        if self.net.film is not None and self.context is not None:
            h = self.net.film(h, self.context)
        h, self.kept = self.net.body(self.net.drop(h)[:, None], self.kept)
        state: Tensor = self.net.drop(h[:, 0])
        return state


def build_recurrent(
    spec: Recurrent, inputs: Inputs, target: Input, outputs: int, order: Tensor
) -> RecurrentNet:
    """The module of an `rnn`, `lstm` or `gru`; `order` is the rank of every flattened entry."""
    require(spec, inputs, target)
    return RecurrentNet(spec, inputs, target, outputs, order)


class RecurrentReader(nn.Module):
    """Values -> the state after the last token of a parent, [B, width]; the others modulate its tokens."""

    def __init__(self, spec: Reader, inputs: Inputs) -> None:
        super().__init__()
        assert isinstance(spec.of, Recurrent)
        source, rest = spec.source(inputs), spec.rest(inputs)
        self.source = source.name
        self.enter = Tokens(source, spec.of.width, instants(source))
        self.context = Context(rest) if rest else None
        self.film = Film(self.context.width, spec.of.width) if self.context is not None else None
        self.body = recurrence(spec.of)
        self.drop = nn.Dropout(spec.of.dropout)

    def forward(self, values: Values) -> Tensor:
        h = self.enter(values[self.source])
        if self.film is not None and self.context is not None:
            h = self.film(h, self.context(values))
        h, _ = self.body(self.drop(h))
        last: Tensor = self.drop(h[:, -1])
        return last


def build_reader(spec: Reader, inputs: Inputs, target: Shape | None) -> RecurrentReader:
    """The module of an `rnn`, `lstm` or `gru` that reads a parent."""
    require(spec, inputs, target)
    return RecurrentReader(spec, inputs)
