"""Resources: exact parameters, estimates that hold against the counter of torch and the operating system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from gendsl.compiler.passes.resources import refuse_too_large
from gendsl.compiler.pipeline import analyse
from gendsl.errors import SpecError
from gendsl.runtime.dataset import dataset
from gendsl.runtime.initial import compile_model
from gendsl.runtime.train import Trainer
from gendsl.schema.load import loads
from tests.compiler.cases import BINARY, CASES, GAN, ORDINAL, UNIT, VAE, graph_of, spec_text

PIXELS = ORDINAL + "\nordering: {x: {type: raster}}\ndecoder: {x: {dist: categorical, net: gated_pixelcnn}}"
IWAE = BINARY + VAE + "objective: {bound: {type: iwae, samples: 10}}"
MIXTURE = BINARY + VAE.replace("given: z,", "given: [z, c],").replace(
    "prior: {", "prior: {c: {dist: categorical, classes: 5}, "
)


@pytest.mark.parametrize("name", CASES)
def test_parameters_are_those_of_the_model(name: str) -> None:
    graph = graph_of(CASES[name].text)
    model = compile_model(graph)
    assert sum(p.numel() for p in model.parameters()) == graph.resources.parameters
    for factor in (n for n, f in graph.factors.items() if f.channel is None):
        shared = graph.factors[factor].net_name is not None
        own = sum(p.numel() for _, p in model.parameters_of([factor]))
        assert shared or own == graph.factors[factor].bill.parameters


@pytest.mark.parametrize(
    "body",
    [BINARY + VAE, UNIT + GAN, PIXELS, IWAE, MIXTURE],
    ids=["vae", "gan", "pixelcnn", "iwae", "mixture"],
)
def test_the_work_of_a_step_is_counted_to_a_factor_of_two(body: str) -> None:
    graph = analyse(loads(spec_text(body + "\ntrain: {steps: 1, batch_size: 32}")))
    data = dataset(graph, Path())
    trainer = Trainer(compile_model(graph), data)
    with FlopCounterMode(display=False) as counter:
        trainer.fit()
    assert counter.get_total_flops() / 2 < graph.resources.flops < 2 * counter.get_total_flops()


PEAK = """
import resource, sys
from pathlib import Path
from gendsl.compiler.pipeline import analyse
from gendsl.schema.load import loads
from gendsl.runtime.dataset import dataset
from gendsl.runtime.initial import compile_model
from gendsl.runtime.train import Trainer
graph = analyse(loads(sys.stdin.read()))
Trainer(compile_model(graph), dataset(graph, Path())).fit()
print(graph.resources.memory, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts in bytes elsewhere")
def test_the_memory_of_training_is_estimated_to_a_factor_of_two() -> None:
    wide = BINARY + VAE.replace("net: mlp", "net: {type: mlp, hidden: [3000]}")
    text = spec_text(
        wide + "\nobjective: {bound: {type: iwae, samples: 16}}\ntrain: {steps: 1, batch_size: 512}"
    )
    done = subprocess.run(
        [sys.executable, "-c", PEAK], input=text, capture_output=True, text=True, check=True
    )
    estimate, peak = map(int, done.stdout.split())
    assert peak / 2 < estimate < 2 * peak
    assert peak > 500 * 2**20


def test_what_grows_the_estimate() -> None:
    base = graph_of(BINARY + VAE).resources
    more = graph_of(BINARY + VAE.replace("shape: [4]", "shape: [400]")).resources
    draws = graph_of(IWAE).resources
    states = graph_of(MIXTURE).resources
    batch = analyse(loads(spec_text(BINARY + VAE)), memory=None).resources
    assert base == batch
    assert more.parameters > base.parameters
    assert more.memory > base.memory
    assert 5 * base.flops < draws.flops < 10 * base.flops
    assert states.flops > 2 * base.flops


def test_too_large_for_the_machine_is_an_error_at_the_largest_factor() -> None:
    graph = graph_of(
        BINARY + VAE.replace("bernoulli, net: mlp", "bernoulli, net: {type: mlp, hidden: [9000, 9000]}")
    )
    refuse_too_large(graph, graph.resources.memory)
    with pytest.raises(SpecError) as caught:
        refuse_too_large(graph, graph.resources.memory // 2)
    (problem,) = caught.value.diagnostics
    assert problem.code == "GD601"
    assert "decoder.x" in problem.help


def test_threads_follow_from_the_spec_alone() -> None:
    small = graph_of(BINARY + VAE)
    assert small.resources.threads == 1
    large = graph_of(
        BINARY
        + VAE.replace("net: mlp", "net: {type: mlp, hidden: [3000, 3000]}")
        + "train: {batch_size: 512}"
    )
    assert large.resources.threads == 2
    fixed = graph_of(BINARY + VAE + "run: {threads: 3}")
    assert fixed.resources.threads == 3
    assert torch.get_num_threads() >= 1
