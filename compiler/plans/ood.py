"""ood: how unlike the training data a row is, by minus its log-probability."""

from __future__ import annotations

from gendsl.compiler.derive.energies import tilted
from gendsl.compiler.graph import Capability, Graph, Kind
from gendsl.compiler.plans import log_prob


def plan(graph: Graph) -> Capability:
    score = log_prob.plan(graph)
    if score.how is None and tilted(graph) and not graph.scored:
        return Capability(
            "energy, up to log Z", Kind.NONE, "log Z shifts all scores alike: they can be ranked"
        )
    if score.how is None:
        return Capability(None, why=f"it needs log_prob: {score.why}")
    return Capability(
        f"-log_prob ({score.how})",
        score.kind,
        "densities can be high far from the data (Nalisnick et al. 2019): compare with the training rows' "
        "scores",
    )
