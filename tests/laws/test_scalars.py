"""A variable of shape [] is as good as any: every component that takes one is trained on it, asked, and certified,
or refused before anything is built.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from gendsl.compiler.build import build
from gendsl.compiler.graph import Graph
from gendsl.compiler.pipeline import analyse
from gendsl.errors import SpecError
from gendsl.nn.model import Model
from gendsl.nn.rows import as_vectors
from gendsl.runtime.activity import activity
from gendsl.runtime.verify import verify
from gendsl.schema import registry
from gendsl.schema.load import loads

ROWS = 8
NET = "{type: mlp, hidden: [6]}"
HEAD = "gendsl: 1\ndata: {source: memory, rows: 40, columns: {a: {shape: []}}, bind: {x: a}}\n"
HEAD += "train: {batch_size: 8}\n"
PRIOR = "prior: {z: {dist: normal, shape: []}}\n"
DECODER = f"decoder: {{x: {{given: z, dist: normal, net: {NET}}}}}\n"
ENCODER = f"encoder: {{z: {{given: x, dist: normal, net: {NET}}}}}\n"
MAKER = PRIOR + f"decoder: {{x: {{given: z, dist: deterministic, net: {NET}}}}}\n"
VAE = PRIOR + DECODER + ENCODER


def written(tag: str, example: dict[str, Any]) -> str:
    return json.dumps({"type": tag, **example})


def critic(more: str, sees: str = "x") -> str:
    return f"adversary: {{d: {{sees: {sees}, net: {NET}{more}}}}}\n"


def bodies() -> dict[str, str]:
    """Specs by name, one for each example of what can act on a scalar."""
    found: dict[str, str] = {}
    for tag, component in registry.table("flow").items():
        for i, example in enumerate(component.examples):
            flow = f"flow: [{written(tag, example)}]"
            found[f"{tag}-{i} in an encoder"] = VAE.replace(
                ENCODER, ENCODER.replace("}}\n", f", {flow}}}}}\n")
            )
            found[f"{tag}-{i} as a density"] = f"decoder: {{x: {{dist: normal, {flow}}}}}\n"
    for tag, component in registry.table("dist").items():
        for i, example in enumerate(component.examples):
            dist = f"dist: {written(tag, example)}"
            latent = PRIOR.replace("dist: normal", dist) + DECODER
            found[f"{tag}-{i} as a latent"] = latent + ENCODER.replace("dist: normal", dist)
            found[f"{tag}-{i} as data"] = VAE.replace(DECODER, DECODER.replace("dist: normal", dist))
    for kind in ("loss", "penalty"):
        for tag, component in registry.table(kind).items():
            for i, example in enumerate(component.examples):
                found[f"{tag}-{i}"] = MAKER + critic(f", {kind}: {written(tag, example)}")
    pair = ENCODER.replace("dist: normal", "dist: deterministic")
    found |= {
        "pairs": MAKER + pair + critic(", penalty: gradient", "[x, z]"),
        "codes": PRIOR + DECODER + pair + critic(", penalty: r1", "z"),
        "packs": MAKER + critic(", pack: 2, noise: {std: 0.1}, unroll: {steps: 1, lr: 0.01}"),
        "features": VAE + critic("") + "objective: {reconstruction: {x: {in: d.features}}}\n",
        "mmd": VAE + "objective: {mmd: {z: {weight: 2}}}\n",
        "total correlation": VAE + "objective: {total_correlation: {z: {weight: 2}}}\n",
        "path length": MAKER + critic("") + "objective: {path_length: {x: {weight: 2}}}\n",
        "energy": f"energy: {{x: {{net: {NET}, negatives: {{type: langevin, steps: 2}}}}}}\n",
        "scores": "energy: {x: {net: {type: mlp, hidden: [6], activation: silu}}}\n"
        "objective: {energy: {x: {type: score_matching, how: sliced}}}\n",
        "chain": PRIOR + DECODER + "encoder: {z: {given: x, dist: {type: langevin, steps: 2}}}\n",
        "in an order": "ordering: {x: natural}\ndecoder: {x: {dist: normal, net: {type: made, hidden: [6]}}}\n",
        "noisy": "corruption: {w: {given: x, dist: gaussian}}\n" + VAE.replace("given: x", "given: w"),
    }
    return found


BODIES = bodies()
CERTIFIED = ("laplace-0 as a latent", "actnorm-0 as a density", "energy", "in an order", "noisy")


def graph_of(name: str) -> Graph | None:
    """The analysed graph, or None where it is refused."""
    try:
        return analyse(loads(HEAD + BODIES[name]))
    except SpecError:
        return None


def data() -> dict[str, torch.Tensor]:
    return {"x": torch.randn(ROWS)}


@pytest.mark.parametrize("name", BODIES)
def test_a_scalar_is_trained_on_and_asked_for(name: str) -> None:
    torch.manual_seed(0)
    graph = graph_of(name)
    if graph is None:
        return
    model = build(graph)
    for player, found in model.losses(data(), step=10**4).items():
        own = [p for _, p in model.parameters_of(f for f in graph.factors if f in _fitted(graph, player))]
        assert torch.isfinite(found.total.detach())
        for gradient in torch.autograd.grad(found.total, own, allow_unused=True) if own else ():
            assert gradient is None or torch.isfinite(gradient).all()
    model.eval()
    _asked(model)


def _fitted(graph: Graph, player: str) -> set[str]:
    return {f for p in graph.players if p.name == player for f in p.factors}


def _asked(model: Model) -> None:
    can = {name for name, plan in model.graph.capabilities.items() if plan.how is not None}
    for query in can & {"log_prob", "ood"}:
        assert torch.isfinite(getattr(model, query)(data(), 3)).all()
    for query in can & {"encode", "reconstruct"}:
        for value in getattr(model, query)(data()).values():
            assert value.shape[0] == ROWS
            assert torch.isfinite(value.double()).all()
    if "sample" in can:
        assert model.sample(3)["x"].shape == (3,)
    if "encode" in can:
        activity(model, model.batch(data(), "losses"))


def test_most_of_what_acts_on_a_scalar_is_built() -> None:
    """The refusals are of what needs two entries, an image, or another support."""
    built = {name for name in BODIES if graph_of(name) is not None}
    wanted = ("planar", "radial", "sylvester", "actnorm", "residual", "continuous", "permute")
    assert {f"{tag}-0 in an encoder" for tag in wanted} <= built
    assert set(BODIES) - built >= {"householder-0 in an encoder", "squeeze-0 in an encoder"}
    assert {"pairs", "codes", "packs", "features", "mmd", "path length", "energy", "scores", "chain"} <= built


@pytest.mark.parametrize("name", CERTIFIED)
def test_certificates_hold_of_scalars(name: str) -> None:
    graph = graph_of(name)
    assert graph is not None
    torch.manual_seed(0)
    certificates = verify(build(graph).eval(), None)
    assert certificates
    assert [c.name for c in certificates if not c.passed] == []


@pytest.mark.parametrize("dist", ["poisson", "normal"])
def test_certificates_hold_of_counts_whose_distribution_reaches_further(dist: str) -> None:
    """The density of counts up to 7 sums to one over what the distribution gives, not over what the data are."""
    columns = "columns: {a: {shape: [], dtype: int64, low: 0, high: 7}}"
    text = HEAD.replace("columns: {a: {shape: []}}", columns) + VAE.replace(
        "z, dist: normal", f"z, dist: {dist}"
    )
    certificates = verify(build(analyse(loads(text))).eval(), None)
    assert [c.name for c in certificates if not c.passed] == []


def test_rows_as_vectors() -> None:
    assert as_vectors(torch.ones(3)).shape == (3, 1)
    assert as_vectors(torch.ones(0, 2, 2)).shape == (0, 4)
