"""The sections of a spec that declare the model: what a key under prior, decoder, flow, encoder, ... may say."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_serializer, model_validator

from gendsl.schema.components.adversary import Loss, NonSaturating, Penalty
from gendsl.schema.components.augment import Augment
from gendsl.schema.components.bound import Bound
from gendsl.schema.components.corruption import Corruption as Channel
from gendsl.schema.components.dist import Dist
from gendsl.schema.components.energy import Energy
from gendsl.schema.components.energy_objective import EnergyObjective
from gendsl.schema.components.estimator import Estimator
from gendsl.schema.components.flow import FlowLayer
from gendsl.schema.components.negatives import Negatives
from gendsl.schema.components.net import Net
from gendsl.schema.fields import Count, Name, Names, NonNegative, Positive, ShapeField, Words
from gendsl.schema.registry import Slot, Strict
from gendsl.schema.shorthand import gather, listed

NetField = Annotated[Net, Slot("net")]
Layers = Annotated[tuple[Annotated[FlowLayer, Slot("flow")], ...], Field(strict=False)]


class Factor(Strict):
    """The conditional distribution of one variable given its parents."""

    given: Names = Field(default=(), description="parents: one variable or a list")
    dist: Annotated[Dist, Slot("dist")] = Field(description="the distribution: a name, or a map with `type`")
    net: NetField | None = Field(
        default=None, description="network that computes the parameters from the parents"
    )
    shape: ShapeField | None = Field(
        default=None, description="sizes of one row of the variable, without the batch"
    )
    flow: Layers = Field(
        default=(), description="normalizing flow on top, from the variable inwards to its base"
    )

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        """The distribution's own parameters may be written flat beside `dist`."""
        return gather(cls, "dist", value)


class FlowFactor(Strict):
    """The variable is a bijection of the first of `given`; the rest of `given` conditions it."""

    given: Annotated[Names, Field(min_length=1)] = Field(
        description="the base, then what conditions the flow"
    )
    stack: Annotated[Layers, Field(min_length=1)] = Field(
        description="layers from the variable inwards to its base"
    )


class EnergyFactor(Strict):
    """A fixed energy by `type`, or a network's output; `negatives` says how the network is trained."""

    bare = "energy"
    given: Names = Field(default=(), description="the conditions that E reads beside the variable")
    type: Annotated[Energy, Slot("energy")] | None = None
    net: NetField | None = None
    shape: ShapeField | None = None
    negatives: Annotated[Negatives, Slot("negatives")] | None = None

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        return gather(cls, "type", value, "energy")


class Corruption(Strict):
    """A fixed noise channel from `given` to this variable, which an encoder may read."""

    given: Name
    dist: Annotated[Channel, Slot("corruption")] = Field(description="the channel: gaussian, mask, ...")

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        return gather(cls, "dist", value, "corruption")


class Noise(Strict):
    """Instance noise on everything a critic sees (Arjovsky and Bottou 2017)."""

    std: Positive
    anneal: Count | None = Field(default=None, description="steps over which it goes linearly to zero")


class Unroll(Strict):
    """The model answers a critic that has moved on (Metz et al. 2017): steps of gradient descent on its own loss."""

    steps: Count = 5
    lr: Positive = Field(default=0.05, description="step size of the inner gradient descent")


class Adversary(Strict):
    """A critic; `sees` names the variables whose two joints it compares."""

    sees: Annotated[Names, Field(min_length=1)]
    loss: Annotated[Loss, Slot("loss")] = NonSaturating()
    net: NetField
    penalty: Annotated[tuple[Annotated[Penalty, Slot("penalty")], ...], Field(strict=False)] = ()
    steps: Count = Field(default=1, description="critic steps for each step of the model")
    noise: Noise | None = None
    smoothing: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        default=0.0, description="one-sided label smoothing of the logistic losses (Salimans et al. 2016)"
    )
    start: Annotated[int, Field(ge=0)] = Field(
        default=0, description="step at which it first acts on the model"
    )
    unroll: Count | Unroll | None = Field(
        default=None, description="the model's gradient goes through so many steps of the critic"
    )
    pack: Count = Field(default=1, description="tuples that the critic judges together (PacGAN)")
    project: Name | None = Field(
        default=None,
        description="label that it sees as an inner product with its features (Miyato and Koyama 2018)",
    )
    classify: Name | None = Field(
        default=None, description="label that a second head of the critic tells (AC-GAN)"
    )
    augment: Annotated[Augment, Slot("augment")] | None = Field(
        default=None, description="augmentation of what the critic sees, on both sides"
    )

    @property
    def unrolled(self) -> Unroll | None:
        """`unroll: 5` is `unroll: {steps: 5}`."""
        return Unroll(steps=self.unroll) if isinstance(self.unroll, int) else self.unroll

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """`penalty` takes one or a list."""
        return listed(value, "penalty")


class Partial(Strict):
    """So many class-balanced, seeded rows of the training part are known; the rest is hidden."""

    partial: Count


class Missing(Strict):
    """Entries removed at random, kept for metrics."""

    rate: Annotated[float, Field(gt=0, lt=1)]


class VariableFacts(Strict):
    """Facts on a variable; what is inferred need not be written, what is written is checked."""

    shape: ShapeField | None = None
    support: Literal["real", "positive", "unit", "binary", "counts"] | None = None
    observed: Literal["always", "never"] | Partial | None = None
    missing: bool | Missing | None = None


class TermOptions(Strict):
    """Weight of a derived term, and the steps over which it grows linearly from 0 to that weight."""

    weight: NonNegative = 1.0
    warmup: Annotated[int, Field(ge=0)] = 0


class KlOptions(TermOptions):
    """Of a KL term also: nats for each dimension that cost nothing, or a target (Burgess et al. 2018)."""

    free_bits: NonNegative = Field(
        default=0.0, description="nats for each latent dimension that are not penalised"
    )
    capacity: NonNegative | None = Field(
        default=None, description="weight * |KL - capacity| instead of weight * KL"
    )


class ReconstructionOptions(TermOptions):
    """`in: d.features` measures the reconstruction in an adversary's last hidden layer (Larsen et al. 2016).

    `walkback: N` reconstructs the row also from the next N corrupted states of the chain that it starts (Bengio et al.
    2013, section 3.3).
    """

    in_: (
        Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\.features$"), Words("ADVERSARY.features")]
        | None
    ) = Field(default=None, alias="in")
    walkback: Count | None = Field(
        default=None,
        description="of a denoiser without a prior: steps of its chain that are reconstructed too",
    )

    @model_serializer(mode="wrap")
    def _alias(self, handler: Any) -> dict[str, Any]:
        value: dict[str, Any] = handler(self)
        if "in_" in value:
            value["in"] = value.pop("in_")
        return value


class MmdOptions(TermOptions):
    """Maximum mean discrepancy between the codes and the prior (Zhao et al. 2019; Tolstikhin et al. 2018)."""

    scale: Positive | None = Field(default=None, description="kernel scale; sqrt(D) if not written")


class EnergyOptions(TermOptions):
    """Of an energy's term also: how the energy is trained where it is not by negatives."""

    bare = "energy_objective"
    type: Annotated[EnergyObjective, Slot("energy_objective")] | None = None

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        return gather(cls, "type", value, "energy_objective")


class PathLengthOptions(TermOptions):
    """Path-length regularisation of a decoder (Karras et al. 2020, eq. 4): every so many steps, times that number."""

    weight: NonNegative = 2.0
    every: Count = Field(default=4, description="computed every so many steps, times that number (lazy)")


Terms = dict[Name, TermOptions]


class Objective(Strict):
    """Re-weights or re-estimates the derived terms, or adds a named regulariser."""

    bound: Annotated[Bound, Slot("bound")] | None = None
    likelihood: Terms = {}
    reconstruction: dict[Name, ReconstructionOptions] = {}
    kl: dict[Name, KlOptions] = {}
    prior: Terms = {}
    mutual_information: Terms = {}
    classification: Terms = {}
    codebook: Terms = {}
    adversary: Terms = {}
    classified: Terms = {}
    mmd: dict[Name, MmdOptions] = {}
    energy: dict[Name, EnergyOptions] = {}
    path_length: dict[Name, PathLengthOptions] = {}
    total_correlation: Terms = {}
    estimator: dict[Name, Annotated[Estimator, Slot("estimator")]] = {}
