"""`verify`: certificates pass on sound models, and fail when an error of their stated power is planted."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import json
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributions as td
from torch import Tensor

from gendsl.compiler.pipeline import analyse
from gendsl.data.dataset import Batch, Dataset
from gendsl.nn import distributions, factor, inference, objective, steps, tilt
from gendsl.nn.machine import Machine
from gendsl.nn.model import Model
from gendsl.nn.networks.made import MADE
from gendsl.nn.objective import adversarial
from gendsl.nn.transforms.coupling import CouplingLayer, build_coupling
from gendsl.nn.transforms.planar import PlanarFlow
from gendsl.runtime.compress import Packed
from gendsl.runtime.dataset import dataset
from gendsl.runtime.initial import compile_model
from gendsl.runtime.verify import (
    FAMILIES,
    Certificate,
    as_json,
    bounds,
    causality,
    coding,
    densities,
    divergences,
    energies,
    flows,
    kernels,
    moments,
    preprocessing,
    samples,
    states,
    verify,
)
from gendsl.runtime.verify.certificate import at_most
from gendsl.runtime.verify.subject import perturb, subject
from gendsl.schema.components.flow import Coupling
from gendsl.schema.load import load, loads

CODER = importlib.util.find_spec("constriction") is not None
SPECS = {
    "flow": """
data: {source: two_moons, n: 200, bind: {x: {column: point, as: [standardize]}, y: label}}
condition: [y]
prior: {z: {dist: normal}}
flow: {x: {given: [z, y], stack: [{type: coupling, repeat: 2, hidden: [12]}, permute]}}
""",
    "planar": """
data: {source: two_moons, n: 200, bind: {x: point}}
prior: {z: {dist: normal, shape: [3]}}
decoder: {x: {given: z, dist: laplace, net: {type: mlp, hidden: [12]}}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: [12]}, flow: [{type: planar, repeat: 2}]}}
""",
    "made": """
data: {source: two_moons, n: 200, bind: {x: point}}
ordering: {x: reverse}
decoder: {x: {dist: normal, net: {type: made, hidden: [16]}}}
""",
    "vae": """
data: {source: ring, n: 200, bind: {x: point}}
prior: {z: {dist: normal, shape: [2]}}
decoder: {x: {given: z, dist: normal, net: {type: mlp, hidden: [12]}}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: [12]}}}
""",
    "bits_back": """
data: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}}}
prior: {z: {dist: normal, shape: [2]}}
decoder: {x: {given: z, dist: bernoulli, net: {type: mlp, hidden: [12]}}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: [12]}}}
""",
    "range_coded": """
data: {source: digits, bind: {x: {column: image, as: [ordinal]}}}
decoder: {x: {dist: categorical}}
""",
    "denoising": """
data: {source: ring, n: 200, bind: {x: point}}
corruption: {c: {given: x, dist: gaussian, std: 0.3}}
prior: {z: {dist: normal, shape: [2]}}
decoder: {x: {given: z, dist: normal, net: {type: mlp, hidden: [12]}}}
encoder: {z: {given: c, dist: normal, net: {type: mlp, hidden: [12]}}}
adversary: {d: {sees: x, net: {type: mlp, hidden: [12]}}}
""",
    "iwae": """
data: {source: ring, n: 200, bind: {x: point}}
variables: {x: {missing: {rate: 0.2}}}
prior: {z: {dist: normal, shape: [2]}}
decoder: {x: {given: z, dist: normal, net: {type: mlp, hidden: [12]}}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: [12]}}}
objective: {bound: {type: iwae, samples: 4}}
""",
    "linear": """
data: {source: memory, rows: 60, columns: {a: {shape: [3]}}, bind: {x: a}}
train: {batch_size: 20}
prior: {z: {dist: normal, shape: [2]}}
decoder: {x: {given: z, dist: normal, scale: fixed, net: {type: mlp, hidden: []}}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: []}}}
""",
    "covariance": """
data: {source: memory, rows: 60, columns: {a: {shape: [3]}}, bind: {x: a}}
train: {batch_size: 20}
prior: {z: {dist: {type: normal, scale: full}, shape: [2]}}
decoder: {x: {given: z, dist: normal, scale: fixed, net: {type: mlp, hidden: []}}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: []}}}
""",
    "mixture": """
data: {source: ring, n: 200, bind: {x: point}}
prior: {c: {dist: categorical, classes: 3, logits: learned}}
decoder: {x: {given: c, dist: normal}}
""",
    "labels": """
data: {source: ring, n: 200, modes: 3, bind: {x: point, y: label}}
variables: {y: {observed: {partial: 20}}}
prior: {y: {dist: categorical}, c: {dist: bernoulli, shape: [2]}}
decoder: {x: {given: [y, c], dist: normal, net: {type: mlp, hidden: [12]}}}
encoder:
  y: {given: x, dist: categorical, net: {type: mlp, hidden: [12]}}
  c: {given: [x, y], dist: bernoulli, net: {type: mlp, hidden: [12]}}
""",
    "semi": """
data: {source: ring, n: 200, modes: 3, bind: {x: point, y: label}}
variables: {y: {observed: {partial: 20}}}
prior: {y: {dist: categorical}, z: {dist: normal, shape: [2]}}
decoder: {x: {given: [y, z], dist: normal, net: {type: mlp, hidden: [12]}}}
encoder:
  y: {given: x, dist: categorical, net: {type: mlp, hidden: [12]}}
  z: {given: [x, y], dist: normal, net: {type: mlp, hidden: [12]}}
""",
    "gan": """
data: {source: two_moons, n: 200, bind: {x: point}}
prior: {z: {dist: normal, shape: [4]}}
decoder: {x: {given: z, dist: deterministic, net: {type: mlp, hidden: [12]}}}
adversary: {d: {sees: x, net: {type: mlp, hidden: [12]}, penalty: {type: r1}}}
""",
    "bigan": """
data: {source: two_moons, n: 200, bind: {x: point}}
prior: {z: {dist: normal, shape: [2]}}
decoder: {x: {given: z, dist: deterministic, net: {type: mlp, hidden: [12]}}}
encoder: {z: {given: x, dist: deterministic, net: {type: mlp, hidden: [12]}}}
adversary: {d: {sees: [x, z], net: {type: mlp, hidden: [12]}}}
""",
    "energy": """
data: {source: two_moons, n: 200, bind: {x: point}}
energy: {x: {net: {type: mlp, hidden: [12], activation: tanh}, negatives: langevin}}
""",
    "machine": """
data: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}}}
energy: {x: {net: {type: rbm, hidden: 4}}}
""",
    "target": """
energy: {z: u2}
encoder: {z: {dist: normal, flow: [{type: planar, repeat: 2}]}}
""",
    "denoiser": """
data: {source: digits, bind: {x: {column: image, as: [unit]}}}
corruption: {n: {given: x, dist: gaussian, std: 0.3}}
decoder: {x: {given: z, dist: continuous_bernoulli, net: {type: mlp, hidden: [12]}}}
encoder: {z: {given: n, dist: deterministic, shape: [4], net: {type: mlp, hidden: [12]}}}
""",
}
ABSENT = {
    "gan": "normalised:decoder.x",
    "bigan": "bound:elbo<=iwae",
    "vae": "invertible:",
    "denoiser": "moments:",
}
Patch = pytest.MonkeyPatch


@cache
def compiled(name: str) -> tuple[Model, Dataset]:
    arrays: dict[str, Any] | None = None
    if "memory" in SPECS[name]:
        arrays = {"a": np.random.default_rng(0).standard_normal((60, 3)).astype("float32")}
    graph = analyse(loads("gendsl: 1\n" + SPECS[name]))
    model = compile_model(graph)
    found = dataset(graph, Path(), arrays)
    model.attach(found.pipelines)
    return model, found


def certificates(name: str, *, data: bool = True, seed: int = 0) -> dict[str, Certificate]:
    model, found = compiled(name)
    return {c.name: c for c in verify(model, found if data else None, seed=seed)}


sound = cache(certificates)


def certified(name: str, certificate: str) -> Certificate:
    """One certificate, by its family alone."""
    model, found = compiled(name)
    about = subject(model, found, 0)
    for family in FAMILIES:
        if any(family.__name__.endswith(word) for word in OF[certificate.split(":", maxsplit=1)[0]]):
            for one in family.certificates(about):
                if one.name == certificate:
                    return one
    raise KeyError(certificate)


OF = {
    "log_det": ("flows", "preprocessing"),
    "round_trip": ("flows", "preprocessing"),
    "invertible": ("flows",),
    "normalised": ("densities",),
    "sum": ("densities",),
    "integral": ("densities",),
    "density": ("densities",),
    "causality": ("causality",),
    "samples": ("samples",),
    "moments": ("moments",),
    "repeatable": ("samples",),
    "closed_kl": ("divergences",),
    "objective": ("bounds", "states"),
    "elbo": ("bounds",),
    "bound": ("bounds",),
    "log_p": ("states",),
    "kernel": ("kernels",),
    "players": ("players",),
    "log_z": ("energies",),
    "chain": ("energies",),
    "coding": ("coding",),
}
"""Kind of certificate -> the modules that give it."""


@pytest.mark.parametrize("name", SPECS)
def test_sound_models_pass(name: str) -> None:
    found = sound(name)
    assert found
    assert [c for c in found.values() if not c.passed] == []
    assert all(c.power > 0 for c in found.values())
    assert not any(n.startswith(ABSENT.get(name, "?")) for n in found)


@pytest.mark.parametrize("name", ["flow", "labels", "iwae", "bigan"])
def test_sound_models_pass_without_data(name: str) -> None:
    found = certificates(name, data=False)
    assert [c for c in found.values() if not c.passed] == []
    assert found.keys() == sound(name).keys()


def test_a_certificate_as_json() -> None:
    body = as_json([at_most("a", 0.5, 1.0, 0.1, "note"), at_most("b", float("nan"), 1.0, 0.1)])
    assert json.loads(json.dumps(body, allow_nan=False)) == {
        "certificates": [
            {"name": "a", "passed": True, "value": 0.5, "bound": 1.0, "power": 0.1, "note": "note"},
            {"name": "b", "passed": False, "value": None, "bound": 1.0, "power": 0.1, "note": ""},
        ]
    }


def test_verify_changes_nothing_and_repeats() -> None:
    model, _ = compiled("planar")
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(3)
    state = torch.get_rng_state()
    one, two = sound("planar"), certificates("planar")
    assert one == two
    assert torch.equal(torch.get_rng_state(), state)
    after = model.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())
    assert model.training
    other = certificates("planar", seed=1)
    assert one["samples:prior.z"].value != other["samples:prior.z"].value


def test_a_model_can_be_copied_and_its_graph_is_shared() -> None:
    model, _ = compiled("gan")
    twin = copy.deepcopy(model).double()
    assert twin.graph is model.graph
    assert next(model.parameters()).dtype == torch.float32
    assert {id(p) for p in twin.parameters()}.isdisjoint({id(p) for p in model.parameters()})


def test_the_notes_say_how_far_the_parameters_are_from_the_identity() -> None:
    found = sound("flow")
    assert "median |log_det|" in found["log_det:flow.x.stack[0]"].note
    assert "context moves the output" in found["log_det:flow.x.stack[0]"].note


# -- planted errors ------------------------------------------------------------------------------------------


def scaled_log_det(patch: Patch, owner: type, power: float) -> None:
    forward = owner.forward

    def wrong(self: Any, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y, log_det = forward(self, x, context)
        return y, log_det * (1 + power)

    patch.setattr(owner, "forward", wrong)


def off_inverse(patch: Patch, power: float = flows.ROUND_TRIP_POWER) -> None:
    inverse = CouplingLayer.inverse

    def wrong(self: Any, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, log_det = inverse(self, y, context)
        return x * (1 + power), log_det

    patch.setattr(CouplingLayer, "inverse", wrong)


def unconstrained(patch: Patch) -> None:
    """Every planar layer of the model folds: w.u = -(1 + power), whatever the data."""

    def folded(u: Tensor, w: Tensor) -> Tensor:
        return -(1 + flows.FOLD_POWER) * w / w.square().sum(-1, keepdim=True)

    patch.setattr("gendsl.nn.transforms.planar.invertible", folded)


def heavier(patch: Patch, owner: type, power: float) -> None:
    """A density too large by (1 + power)."""
    log_prob = owner.log_prob
    patch.setattr(owner, "log_prob", lambda self, value: log_prob(self, value) + np.log1p(power))


def stretched(patch: Patch, owner: type, power: float) -> None:
    """Draws too far from the mean by (1 + power); the integrals' nodes stay where they were."""
    rsample = owner.rsample

    def wrong(self: Any, shape: Any = ()) -> Tensor:
        return self.mean + (1 + power) * (rsample(self, *([shape] if shape else [])) - self.mean)

    patch.setattr(owner, "rsample", wrong)


def wrong_log_z(patch: Patch, where: str, power: float) -> None:
    """Z too large by (1 + power)."""
    module, _, function = where.rpartition(".")
    owner = Machine if module.endswith("Machine") else tilt
    right = getattr(owner, function)
    patch.setattr(owner, function, lambda *args: right(*args) + np.log1p(power))


def wrong_noise(patch: Patch, power: float) -> None:
    """Langevin noise with a standard deviation too large by (1 + power)."""
    right = energies.langevin

    def wrong(potential: Any, start: Tensor, spec: Any, support: Any) -> Tensor:
        hot = spec.model_copy(update={"temperature": spec.temperature * (1 + power) ** 2})
        return right(potential, start, hot, support)

    patch.setattr(energies, "langevin", wrong)


def tempered(patch: Patch, power: float) -> None:
    """Draws at other logits than the density's."""
    sample = td.Bernoulli.sample

    def wrong(self: Any, shape: Any = ()) -> Tensor:
        logits = self.logits * (1 + power) + power
        return sample(td.Bernoulli(logits=logits, validate_args=False), shape)

    patch.setattr(td.Bernoulli, "sample", wrong)


def warm(patch: Patch, power: float) -> None:
    """The model is sampled at a scale that is wrong by (1 + power); its factors are right."""
    ancestral = Model.ancestral

    def wrong(self: Model, rows: int, *rest: Any, **options: Any) -> dict[str, Tensor]:
        with patch.context() as inner:
            rsample = td.Normal.rsample
            inner.setattr(
                td.Normal,
                "rsample",
                lambda normal: normal.loc + (1 + power) * (rsample(normal) - normal.loc),
            )
            return ancestral(self, rows, *rest, **options)

    patch.setattr(Model, "ancestral", wrong)


def short_of_det(patch: Patch) -> None:
    draw = factor.Flowed.draw

    def wrong(self: Any, temperature: float = 1.0) -> tuple[Tensor, Tensor | None]:
        value, density = draw(self, temperature)
        assert density is not None
        return value, density * (1 + 2 * densities.FLOW_POWER)

    patch.setattr(factor.Flowed, "draw", wrong)


def section_off(patch: Patch) -> None:
    log_p = inference.Trace.log_p
    patch.setattr(
        inference.Trace, "log_p", lambda self, name: log_p(self, name) * (1 + 2 * densities.FLOW_POWER)
    )


def leaking(patch: Patch) -> None:
    forward = MADE.forward
    leak = 10 * causality.POWER

    def wrong(self: Any, values: Any, x: Tensor) -> Tensor:
        found = forward(self, values, x)
        return found + leak * x.sum(1).view(-1, 1, 1)

    patch.setattr(MADE, "forward", wrong)


def wrong_kl(patch: Patch, power: float) -> None:
    closed = inference.Trace.closed_kl
    patch.setattr(inference.Trace, "closed_kl", lambda self, name: closed(self, name) * (1 - power))


def wrong_elbo(patch: Patch, power: float) -> None:
    elbo = Model.elbo

    def wrong(self: Model, data: Batch, samples: int = 1) -> Tensor:
        found = elbo(self, data, samples)
        return found + power * found.abs()

    patch.setattr(Model, "elbo", wrong)


def wrong_log_prob(patch: Patch, power: float) -> None:
    log_prob = Model.log_prob

    def wrong(self: Model, data: Batch, samples: int = 500) -> Tensor:
        found = log_prob(self, data, samples)
        return found + power * found.abs()

    patch.setattr(Model, "log_prob", wrong)


def wrong_terms(patch: Patch) -> None:
    rowwise = objective.Evaluation.rowwise
    patch.setattr(
        objective.Evaluation, "rowwise", lambda self, term: rowwise(self, term) * (1 + 2 * states.POWER)
    )


def moving_sampler(patch: Patch) -> None:
    sample = Model.sample
    counter = iter(range(100))

    def wrong(self: Model, n: int, given: Any = None, temperature: float = 1.0) -> dict[str, Tensor]:
        shift = 1e-14 * next(counter)
        return {k: v * (1 + shift) for k, v in sample(self, n, given, temperature).items()}

    patch.setattr(Model, "sample", wrong)


def wrong_kernel(patch: Patch) -> None:
    stack = kernels.planar_stack

    def wrong(*args: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
        y, log_det = stack(*args, **options)
        return y, log_det * (1 + kernels.POWER)

    patch.setattr(kernels, "planar_stack", wrong)


def wrong_step(patch: Patch, *, way: str) -> None:
    original = getattr(steps.StandardizeModule, way)

    def forward(self: Any, x: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        y, log_det = original(self, x, uniform)
        return y, log_det * (1 + 2 * preprocessing.POWER)

    def inverse(self: Any, y: Tensor) -> Tensor:
        return original(self, y) * (1 + 2 * preprocessing.BACK_POWER)

    patch.setattr(steps.StandardizeModule, way, forward if way == "forward" else inverse)


def thawed(patch: Patch) -> None:
    """The critic is moved by the generator's term."""
    patch.setattr(adversarial, "frozen", nullcontext)


def reversed_rows(patch: Patch) -> None:
    """A file whose rows come back in another order."""
    decompress = coding.decompress
    patch.setattr(coding, "decompress", lambda *args: {n: v.flip(0) for n, v in decompress(*args).items()})


def uncut(patch: Patch) -> None:
    """The generator is moved by the critic's term."""
    patch.setattr(adversarial, "detached_tuples", adversarial.tuples)


PLANTED: list[tuple[str, str, Callable[[Patch], None]]] = [
    ("flow", "log_det:flow.x.stack[0]", lambda p: scaled_log_det(p, CouplingLayer, flows.LOG_DET_POWER)),
    ("planar", "log_det:encoder.z.flow[0]", lambda p: scaled_log_det(p, PlanarFlow, flows.LOG_DET_POWER)),
    ("flow", "round_trip:flow.x.stack[0]", off_inverse),
    ("planar", "invertible:encoder.z.flow[0]", unconstrained),
    ("vae", "normalised:decoder.x", lambda p: heavier(p, td.Normal, densities.POWER)),
    ("planar", "normalised:decoder.x", lambda p: heavier(p, td.Laplace, densities.POWER)),
    ("labels", "normalised:prior.c", lambda p: heavier(p, td.Bernoulli, densities.DISCRETE_POWER)),
    ("labels", "sum:encoder.y", lambda p: heavier(p, td.Categorical, densities.DISCRETE_POWER)),
    ("vae", "integral:encoder.z", lambda p: heavier(p, td.Normal, densities.POWER)),
    ("flow", "integral:p(x)", lambda p: heavier(p, td.Normal, densities.POWER)),
    ("planar", "density:encoder.z", short_of_det),
    ("flow", "density:flow.x", section_off),
    ("made", "causality:decoder.x", leaking),
    ("vae", "samples:decoder.x", lambda p: stretched(p, td.Normal, samples.POWER)),
    ("planar", "samples:decoder.x", lambda p: stretched(p, td.Laplace, samples.POWER)),
    (
        "denoiser",
        "samples:decoder.x",
        lambda p: stretched(p, distributions.ContinuousBernoulliDistribution, 0.05),
    ),
    ("labels", "samples:encoder.c", lambda p: tempered(p, samples.DISCRETE_POWER)),
    ("made", "samples:decoder.x", lambda p: stretched(p, td.Normal, samples.SEQUENTIAL_POWER)),
    ("flow", "moments:flow.x", lambda p: warm(p, moments.POWER)),
    ("linear", "moments:p(x)", lambda p: warm(p, moments.POWER)),
    ("linear", "moments:p(x)", lambda p: warm(p, -moments.POWER)),
    ("vae", "objective:elbo", lambda p: wrong_kl(p, bounds.POWER)),
    ("vae", "closed_kl:z", lambda p: wrong_kl(p, divergences.POWER)),
    ("vae", "elbo:factors", lambda p: wrong_elbo(p, bounds.POWER)),
    ("vae", "bound:elbo<=iwae", lambda p: wrong_elbo(p, bounds.ORDER_POWER)),
    ("iwae", "objective:iwae", lambda p: wrong_log_prob(p, bounds.POWER)),
    ("covariance", "moments:p(x)", lambda p: warm(p, moments.POWER)),
    ("linear", "bound:iwae<=log_p", lambda p: wrong_log_prob(p, bounds.ORDER_POWER)),
    ("semi", "bound:objective<=log_p", lambda p: wrong_log_prob(p, -bounds.ORDER_POWER)),
    ("mixture", "log_p:states", lambda p: wrong_log_prob(p, states.POWER)),
    ("labels", "objective:states", wrong_terms),
    ("vae", "repeatable:sample", moving_sampler),
    ("planar", "kernel:planar_stack:encoder.z.flow[0]", wrong_kernel),
    ("flow", "log_det:preprocessing.x", lambda p: wrong_step(p, way="forward")),
    ("flow", "round_trip:preprocessing.x", lambda p: wrong_step(p, way="inverse")),
    ("energy", "log_z:energy.x", lambda p: wrong_log_z(p, "gendsl.nn.tilt.quadrature", energies.POWER)),
    ("target", "log_z:energy.z", lambda p: wrong_log_z(p, "gendsl.nn.tilt.quadrature", energies.POWER)),
    (
        "machine",
        "log_z:energy.x",
        lambda p: wrong_log_z(p, "gendsl.nn.machine.Machine.annealed", energies.ANNEALED_POWER),
    ),
    ("energy", "chain:energy.x", lambda p: wrong_noise(p, energies.CHAIN_POWER)),
    ("gan", "players:adversary.d", thawed),
    ("bigan", "players:critic.d", uncut),
    *([("bits_back", "coding:x", reversed_rows)] if CODER else []),
]


@pytest.mark.parametrize(("name", "certificate", "plant"), PLANTED, ids=[f"{p[0]}-{p[1]}" for p in PLANTED])
def test_a_planted_error_of_the_stated_power_fails(
    monkeypatch: Patch, name: str, certificate: str, plant: Callable[[Patch], None]
) -> None:
    assert sound(name)[certificate].passed
    plant(monkeypatch)
    assert not certified(name, certificate).passed


@pytest.mark.parametrize("name", ["bits_back", "range_coded"])
def test_a_file_of_other_bits_than_claimed_fails(monkeypatch: Patch, name: str) -> None:
    pytest.importorskip("constriction")
    found = sound(name)["coding:x"]
    assert found.passed
    assert found.power < 0.05
    compress = coding.compress
    if name == "bits_back":
        monkeypatch.setattr(coding, "compress", lambda *args: dearer(compress(*args), found.power))
    else:
        wrong_log_prob(monkeypatch, -found.power)
    assert not certified(name, "coding:x").passed


def dearer(packed: Packed, power: float) -> Packed:
    """A file that claims too many bits by (1 + power)."""
    return dataclasses.replace(packed, claimed=packed.claimed * (1 + power))


def steep() -> Certificate:
    """The round trip of a spline at raw numbers so large that its pieces are nearly flat or nearly upright."""
    torch.manual_seed(0)
    spec = Coupling(transform="rq_spline", repeat=2, hidden=(16,))
    stack = build_coupling(spec, (16,), 0, "auto").double().eval()
    perturb(stack, 2.0)
    case = flows.Case("steep", spec, stack, 2 * torch.randn(16, 16).double(), None)
    return flows.round_trip(case, case, "")


def test_a_round_trip_may_lose_what_the_condition_of_the_map_costs(monkeypatch: Patch) -> None:
    found = steep()
    assert found.passed, found
    assert found.power > flows.ROUND_TRIP_POWER
    off_inverse(monkeypatch, found.power)
    assert not steep().passed


def test_the_copies_of_the_rows_follow_from_the_work_of_the_objective(monkeypatch: Patch) -> None:
    """Sixteen draws of each of ten labels are too much work for 24 copies of the rows."""
    graph = analyse(load("semi_supervised_vae"))
    assert bounds.copies(graph, 32, bounds.K) == (3, pytest.approx(8**0.5))
    assert bounds.copies(analyse(load("vae")), 32, 1) == (bounds.COPIES, 1.0)
    assert sound("semi")["bound:objective<=log_p"].power == bounds.ORDER_POWER
    monkeypatch.setattr(bounds, "WORK", 1)
    found = certified("semi", "bound:objective<=log_p")
    assert found.passed
    assert found.power == pytest.approx(bounds.ORDER_POWER * 24**0.5)
    wrong_log_prob(monkeypatch, -found.power)
    assert not certified("semi", "bound:objective<=log_p").passed


GIVEN_A_LATENT = """
gendsl: 1
data: {source: two_moons, bind: {x: point}}
prior: {z: {dist: normal, shape: [3]}, u: {dist: normal}}
flow: {x: {given: [u, z], stack: [{type: coupling, hidden: [8], repeat: 2}]}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: [8]}}}
"""


def test_a_flow_that_is_given_a_latent_has_moments() -> None:
    torch.manual_seed(0)
    about = subject(compile_model(analyse(loads(GIVEN_A_LATENT))), None, 0)
    (found,) = moments.certificates(about)
    assert found.name == "moments:flow.x"
    assert found.passed


@pytest.mark.parametrize(
    ("name", "energy"),
    [
        ("linear", "energy: {z: {net: {type: mlp, hidden: [8]}, negatives: langevin}}"),
        ("tilted_flow", "energy: {x: {net: {type: mlp, hidden: [12]}}}"),
    ],
)
def test_what_an_energy_tilts_has_no_moments(name: str, energy: str) -> None:
    """Its samples are not of the density beneath; a strong energy made the certificate fail."""
    flow = """
data: {source: two_moons, n: 200, bind: {x: {column: point, as: [standardize]}}}
prior: {u: {dist: normal}}
flow: {x: {given: u, stack: [{type: coupling, repeat: 2, hidden: [12]}]}}
objective: {energy: {x: noise_contrastive}}
"""
    graph = analyse(loads(f"gendsl: 1\n{flow if name == 'tilted_flow' else SPECS[name]}{energy}\n"))
    assert list(moments.certificates(subject(compile_model(graph), None, 0))) == []


def test_the_rows_of_a_chain_follow_from_the_work_of_the_energy(monkeypatch: Patch) -> None:
    """A flow beneath an energy costs ten million operations for each row; a small network's chain keeps them all."""
    assert energies.rows(analyse(load("flow_energy_nce")), "x") == 2_000
    assert energies.rows(analyse(load("energy_model")), "x") == energies.STEPS
    assert sound("energy")["chain:energy.x"].power == energies.CHAIN_POWER
    monkeypatch.setattr(energies, "WORK", 1)
    found = certified("energy", "chain:energy.x")
    assert found.passed
    assert "1000 steps" in found.note
    assert found.power == pytest.approx(energies.CHAIN_POWER * 20**0.5)
    wrong_noise(monkeypatch, found.power)
    assert not certified("energy", "chain:energy.x").passed


def test_every_kind_of_certificate_has_a_planted_error() -> None:
    kinds = {
        c.split(":")[0] + (":" + c.split(":")[1] if c.startswith("bound") else "") for _, c, _ in PLANTED
    }
    seen = set()
    for name in SPECS:
        for certificate in sound(name):
            parts = certificate.split(":")
            seen.add(parts[0] + (":" + parts[1] if parts[0] == "bound" else ""))
    assert seen == kinds
