"""Every case is built, trained for two steps and asked everything: what runs is what the compiler derived."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gendsl.compiler.explain import as_json, as_text
from gendsl.compiler.graph import Graph, Role
from gendsl.compiler.passes.players import reaches
from gendsl.compiler.plans.encode import encoded
from gendsl.compiler.plans.impute import filled
from gendsl.compiler.plans.reconstruct import decodable, rebuilt
from gendsl.compiler.plans.sample import drawn
from gendsl.data.dataset import Batch, Dataset
from gendsl.errors import UsageError
from gendsl.nn.model import Model
from gendsl.nn.objective.evaluation import weight_at
from gendsl.runtime.dataset import dataset
from gendsl.runtime.impute import removed
from gendsl.runtime.initial import compile_model
from gendsl.runtime.train import Trainer
from tests.compiler.cases import CASES, graph_of

ROWS = 16
WARM = 1000
"""A step after every warm-up and every start."""


@cache
def built(name: str) -> tuple[Graph, Dataset, Model]:
    graph = graph_of(CASES[name].text)
    data = dataset(graph, Path())
    model = compile_model(graph)
    model.attach(data.pipelines)
    return graph, data, model


def rows_of(data: Dataset, count: int = ROWS) -> Batch:
    """The first rows; of a partly observed variable some are known and some are not."""
    part = data.parts["train"]
    known = [r.known for r in part.variables.values() if r.known is not None and r.known.dim() == 1]
    index = torch.arange(count)
    if known:
        index[: count // 2] = known[0].nonzero()[: count // 2, 0]
    return part.batch(index)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("name", CASES)
def test_the_rules_derive_what_is_written_by_hand(name: str) -> None:
    graph, case = built(name)[0], CASES[name]
    assert tuple(t.name for t in graph.terms) == case.terms
    assert str(graph.objective_kind) == case.objective
    plan = graph.capabilities["log_prob"]
    assert (None if plan.how is None else str(plan.kind)) == case.log_prob
    assert {n for n, c in graph.capabilities.items() if c.how is None} == case.refused
    assert all(c.why for c in graph.capabilities.values() if c.how is None)


@pytest.mark.parametrize("name", CASES)
def test_losses_are_the_weighted_sums_of_the_terms_that_explain_prints(name: str) -> None:
    graph, data, model = built(name)
    losses = model.losses(rows_of(data), step=WARM)
    printed = {t["name"]: t["player"] for t in as_json(graph)["objective"]["terms"]}
    assert {n: p for p, loss in losses.items() for n in loss.terms} == printed
    assert all(name in as_text(graph) for name in printed)
    for loss in losses.values():
        assert torch.isfinite(loss.total.detach())
        assert all(torch.isfinite(v) for v in loss.terms.values())
    if any(set(t.options) & {"free_bits", "capacity"} for t in graph.terms):
        return
    for player, loss in losses.items():
        terms = [t for t in graph.terms if t.player == player]
        total = sum(weight_at(t, WARM) * loss.terms[t.name].double() for t in terms)
        assert float(loss.total.detach()) == pytest.approx(float(total), rel=1e-4, abs=1e-4)


def in_float64(batch: Batch) -> Batch:
    """The same rows, real values in double precision, so that what cancels is not taken for a gradient."""
    values = {n: v.double() if v.is_floating_point() else v for n, v in batch.values.items()}
    return Batch(values, batch.log_det, batch.known, batch.hidden, batch.rows, batch.cells)


def moved(model: Model, loss: Tensor, factors: list[str]) -> set[str]:
    """The factors with a parameter whose gradient is not zero (rounding aside)."""
    named = {f: model.parameters_of([f]) for f in factors}
    flat = [(f, p) for f, own in named.items() for _, p in own]
    if not loss.requires_grad or not flat:
        return set()
    gradients = torch.autograd.grad(loss, [p for _, p in flat], allow_unused=True, retain_graph=True)
    sizes = [float(g.abs().max()) if g is not None else 0.0 for g in gradients]
    floor = 1e-10 * max(sizes)
    return {f for (f, _), size in zip(flat, sizes, strict=True) if size > floor}


@pytest.mark.parametrize("name", CASES)
def test_gradients_reach_exactly_the_factors_that_the_rules_say(name: str) -> None:
    graph, data, _ = built(name)
    model = compile_model(graph).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    batch = in_float64(rows_of(data))
    owned = [f for p in graph.players for f in p.factors]
    for term in graph.terms:
        loss = model.loss(term.player, batch, WARM, [term.name])
        wanted = {f for f in reaches(graph, term) if model.parameters_of([f])}
        assert moved(model, loss.total, owned) == wanted, term.name


@pytest.mark.parametrize("name", CASES)
def test_two_steps_of_training_change_every_factor_that_is_trained(name: str) -> None:
    graph, data, _ = built(name)
    model = compile_model(graph)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    trainer = Trainer(model, data)
    trainer.fit()
    assert trainer.step == trainer.total == 2
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    untrained = {d.message.split()[2].rstrip(":") for d in graph.notes if d.code == "GD515"}
    for factor in {f for stage in graph.stages for p in stage.players for f in p.factors}:
        own = {n for n, _ in model.parameters_of([factor])}
        assert bool(own & changed) == bool(own and factor not in untrained), factor


QUERIES = ("sample", "log_prob", "encode", "reconstruct", "interpolate", "ood", "classify", "impute")


def given(graph: Graph, batch: Batch) -> dict[str, Tensor]:
    return {n: batch.values[n] for n, v in graph.variables.items() if v.role is Role.CONDITION}


def ask(model: Model, query: str, batch: Batch) -> dict[str, Tensor]:
    """The answer, by name; numbers for each row are under ''."""
    if query == "sample":
        return model.sample(len(batch), given(model.graph, batch))
    if query == "interpolate":
        return model.interpolate(dict(batch.values), dict(batch.values), steps=3)
    if query == "impute":
        rows = removed(model, batch, 0.3)
        found = {n: v[0] for n, v in model.impute(rows, particles=4).items()}
        for name, known in rows.known.items():
            if name in found:
                assert torch.equal(found[name][known], rows.values[name][known])
        return found
    answer = getattr(model, query)(batch, 5) if query in ("log_prob", "ood") else getattr(model, query)(batch)
    return answer if isinstance(answer, dict) else {"": answer}


@pytest.mark.parametrize("name", CASES)
def test_everything_that_is_offered_answers_and_the_rest_says_why(name: str) -> None:
    graph, data, model = built(name)
    model.eval()
    batch = rows_of(data, 4)
    names = {
        "sample": set(drawn(graph)),
        "encode": set(encoded(graph)),
        "reconstruct": set(rebuilt(graph)),
        "interpolate": set(rebuilt(graph)),
        "impute": set(filled(graph)),
    }
    for query in QUERIES:
        plan = graph.capabilities[query]
        if plan.how is None:
            with pytest.raises(UsageError, match=re.escape(plan.why)):
                ask(model, query, batch)
            continue
        answer = ask(model, query, batch)
        if query == "sample" and decodable(graph):
            conditions = {n: v for n, v in batch.values.items() if graph.variables[n].role is Role.CONDITION}
            assert set(model.means(4, conditions)) <= set(rebuilt(graph))
        if query in names:
            assert set(answer) == names[query]
        for variable, value in answer.items():
            shape = graph.variables[variable].shape if variable else ()
            assert value.shape == ((3,) if query == "interpolate" else ()) + (4, *shape)
            assert torch.isfinite(value.double()).all()
            support = graph.variables[variable].support if variable else None
            if query in ("sample", "classify", "impute") and support is not None and support.integer:
                assert float(value.double().min()) >= support.low
                assert float(value.double().max()) <= support.high


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.objective == "exact"])
def test_an_exact_objective_is_minus_the_mean_log_probability(name: str) -> None:
    """The chain rule's terms add up, also where labels are hidden and latents are summed out."""
    _, data, model = built(name)
    batch = rows_of(data)
    model.eval()
    total = model.loss("model", batch, training=False).total.detach()
    torch.testing.assert_close(total, -model.log_prob(batch).mean(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["mixture_prior_vae", "semi_supervised_without_classifier", "iwae_mixture"])
def test_bounds_with_summed_latents_are_below_the_better_bound(name: str) -> None:
    """Minus the loss, averaged over draws, is below log_prob by many importance samples."""
    _, data, model = built(name)
    batch = rows_of(data)
    model.eval()
    with torch.no_grad():
        losses = [-model.loss("model", batch, WARM, training=False).total for _ in range(20)]
    better = model.log_prob(batch, 500).mean()
    mean = torch.stack(losses).mean()
    assert better - 10 < mean < better + 0.1
