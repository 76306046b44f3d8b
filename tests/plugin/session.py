"""What a user of the plug-in does, in a process of its own: `python session.py SPEC OUT`.

A process of its own, because components stay registered once they are.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import gendsl
from gendsl.cli import main

SPEC, OUT = Path(sys.argv[1]), Path(sys.argv[2])


def refused_without_requires() -> None:
    text = SPEC.read_text("utf-8").replace("requires: [example]\n", "")
    with pytest.raises(gendsl.SpecError) as refused:
        gendsl.loads(text)
    unknown = " ".join(d.message for d in refused.value.diagnostics if d.code == "GD210")
    assert all(name in unknown for name in ("rose", "gumbel", "sinh_arcsinh", "radius")), unknown
    assert "gendsl_example" not in " ".join(sys.modules)


def laws(layer: torch.nn.Module, x: torch.Tensor, context: torch.Tensor | None) -> None:
    """Round trip, and the log-determinant against the Jacobian, away from the identity."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    y, log_det = layer(x, context)
    back, minus = layer.inverse(y, context)
    torch.testing.assert_close(back, x)
    torch.testing.assert_close(minus, -log_det)
    rows = [None if context is None else context[i : i + 1] for i in range(len(x))]
    jacobians = [
        torch.autograd.functional.jacobian(lambda v, c=c: layer(v[None], c)[0][0], r)
        for r, c in zip(x, rows, strict=True)
    ]
    torch.testing.assert_close(torch.stack([j.slogdet()[1] for j in jacobians]), log_det)
    assert log_det.abs().median() > 0.3


refused_without_requires()
for command in (
    ["check", str(SPEC)],
    ["components", "flow", "sinh_arcsinh"],
    ["run", str(SPEC), "--out", str(OUT)],
):
    assert main(command) == 0, command
assert main(["sample", str(OUT), "--n", "12", "--out", str(OUT / "drawn.npz")]) == 0
drawn = np.load(OUT / "drawn.npz")["x"]
assert drawn.shape == (12, 2)
assert np.isfinite(drawn).all()
assert drawn.std() > 0.1

model = gendsl.restore(OUT).double()
facts = sum(model.graph.factors[f].bill.parameters for f in ("prior.z", "encoder.z"))
assert facts == sum(p.numel() for f in ("prior.z", "encoder.z") for p in model.factor(f).parameters())
torch.manual_seed(0)
points = torch.randn(6, 2, dtype=torch.float64)
laws(model.factor("prior.z").stack.layers[0], points, None)
encoder = model.factor("encoder.z").stack.layers[0]
laws(encoder, points, torch.randn(6, encoder.amortize.in_features, dtype=torch.float64))
print("done")
