"""What the nets share that walk a variable token by token: what a token is, and what is said at it.

A token is an entry, and a dense layer says its raw numbers; or, with `frame`, an instant of a sequence [T, D], and
`frame` is the network that says its D entries from the state h_t that has read the instants before:

    mlp:   p(x_t | x_<t) = prod_d p(x_td | h_t)                  (Chung et al. 2014; Bai et al. 2018)
    made:  p(x_t | x_<t) = prod_d p(x_td | h_t, x_t,<d)          (Boulanger-Lewandowski et al. 2012, there a NADE)
"""

from typing import Annotated

from pydantic import Field

from gendsl.schema.components.net import (
    Bill,
    Mlp,
    Net,
    Target,
    dense,
    head_bill,
    shape_of,
)
from gendsl.schema.components.net_ar import AutoregressiveNet, Made, entry_bill
from gendsl.schema.facts import Input, Inputs, Shape, numel
from gendsl.schema.registry import Slot

STATE = "state?"
"""The name under which a frame's network reads the state of its token; no variable can have it."""
Rate = Annotated[float, Field(ge=0, lt=1)]


class TokenNet(AutoregressiveNet):
    """Base of the nets that walk tokens."""

    frame: Annotated[Net, Slot("net")] | None = Field(
        default=None,
        description="of a sequence [T, D]: one token for each instant, whose entries this mlp or made says",
    )
    dropout: Rate = Field(
        default=0.0,
        description="share of the hidden units that a training step leaves out (Srivastava et al. 2014)",
    )

    @property
    def words(self) -> str:
        return self.tag if self.frame is None else f"{self.tag} over time, {self.frame.tag} over each frame"

    def orderings(self) -> tuple[str, ...] | None:
        """As any, but the instants of frames come in their own turn."""
        return super().orderings() if self.frame is None else ("natural", "time")

    def problem(self, inputs: Inputs, target: Target) -> str | None:
        shape = shape_of(target)
        if self.frame is not None and shape is not None:
            if len(shape) != 2:
                return f"{self.tag} takes `frame` for a sequence [T, D], and the head is {list(shape)}"
            if not isinstance(self.frame, Mlp | Made):
                return f"{self.tag} takes an mlp or a made as its `frame`, which is {self.frame.tag}"
        return super().problem(inputs, target)

    def tokens(self, shape: Shape) -> int:
        """How many tokens a variable has."""
        return numel(shape) if self.frame is None else shape[0]

    def entering(self, target: Input, width: int) -> Bill:
        """Making a token of every entry, or instant."""
        tokens = self.tokens(target.shape)
        return (
            entry_bill(target)
            + dense(target.width // tokens, width, tokens)
            + Bill(activations=width * tokens)
        )

    def saying(self, target: Input, width: int, outputs: int) -> Bill:
        """From the state at every token to the raw numbers of its entries."""
        tokens = self.tokens(target.shape)
        if self.frame is None:
            return dense(width, outputs, tokens)
        state, head = frame_inputs(target, width)
        bill = self.frame.bill((state,), head, outputs)
        if not self.frame.autoregressive:
            bill += head_bill(self.frame.features((state,), head), (outputs, *head.shape))
        return Bill(bill.parameters, bill.flops * tokens, bill.activations * tokens)


def frame_inputs(target: Input, width: int) -> tuple[Input, Input]:
    """What a frame's network reads, and the instant that it says."""
    return Input(STATE, (width,)), Input(target.name, target.shape[1:], target.support, target.labels)
