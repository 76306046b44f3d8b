"""Model: what compilation returns, an ordinary nn.Module that trains, samples and scores by its graph.

Values are dicts from variable names to tensors [N, *shape], in the space of the bound variables (after `as`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gendsl.compiler.derive.energies import tilted
from gendsl.compiler.derive.sampling import bound_of
from gendsl.compiler.graph import Graph, How, Role
from gendsl.compiler.passes.players import scored_draws
from gendsl.compiler.passes.resources import CHUNK_ROWS
from gendsl.compiler.plans.chain import chain_of
from gendsl.compiler.plans.classify import by, labelled
from gendsl.compiler.plans.encode import encoded
from gendsl.compiler.plans.reconstruct import decodable, rebuilt
from gendsl.compiler.plans.sample import drawn, ordered, uncut
from gendsl.data.dataset import Batch
from gendsl.errors import UsageError
from gendsl.nn import chain, imputation, tilt
from gendsl.nn.adversarial import Constrain, CriticModule, LossFunctions, PenaltyFunction
from gendsl.nn.bounds import plain_bound, weighted_bound
from gendsl.nn.corruptions import Channel
from gendsl.nn.decoding import between, decoded
from gendsl.nn.dequantizer import Dequantizer
from gendsl.nn.encoding import inferred, label
from gendsl.nn.estimators import log_probabilities, relax
from gendsl.nn.factor import Conditioned, FactorModule, FlowSection
from gendsl.nn.given import Given, batch_of, with_holes
from gendsl.nn.latents import states_of
from gendsl.nn.objective import Loss, loss
from gendsl.nn.objective.evaluation import Evaluation
from gendsl.nn.objective.paths import PATH_DECAY
from gendsl.nn.posterior import PosteriorChain
from gendsl.nn.preprocessing import Pipeline
from gendsl.nn.quantised import VqFamily
from gendsl.nn.starting import open_starts
from gendsl.nn.truncation import Cut
from gendsl.schema.components.flow import base_of
from gendsl.schema.facts import NOISE, code_name, mask_name, numel

CHUNK_NUMBERS = 1 << 22
"""Numbers that the largest variable has in these rows at most."""


class Model(nn.Module):
    """The compiled graph. Parameters are named after the spec: `encoder.z...`, `adversary.d...`."""

    def __init__(
        self,
        graph: Graph,
        factors: Mapping[str, nn.Module],
        critics: Mapping[str, CriticModule],
        losses: Mapping[str, LossFunctions],
        penalties: Mapping[str, Mapping[int, PenaltyFunction]],
        constraints: Mapping[str, tuple[Constrain, ...]],
        channels: Mapping[str, Channel],
    ) -> None:
        super().__init__()
        self.graph = graph
        for section in ("prior", "decoder", "flow", "encoder", "energy", "dequantizer"):
            own = {n.split(".", 1)[1]: m for n, m in factors.items() if n.split(".", 1)[0] == section}
            self.add_module(section, nn.ModuleDict(own))
        self.adversary = nn.ModuleDict(critics)
        self.preprocessing = nn.ModuleDict()
        for module in factors.values():
            if isinstance(module, PosteriorChain):
                module.bind(self)
        self._losses, self._penalties, self._constraints = losses, penalties, constraints
        self._channels = channels
        self.weighted = bound_of(graph).weighted
        self.scored_draws = {term.name: scored_draws(graph, term) for term in graph.terms}
        self.lengths = nn.Module()
        """Running means of the lengths that `path_length` terms hold a decoder to."""
        for term in graph.terms:
            if term.family == "path_length":
                self.lengths.register_buffer(term.subject, torch.zeros(()))
        self.arrays: dict[str, Any] | None = None
        """Columns passed in by an embedding program, kept for training."""
        self.register_buffer("_where", torch.zeros(()), persistent=False)

    # -- parts ----------------------------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        return self.get_buffer("_where").device

    @property
    def dtype(self) -> torch.dtype:
        return self.get_buffer("_where").dtype

    def factor(self, name: str) -> nn.Module:
        """The module of `encoder.z`, `decoder.x`, ..."""
        section, head = name.split(".", 1)
        return self.get_submodule(f"{section}.{head}")

    def critic(self, name: str) -> CriticModule:
        module = self.get_submodule(f"adversary.{name}")
        assert isinstance(module, CriticModule)
        return module

    def adversarial_loss(self, critic: str) -> LossFunctions:
        return self._losses[critic]

    def penalty(self, critic: str, index: int) -> PenaltyFunction:
        return self._penalties[critic][index]

    def channel(self, name: str) -> Channel:
        return self._channels[name]

    def reads(self, factor: str) -> tuple[str, ...]:
        """The values that a factor's module reads, masks of missing entries included."""
        found = self.graph.factors[factor]
        inputs = found.inputs
        if found.uses is not None and found.side == "q":
            inputs += self.graph.factors[found.uses].inputs
        return tuple(dict.fromkeys(i.name for i in inputs if i.name != NOISE))

    def read(self, factor: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Those of the values that a factor's module reads.

        Codewords are looked up by their indices; a corrupted value that is not there is read clean.
        """
        found = {n: values[n] for n in self.reads(factor) if n in values}
        for name in self.graph.factors[factor].parents:
            if self.graph.variables[name].role is Role.CORRUPTED and name not in found:
                found[name] = values[self.graph.factors[f"corruption.{name}"].parents[0]]
        for name in self.graph.factors[factor].parents:
            code = code_name(name)
            if code in self.reads(factor) and code not in found and name in values:
                found[code] = self.codebook(name).embed(values[name])
        return found

    def codebook(self, name: str) -> VqFamily:
        """The codebook of a quantised latent."""
        family = self.factor(f"encoder.{name}").family
        assert isinstance(family, VqFamily)
        return family

    def parameters_of(self, factors: Iterable[str]) -> list[tuple[str, nn.Parameter]]:
        """The distinct named parameters of factors and critics, in the order of the module."""
        wanted = {id(p) for name in factors for p in self.factor(name).parameters()}
        return [(n, p) for n, p in self.named_parameters() if id(p) in wanted]

    def attach(self, pipelines: Mapping[str, Pipeline]) -> None:
        """Keep the fitted preprocessing of every bound variable with the model."""
        for name, pipeline in pipelines.items():
            self.preprocessing[name] = pipeline.to(self.device)

    # -- training -------------------------------------------------------------------------------------------------

    def losses(self, data: Given, step: int = 0) -> dict[str, Loss]:
        """Every player's loss on one batch; each player's total is to be minimised over its own parameters only.

        `step` counts from 0: warm-ups and annealed noise depend on it.
        """
        batch = self.batch(data, "losses")
        return {p.name: self.loss(p.name, batch, step) for p in self.graph.players}

    def loss(
        self,
        player: str,
        batch: Batch,
        step: int = 0,
        terms: Iterable[str] | None = None,
        *,
        training: bool = True,
    ) -> Loss:
        """One player's loss: all its terms, or those named."""
        batch = self.dequantized(batch)
        mine = next(p for p in self.graph.players if p.name == player)
        names = set(mine.terms if terms is None else terms)
        chosen = [t for t in self.graph.terms if t.name in names]
        return loss(Evaluation(self, batch, step, training=training), chosen)

    def begin(self, factors: Iterable[str]) -> None:
        """A stage that fits these factors begins: only in them may a first batch set what starts from data."""
        open_starts(self, [self.factor(name) for name in factors])

    def length(self, name: str) -> Tensor:
        """The running mean of the length that a `path_length` term holds variable `name` to."""
        return self.lengths.get_buffer(name)

    def constrain(self, player: str, loss: Loss, rows: int) -> None:
        """What follows a player's step on `rows` rows: weights are held (clipping), an augmentation adapts, a
        running mean moves.
        """
        for subject, mean in self.lengths.named_buffers():
            if f"{subject}.path" in loss.seen:
                mean.lerp_(loss.seen[f"{subject}.path"].to(mean), PATH_DECAY)
        name = player.removeprefix("adversary.")
        for constraint in self._constraints.get(name, ()):
            constraint(self.critic(name))
        sign = loss.seen.get(f"{name}.sign")
        augment = self.critic(name).augment if sign is not None else None
        if sign is not None and augment is not None:
            augment.adapt(sign, rows)

    # -- distributions --------------------------------------------------------------------------------------------

    def distribution(self, factor: str, values: Mapping[str, Tensor], rows: int) -> Conditioned:
        """A factor's distribution given its parents' values, all on the same number of rows."""
        module = self.factor(factor)
        assert isinstance(module, FactorModule)
        return module.condition(self.read(factor, values), rows)

    def ancestral(
        self,
        rows: int,
        given: Mapping[str, Tensor] | None = None,
        targets: list[str] | None = None,
        temperature: float = 1.0,
        *,
        given_data: bool = False,
        latents: Mapping[str, Tensor] | None = None,
        relaxed_at: int | None = None,
        cut: Cut | None = None,
    ) -> dict[str, Tensor]:
        """A sample of everything in p that can be drawn, parents first; conditions are taken from `given`.

        A sample is complete: where entries may be missing, the mask beside it says that none is.

        `given_data`: observed variables are taken from `given` too. `latents`: values that are not drawn.
        `relaxed_at`: the step of training at which `graph.weighed` variables are drawn as weights of their values.
        `cut`: what categorical draws are left.
        """
        given, latents = given or {}, latents or {}
        values: dict[str, Tensor] = {}
        names = self.graph.order("p") if targets is None else ordered(self.graph, targets)
        for name in names:
            factor = self.graph.p(name)
            role = self.graph.variables[name].role
            if name in latents:
                values[name] = latents[name]
                continue
            if role is Role.CONDITION or (given_data and role is Role.OBSERVED):
                if name in given:
                    values[name] = given[name]
                continue
            if name in self.graph.spec.energy:
                values[name] = tilt.draw(self, name, rows, values)
                continue
            if factor is None or any(p not in values for p in factor.parents):
                continue
            if relaxed_at is not None and name in self.graph.weighed:
                values[name] = self._relaxed(name, values, rows, relaxed_at)
                continue
            values[name] = self._draw(name, values, rows, temperature, cut)
            if self.graph.variables[name].missing:
                values[mask_name(name)] = torch.ones_like(values[name])
        return values

    def _draw(
        self, name: str, values: Mapping[str, Tensor], rows: int, temperature: float, cut: Cut | None
    ) -> Tensor:
        factor = self.graph.p(name)
        assert factor is not None
        if factor.base is None:
            conditioned = self.distribution(factor.name, values, rows)
            return (conditioned if cut is None else cut.of(conditioned)).draw(temperature)[0]
        return self.through_flow(name, values)

    def _relaxed(self, name: str, values: Mapping[str, Tensor], rows: int, step: int) -> Tensor:
        factor = self.graph.p(name)
        assert factor is not None
        conditioned = self.distribution(factor.name, values, rows)
        table = log_probabilities(conditioned, rows, self.graph.variables[name], self.device)
        return relax(table, self.graph.weighed[name], step)

    def through_flow(self, name: str, values: Mapping[str, Tensor]) -> Tensor:
        """x = f(base) of a flow section."""
        factor, shape = self.graph.p(name), self.graph.variables[name].shape
        assert factor is not None
        assert factor.base is not None
        assert shape is not None
        module = self.factor(factor.name)
        assert isinstance(module, FlowSection)
        base = values[factor.base].reshape(-1, *base_of(factor.flow, shape))
        value: Tensor = module.stack(base, module.read(self.read(factor.name, values)))[0]
        return value.reshape(-1, *shape)

    @property
    def rows_at_once(self) -> int:
        """How many rows of data, times draws, one pass of inference should hold to stay within CHUNK_ROWS."""
        finite = [n for n, r in self.graph.routes.items() if r.how in (How.SUMMED, How.ENUMERATED)]
        states = math.prod(states_of(self.graph.variables[n]) for n in finite)
        largest = max((numel(v.shape) for v in self.graph.variables.values() if v.shape), default=1)
        return max(1, min(CHUNK_ROWS, CHUNK_NUMBERS // largest) // states)

    # -- queries --------------------------------------------------------------------------------------------------

    def _need(self, names: Sequence[str], given: Mapping[str, Tensor]) -> None:
        """Raises UsageError where a condition among the names is not given."""
        for name in names:
            if self.graph.variables[name].role is Role.CONDITION and name not in given:
                raise UsageError(f"sampling needs the condition {name}: given={{{name!r}: values}}")

    def _refuse(self, query: str) -> None:
        plan = self.graph.capabilities[query]
        if plan.how is None:
            raise UsageError(f"this model cannot be asked to {query}: {plan.why}")

    @torch.no_grad()
    def sample(
        self,
        n: int,
        given: Mapping[str, Tensor] | None = None,
        temperature: float = 1.0,
        *,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> dict[str, Tensor]:
        """`n` samples of the observed variables; `given` holds the values of every condition, n rows each.

        Each is drawn from the roots of p, or is the last state of a chain of its own (`sample.chain.steps`). `top_k`,
        `top_p` leave categorical draws their most probable values only (`gendsl.nn.truncation`).

        Raises UsageError where the model cannot be sampled, a condition is missing, or nothing is there to be cut.
        """
        self._refuse("sample")
        cut = Cut(top_k, top_p) if top_k is not None or top_p is not None else None
        why = uncut(self.graph) if cut is not None else ""
        if why:
            raise UsageError(f"top_k and top_p: {why}")
        targets = drawn(self.graph)
        self._need(ordered(self.graph, targets), given or {})
        if chain_of(self.graph) is not None:
            steps = self.graph.spec.sample.chain.steps
            values = chain.run(self, chain.noise(self, n), steps, given or {}, temperature)
        else:
            values = self.ancestral(n, given, targets, temperature, cut=cut)
        return {name: values[name] for name in targets}

    @torch.no_grad()
    def log_prob(self, data: Given, samples: int = 500) -> Tensor:
        """log p of all observed entries of each row, [B]: exact, or a lower bound from `samples` importance samples.

        Raises UsageError where the model has no density. What kind of number it is: `graph.capabilities["log_prob"]`.
        """
        self._refuse("log_prob")
        return weighted_bound(self, self.batch(data, "log_prob"), samples)

    @torch.no_grad()
    def elbo(self, data: Given, samples: int = 1) -> Tensor:
        """E_q[log p - log q] of each row by `samples` draws, [B]: a lower bound of log p.

        Raises UsageError where the model has no density.
        """
        self._refuse("log_prob")
        return plain_bound(self, self.batch(data, "log_prob"), samples)

    @torch.no_grad()
    def encode(self, data: Given, *, mean: bool = False) -> dict[str, Tensor]:
        """Values of the latents given the data: draws of q (or its means), or exact inverses of a flow.

        Raises UsageError where no latent can be encoded.
        """
        self._refuse("encode")
        values = inferred(self, self.batch(data, "encode"), mean=mean)
        return {name: values[name] for name in encoded(self.graph) if name in values}

    @torch.no_grad()
    def decode(
        self, latents: Mapping[str, Tensor], given: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Means (of labels the most probable values) of the observed variables that the latents determine."""
        return decoded(self, latents, given or {})

    @torch.no_grad()
    def means(self, n: int, given: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Means of p(x | z) at `n` samples of the latents: what papers show of a decoder, without its own noise.

        No samples of p(x), and of what `decode` gives only. Raises UsageError where the latents cannot be sampled or
        nothing can be rebuilt from them, or where a condition is missing.
        """
        self._refuse("sample")
        self._refuse("reconstruct")
        if not decodable(self.graph):
            raise UsageError("this model is sampled by a chain, which has no latents of its own to decode")
        targets = list(rebuilt(self.graph))
        self._need(ordered(self.graph, targets), given or {})
        values = self.ancestral(n, given, targets)
        latents = {n for n, variable in self.graph.variables.items() if variable.role is Role.LATENT}
        return self.decode({name: v for name, v in values.items() if name in latents}, values)

    @torch.no_grad()
    def reconstruct(self, data: Given) -> dict[str, Tensor]:
        """Means of p(x | z) at the encoder's means. Raises UsageError where there is nothing to encode."""
        self._refuse("reconstruct")
        values = inferred(self, self.batch(data, "reconstruct"), mean=True)
        return self.decode({name: values[name] for name in encoded(self.graph)}, values)

    @torch.no_grad()
    def interpolate(
        self, one: Mapping[str, Tensor] | Tensor, other: Mapping[str, Tensor] | Tensor, steps: int = 8
    ) -> dict[str, Tensor]:
        """Means on the straight line between the codes of two batches of rows, [steps, B, *shape].

        Raises UsageError where codes are discrete or missing.
        """
        self._refuse("interpolate")
        return between(self, self.batch(one, "interpolate"), self.batch(other, "interpolate"), steps)

    @torch.no_grad()
    def impute(
        self,
        data: Given,
        known: Mapping[str, Tensor] | None = None,
        n: int = 1,
        particles: int = 100,
    ) -> dict[str, Tensor]:
        """n draws of the missing entries of each row given the known ones: [n, B, *shape] of whole rows.

        Missing is what is NaN, what `known` (masks [B, *shape] of booleans by name) says is not known, and a variable
        that is left out. `particles`: importance samples for each draw, where they are needed; how the draws are made
        is in `graph.capabilities["impute"]`. Raises UsageError where the model cannot fill something in.
        """
        self._refuse("impute")
        return imputation.impute(self, with_holes(self, data, known or {}), n, particles)

    @torch.no_grad()
    def ood(self, data: Given, samples: int = 100) -> Tensor:
        """-log_prob of each row, [B]: larger is less like the training data. Raises UsageError without a density."""
        self._refuse("ood")
        if self.graph.capabilities["log_prob"].how is None:
            values = self.batch(data, "ood").values
            return torch.stack([tilt.energy(self, n)(values[n], values) for n in tilted(self.graph)]).sum(0)
        return -self.log_prob(data, samples)

    @torch.no_grad()
    def classify(self, data: Given, samples: int = 100) -> dict[str, Tensor]:
        """The most probable value of every label given the rest of its row, [B] of integers each.

        `samples`: importance samples for each value of a label that is classified by Bayes' rule. Raises UsageError
        where nothing tells of a label.
        """
        self._refuse("classify")
        batch = self.batch(data, "classify")
        names = [n for n in labelled(self.graph) if by(self.graph, n)]
        return {name: label(self, name, batch, samples) for name in names}

    def batch(self, data: Given, query: str = "") -> Batch:
        """A Batch of given values: see `given.batch_of`."""
        return self.dequantized(batch_of(self, data, query))

    def dequantized(self, batch: Batch) -> Batch:
        """Rows of data with the values that the model's own dequantizers draw; given values stay as they are."""
        if not batch.cells:
            return batch
        values, log_det = dict(batch.values), dict(batch.log_det)
        for name, cells in batch.cells.items():
            module = self.factor(f"dequantizer.{name}")
            assert isinstance(module, Dequantizer)
            values[name], log_det[name] = module.draw(cells)
        return replace(batch, values=values, log_det=log_det, cells={})
