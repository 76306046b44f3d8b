"""Names of the language that this version does not build yet, so that a message can say so.

A name leaves this table when its component is registered; a test holds the two apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

LATER: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "net": frozenset({"pixelcnn_pp"}),
        "key": frozenset(
            {
                "covariance",
            }
        ),
    }
)
"""Kind -> names; `key` are keys rather than components."""

LATER_VALUES: Mapping[str, frozenset[str]] = MappingProxyType({"how": frozenset({"variational"})})
"""Key -> words that it will take."""

RESERVED: Mapping[str, str] = MappingProxyType(
    {
        "diffusion": "diffusion models are reserved for a later version of the language",
        "ddpm": "diffusion models are reserved for a later version of the language",
        "score_sde": "diffusion models are reserved for a later version of the language",
        "flow_matching": "flow matching is reserved for a later version of the language",
        "rectified_flow": "flow matching is reserved for a later version of the language",
        "time": "time-indexed latents (time, lag, schedule) are reserved for a later version of the language",
        "lag": "time-indexed latents (time, lag, schedule) are reserved for a later version of the language",
        "schedule": "time-indexed latents (time, lag, schedule) are reserved for a later version of the language",
    }
)
"""Words with a meaning that is not fixed yet."""
