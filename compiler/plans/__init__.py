"""One module for each query: `plan(graph) -> Capability` says how it is answered, or why it is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from gendsl.compiler.graph import Capability, Graph
from gendsl.compiler.plans import (
    classify,
    compress,
    encode,
    impute,
    interpolate,
    log_prob,
    ood,
    reconstruct,
    sample,
)

PLANS: Mapping[str, Callable[[Graph], Capability]] = MappingProxyType(
    {
        "sample": sample.plan,
        "log_prob": log_prob.plan,
        "encode": encode.plan,
        "reconstruct": reconstruct.plan,
        "impute": impute.plan,
        "classify": classify.plan,
        "ood": ood.plan,
        "compress": compress.plan,
        "interpolate": interpolate.plan,
    }
)
"""Every query by name, in the order in which explain prints them."""
