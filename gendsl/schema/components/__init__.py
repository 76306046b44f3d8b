"""Importing this package registers every component that gendsl ships; one module for each kind."""

from gendsl.schema.components import (  # noqa: F401
    adversary,
    bound,
    corruption,
    dist,
    energy,
    flow,
    flow_autoregressive,
    flow_elementwise,
    flow_linear,
    flow_residual,
    flow_shape,
    later,
    net,
    net_ar,
    net_grid,
    net_seq,
    optim,
    ordering,
    source,
    step,
)
