"""The table of diagnostic codes: what `gendsl explain GD210` prints.

GD1xx text, GD2xx names and keys, GD3xx graph, GD4xx shapes, supports and data, GD5xx capabilities, objective
and players, GD6xx resources, GD9xx plug-ins.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gendsl.schema.codes.capabilities import CAPABILITIES, RESOURCES
from gendsl.schema.codes.graph import GRAPH
from gendsl.schema.codes.names import NAMES, PLUGINS
from gendsl.schema.codes.page import Code, page
from gendsl.schema.codes.shapes import SHAPES
from gendsl.schema.codes.text import TEXT

CODES: Mapping[str, Code] = MappingProxyType(
    {**TEXT, **NAMES, **GRAPH, **SHAPES, **CAPABILITIES, **RESOURCES, **PLUGINS}
)
"""Code -> its page, in the order of the numbers."""

__all__ = ["CODES", "Code", "page"]
