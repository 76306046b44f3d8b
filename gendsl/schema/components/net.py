"""Networks without torch: their base, what they cost, the output layer's facts, `mlp` and `ref`.

A *direct* net maps the parents of a factor to features, and the factor's own output layer (the head) maps
these to raw parameters. An *autoregressive* net reads the head variable too and gives the raw parameters of
every entry itself. How parents are read is one rule for all nets: `gendsl.nn.conditioning`.

Costs are per row: `parameters` is exact, `flops` (two for each multiply-add, one forward pass) and
`activations` (numbers kept for the backward pass) are good to a factor of two.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from gendsl.schema.facts import Input, Inputs, Shape, embedding_parameters, numel, vector_width
from gendsl.schema.registry import Component, component

Activation = Literal["relu", "leaky_relu", "elu", "silu", "gelu", "tanh", "sigmoid", "softplus"]
Size = Annotated[int, Field(ge=1)]
Kernel = Literal[3, 5, 7, 9, 11]
Sizes = Annotated[tuple[Size, ...], Field(strict=False)]
Target = Shape | Input | None
"""The head variable: its shape, or all that is known of it; None for a critic."""


@dataclass(frozen=True)
class Bill:
    """What a piece of a network costs for one row."""

    parameters: int = 0
    flops: int = 0
    activations: int = 0

    def __add__(self, other: "Bill") -> "Bill":
        return Bill(
            self.parameters + other.parameters, self.flops + other.flops, self.activations + other.activations
        )

    def __mul__(self, times: int) -> "Bill":
        return Bill(self.parameters * times, self.flops * times, self.activations * times)


class Net(Component):
    """Base of the networks."""

    autoregressive: ClassVar[bool] = False
    cached: ClassVar[bool] = True
    """Of an autoregressive one: whether its walk keeps what it has computed; else every entry takes a whole pass."""
    energy: ClassVar[bool] = False
    """It gives an energy itself rather than features."""
    op: ClassVar[str | None] = None
    """The fused operation that it is made of, for the placement pass."""
    styled: ClassVar[bool] = False
    """Whether it maps its inputs to styles first (`mapping`), which path lengths are measured in."""

    @abstractmethod
    def problem(self, inputs: Inputs, target: Target) -> str | None:
        """Why this net cannot be built on these inputs for this head, with the fix; None where it can."""

    @abstractmethod
    def bill(self, inputs: Inputs, target: Target, outputs: int = 0) -> Bill:
        """The whole cost; an autoregressive net includes its layer of `outputs` raw numbers per entry."""

    @property
    def words(self) -> str:
        """What it is, in explain."""
        return self.tag

    @property
    def random(self) -> bool:
        """Whether its output is random given its inputs: a factor with such a net has no density."""
        return False

    def features(self, inputs: Inputs, target: Target) -> Shape:
        """The shape of a direct net's features, (H,) or (F, h, w). Raises ValueError if autoregressive."""
        raise ValueError(f"{self.tag} is autoregressive: it gives raw parameters, not features")

    def parameters(self, inputs: Inputs, target: Target, outputs: int = 0) -> int:
        """The number of parameters, exactly. An autoregressive net over labels needs `target` as an Input."""
        return self.bill(inputs, target, outputs).parameters

    def flops(self, inputs: Inputs, target: Target, outputs: int = 0) -> int:
        """Floating-point operations of one row forward: two for each multiply-add."""
        return self.bill(inputs, target, outputs).flops

    def activations(self, inputs: Inputs, target: Target, outputs: int = 0) -> int:
        """Numbers of one row kept for the backward pass."""
        return self.bill(inputs, target, outputs).activations

    def sums_exactly(self, visible: int) -> bool:
        """Whether the normaliser of a net that is an energy is a sum over few enough states."""
        return False

    def reach(self, shape: Shape) -> tuple[int, str] | None:
        """How many entries (or instants, the word says which) before it an entry of a variable of this shape can depend
        on, where the net states a limit below all of them.
        """
        return None

    def reading(self) -> "Net":
        """The net of a factor whose head has no ordering: itself, or what reads the parents in its stead."""
        return self

    def orderings(self) -> tuple[str, ...] | None:
        """The tags of the orderings that an autoregressive net can follow; None where it does not matter."""
        return None


def as_input(target: Target) -> Input:
    """The head variable as an Input; a bare shape stands for real values. Raises ValueError for None."""
    if target is None:
        raise ValueError("a critic has no head variable")
    return target if isinstance(target, Input) else Input("target", target)


def shape_of(target: Target) -> Shape | None:
    """The head variable's shape, None for a critic."""
    return target.shape if isinstance(target, Input) else target


def describe(inputs: Inputs) -> str:
    """The parents in a message: `z is [16], y is a label`."""
    words = [
        f"{i.name} is {list(i.shape) if i.shape else 'a label' if i.labels else 'a number'}" for i in inputs
    ]
    return ", ".join(words) if words else "there are none"


def readable(inputs: Inputs) -> str | None:
    """Why one of the inputs cannot be read at all."""
    for i in inputs:
        if i.labels and i.support.count is None:
            return f"{i.name} has infinitely many values and cannot be read as a label"
    return None


def kept(activation: Activation) -> int:
    """How many numbers per unit an activation keeps: its output, and its input if that is another number."""
    return 1 if activation in ("relu", "tanh", "sigmoid") else 2


def dense(inputs: int, outputs: int, positions: int = 1, bias: bool = True) -> Bill:
    """A dense layer applied at each of `positions`; its input counts as kept by what produced it."""
    return Bill(inputs * outputs + (outputs if bias else 0), 2 * inputs * outputs * positions)


def activated(units: int, activation: Activation) -> Bill:
    """An activation of `units` numbers."""
    return Bill(activations=kept(activation) * units)


def film(context: int, width: int, positions: int = 1) -> Bill:
    """Modulation of `width` features at `positions` by a context vector; nothing without one."""
    if not context:
        return Bill()
    return dense(context, 2 * width) + Bill(activations=width * positions + width)


def read_vector(inputs: Inputs) -> Bill:
    """Reading all inputs into one vector."""
    return Bill(embedding_parameters(inputs), 0, vector_width(inputs))


def head_parameters(features: Shape, raw: Shape) -> int:
    """Parameters of the output layer from features to raw parameters (`gendsl.nn.head.Head`)."""
    return head_bill(features, raw).parameters


def head_bill(features: Shape, raw: Shape) -> Bill:
    """The cost of the output layer."""
    if pointwise(features, raw):
        return dense(features[0], numel(raw[:-2]), numel(raw[-2:]))
    return dense(numel(features), numel(raw))


def pointwise(features: Shape, raw: Shape) -> bool:
    """Whether the output layer is a 1x1 convolution: features (F, h, w) and raw (P, h, w) or (P, C, h, w)."""
    return len(features) == 3 and len(raw) >= 3 and features[-2:] == raw[-2:]


@component("net", "mlp", build="gendsl.nn.networks.mlp:build_mlp")
class Mlp(Net):
    """Dense layers on all parents concatenated into one vector; without hidden layers the vector itself."""

    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"hidden": [32, 24]},
        {"hidden": [16], "activation": "tanh"},
        {"hidden": []},
    )

    hidden: Sizes = (256, 256)
    activation: Activation = "relu"

    def problem(self, inputs: Inputs, target: Target) -> str | None:
        if not inputs:
            return "mlp has nothing to read; name parents with `given`, or leave the net out"
        return readable(inputs)

    def features(self, inputs: Inputs, target: Target) -> Shape:
        return (self.hidden[-1] if self.hidden else vector_width(inputs),)

    def bill(self, inputs: Inputs, target: Target, outputs: int = 0) -> Bill:
        total, width = read_vector(inputs), vector_width(inputs)
        for size in self.hidden:
            total += dense(width, size) + activated(size, self.activation)
            width = size
        return total


@component("net", "ref", build="")
class Ref(Component):
    """The network of that name under `nets`: its body is shared, each factor keeps its own output layer."""

    primary: ClassVar[str | None] = "name"
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({"name": "trunk"},)

    name: str
