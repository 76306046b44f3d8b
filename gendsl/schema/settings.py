"""The sections of a spec that say how the model is fed, trained, evaluated, sampled and run."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from gendsl.schema.components.extractor import Extractor, LabelClassifier
from gendsl.schema.components.optim import Adam, OptimSpec
from gendsl.schema.components.source_base import Source
from gendsl.schema.components.source_generated import Digits
from gendsl.schema.components.step import Step
from gendsl.schema.fields import Count, Fraction, Name, Positive, Size, Words
from gendsl.schema.registry import Component, Slot, Strict, find
from gendsl.schema.shorthand import gather

DEFAULT_STEPS = 2000
"""Steps of training where neither steps nor epochs are written."""


class Binding(Strict):
    """Which column a variable is, and through which preprocessing. A bare word names the column."""

    bare = "any"
    column: str
    as_: Annotated[tuple[Annotated[Step, Slot("step")], ...], Field(strict=False)] = Field(
        default=(), alias="as"
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"column": value}
        if isinstance(value, dict) and isinstance(value.get("as"), str | Component):
            return {**value, "as": [value["as"]]}
        return value


class Data(Strict):
    """Where the rows come from. The source's own parameters stand beside `source`."""

    source: Annotated[Source, Slot("source")] = Digits()
    split: Annotated[dict[Literal["train", "valid", "test"], Fraction], Field(min_length=1)] | None = Field(
        default=None, description="shares of the rows: {train: 0.8, test: 0.2}"
    )
    bind: Annotated[dict[Name, Binding], Field(min_length=1)]

    @property
    def shares(self) -> dict[str, float]:
        """The split by the parts' names; empty where none is written."""
        return {str(part): share for part, share in (self.split or {}).items()}

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        if isinstance(value, dict) and "source" not in value and set(value) - set(cls.model_fields):
            value = {"source": "digits", **value}
        return gather(cls, "source", value)


class Stage(Strict):
    """A part of the training that updates only what `fit` names."""

    fit: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | str = Field(
        description="factors, as explain names them: encoder.z, decoder.x, adversary.d"
    )
    steps: Count | None = None

    @property
    def factors(self) -> tuple[str, ...]:
        return (self.fit,) if isinstance(self.fit, str) else self.fit


class PlayerOptions(Strict):
    """What one player does differently."""

    optim: Annotated[OptimSpec, Slot("optim", default="adam")] | None = Field(
        default=None, description="without `type`, train.optim with these keys changed"
    )


class Players(Strict):
    """Options of the players: `model`, and each adversary by its name."""

    model: PlayerOptions = PlayerOptions()
    adversary: dict[Name, PlayerOptions] = {}


class Checkpoints(Strict):
    """How often the state is kept, and how many of the newest stay."""

    every: Count = 500
    keep: Count = 2


class Validate(Strict):
    """How often the objective is computed on the validation rows; stops after `patience` times without a better one.

    While the weight of a term warms up, its losses are of other objectives: none of them is the best, and none is
    waited for.
    """

    every: Count = 500
    patience: Count | None = None


class Train(Strict):
    """How long, in which batches, with which optimiser."""

    steps: Size | None = Field(
        default=None, description=f"optimiser steps of the model ({DEFAULT_STEPS} if neither is written)"
    )
    epochs: Size | None = Field(default=None, description="passes over the training rows, instead of steps")
    batch_size: Size = 128
    optim: Annotated[OptimSpec, Slot("optim", default="adam")] = Adam()
    players: Players = Players()
    ema: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description="decay of the averaged weights that evaluation and sampling use"
    )
    checkpoint: Checkpoints = Checkpoints()
    validate_: Validate | None = Field(default=None, alias="validate")
    on_nan: Literal["stop", "skip", "rollback"] = "stop"
    stages: Annotated[tuple[Stage, ...], Field(strict=False)] = ()
    log: Count = Field(default=50, description="steps between two lines of metrics.jsonl")

    def optim_of(self, player: str) -> OptimSpec:
        """The optimiser of a player by its name: `model`, `adversary.d`."""
        options = self.players
        own = options.model if player == "model" else options.adversary.get(player.removeprefix("adversary."))
        return own.optim if own is not None and own.optim is not None else self.optim

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, value: Any) -> Any:
        """A player's optimiser without `type` changes keys of the common one."""
        if not isinstance(value, dict) or not isinstance(value.get("players"), dict):
            return value
        common = value.get("optim", {})
        common = {"type": common} if isinstance(common, str) else common
        model = find("optim", str(common.get("type", "adam"))) if isinstance(common, dict) else None
        if model is None:
            return value
        common = {k: v for k, v in common.items() if k == "type" or k in model.model_fields}
        players = value["players"]
        critics = players.get("adversary")
        merged = {k: _on_top(common, v) for k, v in players.items() if k != "adversary"}
        if "adversary" in players:
            merged["adversary"] = (
                {k: _on_top(common, v) for k, v in critics.items()} if isinstance(critics, dict) else critics
            )
        return {**value, "players": merged}

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("write `steps` or `epochs`, not both")
        return self


def _on_top(common: dict[str, Any], options: Any) -> Any:
    """A player's options, its optimiser's keys over the common ones where it names no type."""
    own = options.get("optim") if isinstance(options, dict) else None
    if not isinstance(own, dict) or "type" in own:
        return options
    return {**options, "optim": {**common, **own}}


class Evaluate(Strict):
    """Which metrics, how many importance samples, on which part of the data."""

    metrics: Annotated[tuple[str, ...], Field(strict=False)] | None = Field(
        default=None, description="all that the model can be asked, if not written"
    )
    samples: Count = Field(default=500, description="importance samples for each row")
    split: Literal["train", "valid", "test"] = "test"
    extractor: Annotated[Extractor, Slot("extractor")] = Field(
        default=LabelClassifier(), description="whose features fid and kid compare"
    )
    judge: Literal["samples", "means"] = Field(
        default="samples",
        description="what the judges of samples compare with data: draws of x, or the means of p(x | z) at samples of "
        "z, as papers do of decoders with noise of their own",
    )


class ChainOptions(Strict):
    """The chain that corrupts and denoises in turn: how many steps each sample is away from noise."""

    steps: Count = 100


class Sample(Strict):
    """How many samples are drawn after training, how warm, among which values, under which conditions."""

    n: Count = 64
    temperature: Positive = 1.0
    top_k: Count | None = Field(
        default=None, description="of a categorical draw: only so many of the most probable values"
    )
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="of a categorical draw: the fewest values with at least this probability"
    )
    given: dict[Name, int | float] = {}
    chain: ChainOptions = Field(
        default=ChainOptions(), description="of a denoiser without a prior: its corrupt-and-denoise chain"
    )


class Run(Strict):
    """Device, precision, kernels, threads, seed: never part of the model's hash."""

    device: Annotated[
        str,
        Field(pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$"),
        Words("auto, cpu, cuda, cuda:1 (and so on) or mps"),
    ] = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    kernels: Literal["auto", "reference", "triton"] = "auto"
    threads: Literal["auto"] | Count = "auto"
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0


__all__ = ["Data", "Evaluate", "Run", "Sample", "Train"]
