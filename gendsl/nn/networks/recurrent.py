"""`rnn`, `lstm`, `gru`: recurrent nets over the entries in their turn; the parents modulate every token."""

from __future__ import annotations

from torch import Tensor, nn

from gendsl.nn.conditioning import Context, Film, Values
from gendsl.nn.networks.frames import entering, said, saying, stepping
from gendsl.nn.networks.layers import require
from gendsl.nn.stepping import Stepper
from gendsl.schema.components.net_seq import Recurrent
from gendsl.schema.facts import Input, Inputs


class RecurrentNet(nn.Module):
    """Values and x [B, *target] -> raw parameters [B, outputs, *target]."""

    def __init__(self, spec: Recurrent, inputs: Inputs, target: Input, outputs: int, order: Tensor) -> None:
        super().__init__()
        self.framed = spec.frame is not None
        self.enter = entering(spec, target, spec.width, order)
        self.context = Context(inputs) if inputs else None
        self.film = Film(self.context.width, spec.width) if self.context is not None else None
        cells: dict[str, type[nn.RNN] | type[nn.LSTM] | type[nn.GRU]] = {
            "rnn": nn.RNN,
            "lstm": nn.LSTM,
            "gru": nn.GRU,
        }
        self.body = cells[spec.tag](
            spec.width,
            spec.width,
            spec.layers,
            batch_first=True,
            dropout=spec.dropout if spec.layers > 1 else 0.0,
        )
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
