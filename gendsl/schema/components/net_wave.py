"""`wavenet`: gated dilated causal convolutions over the entries in their turn (van den Oord et al. 2016).

Token t is made of entry t - 1, as for recurrent nets and transformers. Layer l of a stack is dilated 2^l times, so a
stack of L layers with kernel k reaches back (k - 1) (2^L - 1) tokens.
"""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from gendsl.schema.components.net import Bill, Size, Target, as_input, dense
from gendsl.schema.components.net_planes import context_width
from gendsl.schema.components.net_tokens import TokenNet
from gendsl.schema.facts import Inputs, Shape, embedding_parameters
from gendsl.schema.registry import component


@component("net", "wavenet", build="gendsl.nn.networks.wavenet:build_wavenet")
class WaveNet(TokenNet):
    """Gated dilated causal convolutions with skip connections (van den Oord et al. 2016).

    z = tanh(W_f * h + V_f c) sigmoid(W_g * h + V_g c), h <- h + R z, s <- s + S z, with the dilations 1, 2, 4, ...
    in each stack; sees the last `stacks (kernel - 1) (2^layers - 1) + 1` entries, or instants.
    """

    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"layers": 4, "width": 10},
        {"layers": 2, "stacks": 2, "width": 8, "kernel": 3},
        {"layers": 2, "width": 10, "frame": {"type": "mlp", "hidden": []}},
    )

    layers: Annotated[int, Field(ge=1, le=16)] = Field(
        default=8, description="layers of a stack, dilated 1, 2, 4, ..."
    )
    stacks: Size = 1
    width: Size = 32
    kernel: Annotated[int, Field(ge=2, le=16)] = 2

    def dilations(self) -> tuple[int, ...]:
        """The dilation of every layer, first to last."""
        return tuple(2**layer for layer in range(self.layers)) * self.stacks

    def reach(self, shape: Shape) -> tuple[int, str] | None:
        """How many entries, or instants of frames, before it an entry depends on; None where these are all of them."""
        seen = 1 + (self.kernel - 1) * sum(self.dilations())
        what = "entries" if self.frame is None else "instants"
        return (seen, what) if seen < self.tokens(shape) - 1 else None

    def bill(self, inputs: Inputs, target: Target, outputs: int = 0) -> Bill:
        head = as_input(target)
        entries, width, context = self.tokens(head.shape), self.width, context_width(inputs)
        total = self.entering(head, width) + Bill(width + embedding_parameters(inputs), 0, context)
        layer = dense(self.kernel * width, 2 * width, entries) + dense(width, width, entries) * 2
        layer += dense(context, 2 * width, bias=False) if context else Bill()
        layer += Bill(activations=(self.kernel + 3) * width * entries)
        total += layer * len(self.dilations())
        last = dense(width, width, entries)  # no layer follows the last one's residual
        total += Bill(-last.parameters, -last.flops)
        total += dense(width, width, entries) + Bill(activations=2 * width * entries)
        return total + self.saying(head, width, outputs)
