"""Laws of what compares the prior's samples with codes: the unbiased squared MMD, the information about a code."""

from __future__ import annotations

import pytest
import torch

from gendsl.nn.objective.discrepancies import mmd
from gendsl.nn.objective.evaluation import Evaluation
from gendsl.nn.objective.likelihoods import information
from gendsl.runtime.initial import compile_model
from tests.compiler.cases import BINARY, CASES, VAE, graph_of


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_the_squared_mmd_by_a_double_loop(scale: float) -> None:
    """mean k(z, z') + mean k(p, p') over distinct pairs - 2 mean k(z, p), k = C / (C + |a - b|^2), C = 2 D scale^2."""
    graph = graph_of(BINARY + VAE + f"objective: {{mmd: {{z: {{scale: {scale}}}}}}}")
    torch.manual_seed(0)
    model = compile_model(graph).double()
    batch = model.batch({"x": (torch.rand(6, 1, 8, 8, dtype=torch.float64) > 0.5).double()})
    e = Evaluation(model, batch, 0, training=True)
    (term,) = (t for t in graph.terms if t.name == "mmd.z")
    found = float(mmd(e, term).value.detach())
    codes, prior = e.trace.values["z"].detach(), e.fake["z"].detach()
    c = 2 * codes.shape[1] * scale**2

    def k(a: torch.Tensor, b: torch.Tensor) -> float:
        return float(c / (c + (a - b).square().sum()))

    n = len(codes)
    within = sum(k(v[i], v[j]) for v in (codes, prior) for i in range(n) for j in range(n) if i != j)
    across = sum(k(a, b) for a in codes for b in prior)
    assert found == pytest.approx(within / (n * (n - 1)) - 2 * across / n**2, rel=1e-9)
    assert abs(found) > 1e-3


def test_the_information_about_a_code_is_the_mean_log_weight_of_the_true_one() -> None:
    """E[log q(c | x)] with c and x = decoder(z, c) of one sample of p."""
    graph = graph_of(CASES["infogan"].text)
    torch.manual_seed(0)
    model = compile_model(graph).double().eval()
    e = Evaluation(model, model.batch({"x": torch.rand(8, 1, 8, 8, dtype=torch.float64)}), 0, training=True)
    (term,) = (t for t in graph.terms if t.family == "mutual_information")
    found = float(information(e, term).value.detach())
    drawn = model.distribution("decoder.x", e.fake, 8).mean()
    torch.testing.assert_close(drawn, e.fake["x"])
    weights = torch.stack(
        [model.distribution("encoder.c", {"x": drawn}, 8).log_prob(torch.full((8,), c)) for c in range(10)], 1
    )
    torch.testing.assert_close(weights.exp().sum(1), torch.ones(8, dtype=torch.float64))
    assert found == pytest.approx(float(weights.gather(1, e.fake["c"].view(8, 1)).mean().detach()), rel=1e-9)
    assert found < -1
