"""Attention as an operator: its definition, torch's form of it, and who gets which."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gendsl.compiler.build import build
from gendsl.compiler.pipeline import analyse
from gendsl.errors import SpecError
from gendsl.kernels.attention import attention, reference
from gendsl.kernels.table import ATTENTION, KernelError, Placement, Policy, decide, place
from gendsl.nn.networks.transformer import Attention
from gendsl.runtime.verify.kernels import BOUND, POWER, attention_error
from gendsl.schema.load import loads

SPEC = """
gendsl: 1
extends: EXTENDS
decoder: {x: {net: {type: transformer, layers: 1, width: 8, heads: 2}}}
run: {device: cpu, kernels: KERNELS}
"""
READER = """
gendsl: 1
extends: vae
encoder: {z: {net: {type: transformer, layers: 1, width: 8, heads: 2}}}
"""


def inputs(T: int = 5, S: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, 4, dtype=torch.float64, requires_grad=True) for n in (T, S, S))
    return q, k, v


def along_the_rows(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """Equation 1 of Vaswani et al. 2017, one query at a time."""
    rows = []
    for t in range(q.shape[2]):
        last = t + 1 if causal else k.shape[2]
        scores = (q[:, :, t, None] * k[:, :, :last]).sum(-1) / math.sqrt(q.shape[3])
        weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
        rows.append((weights[..., None] * v[:, :, :last]).sum(2))
    return torch.stack(rows, 2)


@pytest.mark.parametrize(("causal", "S"), [(False, 5), (False, 7), (True, 5)])
def test_both_forms_are_the_definition_with_its_gradients(causal: bool, S: int) -> None:
    q, k, v = inputs(S=S)
    wanted = along_the_rows(q, k, v, causal)
    weight = torch.randn_like(wanted)
    exact = torch.autograd.grad((wanted * weight).sum(), (q, k, v))
    for found in (
        reference(q, k, v, causal=causal),
        attention(q, k, v, causal=causal),
        attention(q, k, v, causal=causal, kernels="reference"),
        attention(q, k, v, causal=causal, twice=True),
    ):
        torch.testing.assert_close(found, wanted)
        torch.testing.assert_close(torch.autograd.grad((found * weight).sum(), (q, k, v)), exact)


def test_the_policy_chooses_the_form(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    own = F.scaled_dot_product_attention

    def counted(*args: Any, **kwargs: Any) -> Tensor:
        asked.append(1)
        return own(*args, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    q, k, v = (t.detach() for t in inputs())
    attention(q, k, v, kernels="reference")
    attention(q, k, v, twice=True)
    torch.func.vmap(attention)(q[None], k[None], v[None])
    assert not asked
    attention(q, k, v)
    assert asked
    with pytest.raises(KernelError, match="attention has no Triton kernel"):
        attention(q, k, v, kernels="triton")


def test_second_derivatives_are_those_of_the_definition() -> None:
    assert torch.autograd.gradgradcheck(lambda *t: attention(*t, twice=True), inputs(3, 3))


@pytest.mark.parametrize("device", ["cpu", "cuda:1", "auto"])
def test_placement_names_the_form_and_the_reason(device: str) -> None:
    torchs = Placement("attention", "torch", "scaled_dot_product_attention")
    assert place("attention", device, "auto") == torchs
    assert place("attention", device, "reference") == Placement("attention", "reference", "asked for")
    with pytest.raises(KernelError, match=r"torch's scaled_dot_product_attention serves"):
        place("attention", device, "triton")
    with pytest.raises(ValueError, match="unknown kernel policy"):
        decide(ATTENTION, "cpu", "fast")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("extends", "policy"), [("image_gpt", "auto"), ("cloze_image_transformer", "reference")]
)
def test_a_model_is_built_with_the_policy_of_its_spec(extends: str, policy: Policy) -> None:
    graph = analyse(loads(SPEC.replace("EXTENDS", extends).replace("KERNELS", policy)))
    assert [p.op for p in graph.placements] == ["attention"]
    found = [m for m in build(graph).modules() if isinstance(m, Attention)]
    assert found
    assert {m.kernels for m in found} == {policy}


def test_readers_are_placed_too_and_nets_without_attention_are_not() -> None:
    assert [p.op for p in analyse(loads(READER)).placements] == ["attention"]
    assert not analyse(loads("gendsl: 1\nextends: vae")).placements


def test_triton_is_refused_with_the_reason() -> None:
    with pytest.raises(SpecError) as error:
        analyse(loads(SPEC.replace("EXTENDS", "image_gpt").replace("KERNELS", "triton")))
    assert [d.code for d in error.value.diagnostics] == ["GD602"]
    assert "attention has no Triton kernel" in error.value.diagnostics[0].message


@pytest.mark.parametrize("causal", [True, False])
def test_the_certificate_finds_a_planted_error(causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = Attention(8, 2, causal)
    assert attention_error(module, module) < BOUND
    own = F.scaled_dot_product_attention
    monkeypatch.setattr(
        F, "scaled_dot_product_attention", lambda q, k, v, **rest: own(q, k, v, **rest) * (1 + POWER)
    )
    assert attention_error(module, module) > BOUND
