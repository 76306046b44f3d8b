"""The Graph: variables, factors, critics, and what the passes derive from them.

A Graph is frozen; a pass returns a new one. Names of factors are those of the spec: `encoder.z`, `decoder.x`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal

from gendsl.compiler.order import reached, topological
from gendsl.errors import Diagnostic
from gendsl.kernels.table import Placement
from gendsl.schema.components.corruption import Corruption
from gendsl.schema.components.dist import Categorical, Dist
from gendsl.schema.components.dist_quantised import Vq
from gendsl.schema.components.estimator import Estimator, Relaxed
from gendsl.schema.components.flow import FlowLayer
from gendsl.schema.components.net import Bill, Net
from gendsl.schema.components.ordering import Ordering
from gendsl.schema.components.source_base import Column, SourceFacts
from gendsl.schema.facts import Input, Inputs, Offers, Shape, Support, numel, vector_width
from gendsl.schema.nodes import Path
from gendsl.schema.sections import Adversary
from gendsl.schema.spec import Spec

Side = Literal["p", "q", "c", "e", "d"]


class Role(StrEnum):
    """What a variable is, from the data's point of view."""

    OBSERVED = "observed"
    PARTIAL = "partial"
    LATENT = "latent"
    CONDITION = "condition"
    CORRUPTED = "corrupted"
    METRIC = "metric"
    """Bound, but hidden from the model: it serves metrics only."""


class Kind(StrEnum):
    """What kind of number a number is; composition takes the worst."""

    EXACT = "exact"
    LOWER = "lower"
    UPPER = "upper"
    ESTIMATE = "estimate"
    NONE = "none"

    @property
    def badness(self) -> int:
        return {"exact": 0, "lower": 1, "upper": 1, "estimate": 2, "none": 3}[self]


def worst(kinds: Iterable[Kind]) -> Kind:
    """The worst of exact, lower, estimate, none (docs/semantics.md, section 11)."""
    return max(kinds, key=lambda k: k.badness, default=Kind.EXACT)


@dataclass(frozen=True)
class Variable:
    """A random variable. `column` is the facts of its bound column after preprocessing."""

    name: str
    role: Role
    path: Path
    shape: Shape | None = None
    support: Support | None = None
    column: Column | None = None
    raw_column: Column | None = None
    known: int | None = None
    """How many rows of a partly observed variable are known."""
    missing: float | bool | None = None

    @property
    def bound(self) -> bool:
        return self.role in (Role.OBSERVED, Role.PARTIAL, Role.CONDITION, Role.METRIC)

    @property
    def finite(self) -> bool:
        """Whether it takes finitely many values."""
        return self.support is not None and self.support.count is not None

    @property
    def labels(self) -> bool:
        """Whether networks read it by embedding."""
        return self.column.labels if self.column is not None else self.finite

    def as_input(self) -> Input:
        """The variable as a parent that a network reads."""
        assert self.shape is not None
        assert self.support is not None
        return Input(self.name, self.shape, self.support, self.labels)


@dataclass(frozen=True)
class Factor:
    """p(head | parents), q(head | parents), a channel c(head | parents), an energy exp(-E(head)) or a dequantizer.

    A `flow` section is a factor with a `base`: the head is a bijection of that variable.
    """

    name: str
    side: Side
    head: str
    parents: tuple[str, ...]
    path: Path
    dist: Dist | None = None
    net: Net | None = None
    net_name: str | None = None
    """The name under `nets:` whose body is shared."""
    flow: tuple[FlowLayer, ...] = ()
    base: str | None = None
    ordering: Ordering | None = None
    channel: Corruption | None = None
    inputs: Inputs = ()
    features: Shape | None = None
    base_shape: Shape | None = None
    raw: Shape | None = None
    uses: str | None = None
    """Another factor of the same variable whose distribution this one is made of (vamp, relative_to)."""
    standard: bool = False
    """A prior without parents and net: no parameters, the standard distribution."""
    offers: Offers = field(default_factory=Offers)
    bill: Bill = field(default_factory=Bill)

    @property
    def section(self) -> str:
        return self.name.split(".")[0]

    @property
    def autoregressive(self) -> bool:
        """Whether its network gives the entries one by one, each given those before it."""
        return self.net is not None and self.net.autoregressive

    @property
    def agnostic(self) -> bool:
        """Whether it is the mixture over all orders of its entries (`ordering: any`)."""
        return self.autoregressive and self.ordering is not None and self.ordering.agnostic

    @property
    def product(self) -> bool:
        """Whether its density is a product over the entries given the parents: no order, no flow."""
        factorises = self.dist is not None and self.dist.factorises
        return factorises and not self.autoregressive and not self.flow

    @property
    def layers(self) -> Path:
        """Where its flow is written."""
        return (*self.path, "stack" if self.base is not None else "flow")

    @property
    def context(self) -> int:
        """Width of the vector that conditions the flow; 0 without parents."""
        if self.base is not None:
            return vector_width(self.inputs)
        return numel(self.features) if self.features is not None and self.parents else 0


class How(StrEnum):
    """The route of a latent: how its values come from what is observed (docs/semantics.md, section 4)."""

    BASE = "inverse of a flow"
    CLOSED = "encoder, KL in closed form"
    SAMPLED = "encoder, KL sampled"
    CODE = "code"
    QUANTISED = "nearest codeword, prior fitted to the indices"
    FITTED = "code, prior fitted in a stage"
    ADVERSARIAL = "encoder, KL by an adversary"
    MMD = "encoder, KL replaced by a discrepancy"
    CHAIN = "chain on the posterior"
    SUMMED = "summed out"
    ENUMERATED = "enumerated under the encoder"
    INFORMATION = "mutual information"
    SAMPLED_ONLY = "drawn from the prior"
    """A latent above no scored variable: it is only ever sampled (a GAN's z)."""


@dataclass(frozen=True)
class Route:
    """How one latent gets its values, and where that is decided."""

    variable: str
    how: How
    encoder: str | None = None
    why: str = ""
    estimator: Estimator | None = None
    """Of a drawn latent whose samples have no gradient of their own."""


@dataclass(frozen=True)
class Term:
    """One named part of the objective: loss = sum over terms of sign * weight * value.

    `of` is the quantity that the value estimates, `kind` what kind of number it is.
    """

    name: str
    formula: str
    player: str
    kind: Kind
    of: str
    estimator: str
    sign: int = 1
    weight: float = 1.0
    warmup: int = 0
    auxiliary: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    path: Path = ()

    @property
    def family(self) -> str:
        return self.name.split(".")[0]

    @property
    def subject(self) -> str:
        return self.name.split(".", 1)[1]


@dataclass(frozen=True)
class Critic:
    """An adversary: what it sees, where each side of the comparison comes from."""

    name: str
    spec: Adversary
    path: Path
    net: Net
    net_name: str | None = None
    """The name under `nets:` where it is a reference; the network is this critic's alone."""
    inputs: Inputs = ()
    features: Shape | None = None
    labels: int = 0
    """The width of the second head, that tells a label of each packed tuple."""
    projected: int = 0
    """How many values a projected label has, all packed tuples together."""
    stands_in: str | None = None
    """The latent whose KL the adversary replaces: then observed variables are data on both sides."""
    real_makers: tuple[str, ...] = ()
    """Factors with parameters behind the real tuples."""
    fake_makers: tuple[str, ...] = ()
    bill: Bill = field(default_factory=Bill)

    @property
    def player(self) -> str:
        return f"adversary.{self.name}"


@dataclass(frozen=True)
class Player:
    """Who minimises which terms by changing which factors; `steps` in each step of the model."""

    name: str
    factors: tuple[str, ...]
    terms: tuple[str, ...]
    steps: int = 1


@dataclass(frozen=True)
class Capability:
    """The plan of a query, or (how None) the reason why it is refused."""

    how: str | None
    kind: Kind | None = None
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"how": self.how}
        if self.kind is not None:
            body["kind"] = str(self.kind)
        if self.why:
            body["why"] = self.why
        return body


@dataclass(frozen=True)
class Stage:
    """A stretch of training: which terms each player minimises, and which factors it may change."""

    steps: int | None
    players: tuple[Player, ...]


@dataclass(frozen=True)
class Resources:
    """Parameters (exact) and estimates of memory and work."""

    parameters: int = 0
    memory: int = 0
    """Bytes of resident memory while training, to a factor of two."""
    flops: int = 0
    """Floating-point operations of one training step, to a factor of a few."""
    threads: int = 1


def _frozen() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Graph:
    """Everything that is known of a model before torch is imported."""

    spec: Spec
    source: SourceFacts | None = None
    variables: Mapping[str, Variable] = field(default_factory=_frozen)
    factors: Mapping[str, Factor] = field(default_factory=_frozen)
    critics: Mapping[str, Critic] = field(default_factory=_frozen)
    routes: Mapping[str, Route] = field(default_factory=_frozen)
    weighed: Mapping[str, Relaxed] = field(default_factory=_frozen)
    """The discrete variables that adversaries see, or reach makers through, as weights of their values."""
    scored: tuple[str, ...] = ()
    terms: tuple[Term, ...] = ()
    objective_kind: Kind = Kind.EXACT
    objective_of: str = ""
    objective_says: str = ""
    players: tuple[Player, ...] = ()
    stages: tuple[Stage, ...] = ()
    capabilities: Mapping[str, Capability] = field(default_factory=_frozen)
    placements: tuple[Placement, ...] = ()
    resources: Resources = Resources()
    notes: tuple[Diagnostic, ...] = ()
    device: str = "cpu"

    def __deepcopy__(self, memo: dict[int, Any]) -> Graph:
        """A graph never changes: a copy of a model shares it."""
        return self

    # -- looking things up ---------------------------------------------------------------------------------------

    def p(self, variable: str) -> Factor | None:
        """The directed p-factor of a variable: prior, decoder or flow."""
        for section in ("prior", "decoder", "flow"):
            found = self.factors.get(f"{section}.{variable}")
            if found is not None:
                return found
        return None

    def q(self, variable: str) -> Factor | None:
        """The encoder of a variable."""
        return self.factors.get(f"encoder.{variable}")

    def side(self, side: Side) -> Iterator[Factor]:
        return (f for f in self.factors.values() if f.side == side)

    def codewords(self, variable: str) -> int | None:
        """The length of the codewords of a quantised latent; None of anything else."""
        encoder = self.q(variable)
        return encoder.dist.dim if encoder is not None and isinstance(encoder.dist, Vq) else None

    def end(self, factor: Factor) -> int | None:
        """The symbol that ends a sequence which the factor says from its first entry on; None where none does."""
        head = self.variables[factor.head]
        if factor.ordering is None or not factor.autoregressive or not factor.ordering.forward:
            return None
        if not isinstance(factor.dist, Categorical) or head.column is None or len(head.column.shape) != 1:
            return None
        return head.column.end

    def seen_by(self, variable: str) -> list[str]:
        """The adversaries that see a variable."""
        return [name for name, critic in self.critics.items() if variable in critic.spec.sees]

    def bases(self) -> dict[str, Factor]:
        """Base variable -> the flow factor that it is the base of."""
        return {f.base: f for f in self.factors.values() if f.base is not None}

    def parents(self, side: Side) -> dict[str, tuple[str, ...]]:
        """Variable -> the parents of all its factors of one side, for every variable.

        A channel belongs to the q side too: it feeds encoders; an energy to the p side, which it tilts.
        """
        found: dict[str, tuple[str, ...]] = dict.fromkeys(self.variables, ())
        with_it = {"p": "e", "q": "c"}.get(side)
        for factor in self.factors.values():
            if factor.side in (side, with_it):
                found[factor.head] += factor.parents
        return found

    def children(self, side: Side) -> dict[str, tuple[str, ...]]:
        """Variable -> the heads of the factors of one side that it is a parent of, for every variable."""
        found: dict[str, tuple[str, ...]] = dict.fromkeys(self.variables, ())
        for head, parents in self.parents(side).items():
            for parent in parents:
                found[parent] += (head,)
        return found

    def order(self, side: Side) -> list[str]:
        """Variables in topological order, ties in the order of the spec. Raises graphlib.CycleError."""
        orders: dict[Side, list[str]] = self.__dict__.setdefault("_orders", {})
        if side not in orders:
            orders[side] = self.ordered(side, lambda name: False)
        return list(orders[side])

    def ordered(self, side: Side, late: Callable[[str], bool]) -> list[str]:
        """Variables in topological order, those that are `late` as late as can be, ties in the order of the spec."""
        return topological(self.parents(side), late)

    def ancestors(self, side: Side, variable: str) -> set[str]:
        return reached(self.parents(side), variable)

    def descendants(self, side: Side, variable: str) -> set[str]:
        return reached(self.children(side), variable)

    # -- making the next one ---------------------------------------------------------------------------------------

    def update(self, **changes: Any) -> Graph:
        """A copy with some fields replaced; maps are made read-only."""
        frozen: dict[str, Any] = {
            k: MappingProxyType(dict(v)) if isinstance(v, dict) else v for k, v in changes.items()
        }
        return replace(self, **frozen)

    def verify(self) -> None:
        """Internal consistency; a failure is a defect of the compiler, not of the spec."""
        for factor in self.factors.values():
            unknown = {factor.head, *factor.parents} - set(self.variables)
            assert not unknown, f"{factor.name} names unknown variables {unknown}"
        names = [t.name for t in self.terms]
        assert len(names) == len(set(names)), f"terms are not distinct: {names}"
        for player in self.players:
            assert set(player.terms) <= set(names), f"{player.name} has terms that do not exist"
