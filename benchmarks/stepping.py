"""Sampling with caches beside the naive loop that runs the whole network at every turn, in one run.

    python -m benchmarks.stepping [--json out.json]

Both walks get the same values, in float32 on one thread. The naive loop's time is that of a few whole passes, times the
number of turns: every turn is the same whole pass. Times are the process's own, so that a busy machine does not count;
the ratio is what matters.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from gendsl.nn.building import builder
from gendsl.nn.ordering import rank_tensor, turns
from gendsl.nn.stepping import Stepping
from gendsl.schema.components.flow import FlowLayer
from gendsl.schema.components.flow_autoregressive import InverseAR, MaskedAR
from gendsl.schema.components.net import Net
from gendsl.schema.components.net_ar import GatedPixelCNN, Made
from gendsl.schema.components.net_pixels import PixelCNNpp
from gendsl.schema.components.net_seq import Gru, Transformer
from gendsl.schema.components.net_wave import WaveNet
from gendsl.schema.components.ordering import Natural
from gendsl.schema.facts import BINARY, Cost, Input, Support, categories

NAIVE_TURNS = 6


@dataclass(frozen=True)
class Case:
    """A network for a head variable, sampled in batches of B with P raw numbers for each entry."""

    name: str
    net: Net
    target: Input
    outputs: int
    B: int = 16


@dataclass(frozen=True)
class Row:
    """What was measured, in seconds."""

    name: str
    entries: int
    naive: float
    cached: float
    ratio: float


IMAGE = Input("x", (1, 28, 28), BINARY)
SOUND = Input("x", (1024,), Support(0, 255, integer=True))
CASES = (
    Case("gated_pixelcnn 28x28, 7 layers of 32", GatedPixelCNN(layers=7, width=32), IMAGE, 1),
    Case("pixelcnn_pp 28x28, 2 blocks of 32, 2 levels", PixelCNNpp(), IMAGE, 1),
    Case("transformer, 784 tokens, 4 layers of 128", Transformer(), IMAGE, 1),
    Case("gru of 128, 784 entries", Gru(), IMAGE, 1),
    Case("made of [512, 512], 784 entries", Made(hidden=(512, 512)), IMAGE, 1),
    Case("wavenet of 10 layers of 32, 1,024 samples", WaveNet(layers=10), SOUND, 256),
    Case("gru of 128, text of 256", Gru(), Input("x", (256,), categories(64), labels=True), 64),
)
FLOWS = (
    ("masked_ar of [512, 512], rows of 256, samples", MaskedAR(hidden=(512, 512))),
    ("inverse_ar of [512, 512], rows of 256, densities", InverseAR(hidden=(512, 512))),
)


@torch.no_grad()
def measure(case: Case) -> Row:
    """Both walks of one case."""
    torch.manual_seed(0)
    order = rank_tensor(Natural(), case.target.shape)
    net = builder(case.net)(case.net, (), case.target, case.outputs, order).eval()
    assert isinstance(net, Stepping)
    count = case.target.support.count or 2
    value = torch.randint(0, count, (case.B, len(order)))
    cached = time.process_time()
    stepper = net.stepper({}, case.B)
    last: Tensor | None = None
    for entry in turns(order).tolist():
        stepper.next(last)
        last = value[:, entry]
    cached = time.process_time() - cached
    shaped = value.view(case.B, *case.target.shape)
    net({}, shaped)
    naive = time.process_time()
    for _ in range(NAIVE_TURNS):
        net({}, shaped)
    naive = (time.process_time() - naive) / NAIVE_TURNS * len(order)
    return Row(case.name, len(order), naive, cached, naive / cached)


@torch.no_grad()
def flow(layer: FlowLayer, size: int, rows: int, name: str) -> Row:
    """A flow layer the way that takes entries in turn, beside one pass of its network for every entry."""
    torch.manual_seed(0)
    module = builder(layer)(layer, (size,), 0, "reference").eval()
    outwards = layer.forward_cost is Cost.SEQUENTIAL
    slow, quick = (module.forward, module.inverse) if outwards else (module.inverse, module.forward)
    value = torch.randn(rows, size)
    slow(value)
    cached = time.process_time()
    slow(value)
    cached = time.process_time() - cached
    naive = time.process_time()
    for _ in range(NAIVE_TURNS):
        quick(value)
    naive = (time.process_time() - naive) / NAIVE_TURNS * size
    return Row(name, size, naive, cached, naive / cached)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures every case and writes a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--only", default="", help="the cases with this in their name")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = [measure(case) for case in CASES if options.only in case.name]
    rows += [flow(layer, 64, 256, name) for name, layer in FLOWS if options.only in name]
    lines = [f"{'batch of 16':52}{'entries':>8}{'naive s':>10}{'cached s':>10}{'ratio':>8}"]
    lines += [f"{r.name:52}{r.entries:8}{r.naive:10.2f}{r.cached:10.3f}{r.ratio:8.0f}" for r in rows]
    print("\n".join(lines))
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
