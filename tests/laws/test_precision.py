"""Under autocast only networks compute in half precision: densities and flows stay in float32."""

from __future__ import annotations

import pytest
import torch

from gendsl.runtime.initial import untrained
from gendsl.schema.load import load

SCORED = ["vae_planar_flow", "vae_flow_prior", "pixelcnn", "realnvp", "hierarchical_vae"]


@pytest.mark.parametrize("name", SCORED)
def test_densities_are_float32_under_autocast(name: str) -> None:
    _, model, data = untrained(load(name))
    batch = data.parts["test"].batch(torch.arange(16))
    torch.manual_seed(0)
    right = model.log_prob(batch, 4)
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.log_prob(batch, 4)
        losses = model.losses(batch)
    assert found.dtype == torch.float32
    assert all(loss.total.dtype == torch.float32 for loss in losses.values())
    # networks round to 8 bits; a density summed in bfloat16 would be off by whole nats here
    assert (found - right).abs().max().item() < 0.02 * right.abs().mean().item()


def test_a_flow_without_half_precision_networks_is_exact_under_autocast() -> None:
    """All of RealNVP is a flow: autocast changes nothing."""
    _, model, data = untrained(load("realnvp"))
    batch = data.parts["test"].batch(torch.arange(16))
    with torch.autocast("cpu", torch.bfloat16):
        found = model.log_prob(batch)
    assert torch.equal(found, model.log_prob(batch))
    assert found.abs().min().item() > 1
